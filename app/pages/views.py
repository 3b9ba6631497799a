"""Routes of the pages. Each renders what the API answers for the same thing, so page and JSON cannot disagree."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from app.api.fronts import read_front
from app.api.search_schemas import SearchOut
from app.api.searches import get_search, list_searches
from app.api.service import After, Here, Id, Service
from app.api.trials import list_trials
from app.pages.figure import basis, front_svg, latency_title, measured_points
from app.pages.words import FILTERS
from app.store import datasets, models, profiles

_HOME = Path(__file__).parent
STATIC = StaticFiles(directory=_HOME / "static")
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
templates = Jinja2Templates(directory=_HOME / "templates")
templates.env.filters.update(FILTERS)
Profile = Annotated[str | None, Query(max_length=64, pattern=r"^[!-~]+$")]
ACTIVE = ("queued", "running", "paused")
LAST_TRIALS = 200  # as many as the table of all trials shows


@router.get("/")
def home() -> RedirectResponse:
    """The searches are where everybody starts."""
    return RedirectResponse("/searches")


@router.get("/searches")
def searches_page(request: Request, here: Here, after: After = None) -> HTMLResponse:
    """The team's searches, newest first."""
    found = list_searches(here, limit=50, after=after)
    context: dict[str, Any] = {"searches": found.items, "next": found.next, "after": after}
    return templates.TemplateResponse(request, "searches.html", context)


@router.get("/searches/{search_id}")
def search_page(request: Request, here: Here, search_id: Id, profile: Profile = None) -> HTMLResponse:
    """One search: its live front on one device, the tables of front and trials, and what could not pay."""
    search = get_search(here, search_id)
    front = read_front(here, search_id, profile).model_dump()
    asked = search.progress.done + search.spec["width"]  # at most: a batch is asked for when the last has ended
    before = asked - LAST_TRIALS if asked > LAST_TRIALS else None
    trials = list_trials(here, search_id, limit=LAST_TRIALS, after=before)
    context = {
        "search": search,
        "active": search.state in ACTIVE,
        "front": front,
        "svg": front_svg(front),
        "measured": measured_points(front),
        "infeasible": _reasons(here, search) if search.progress.infeasible else {},
        "latency_title": latency_title(front),
        "basis": basis(front),
        "trials": trials.items[::-1],
        "reachable": ((search.space or {}).get("reachable") or {}).get(front["profile"]),
        **_parts(here, search.profiles, search.model, search.dataset),
    }
    return templates.TemplateResponse(request, "search.html", context)


def _reasons(here: Service, search: SearchOut) -> dict[str, int]:
    """Why the first infeasible trials are so, and how many for each reason."""
    found = list_trials(here, search.id, limit=LAST_TRIALS, state="infeasible").items
    return dict(Counter(trial.failure.reason if trial.failure else "no reason was stored" for trial in found))


def _parts(here: Service, profile_ids: list[str], model_id: str, dataset_id: str) -> dict[str, Any]:
    """The devices of a search, and the names of its model and its data."""
    with here.database.read() as session:
        return {
            "devices": [profiles.get(session, here.project_id, key) for key in profile_ids],
            "model_name": models.get(session, here.project_id, model_id).name,
            "dataset_name": datasets.get(session, here.project_id, dataset_id).name,
        }

"""Routes of the pages. Each renders what the API answers for the same thing, so page and JSON cannot disagree."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from app.api.fronts import read_front
from app.api.searches import get_search, list_searches
from app.api.service import After, Here
from app.api.trials import get_trial
from app.pages.figure import front_svg, latency_title
from app.store import datasets, models, profiles

_HOME = Path(__file__).parent
STATIC = StaticFiles(directory=_HOME / "static")
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
templates = Jinja2Templates(directory=_HOME / "templates")
Profile = Annotated[str | None, Query(max_length=64)]


def duration(seconds: float | None) -> str:
    """A time left in words: seconds below ninety, minutes above, a dash when unknown."""
    if seconds is None:
        return "–"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


templates.env.filters["duration"] = duration


@router.get("/")
def home() -> RedirectResponse:
    """The searches are where everybody starts."""
    return RedirectResponse("/searches")


@router.get("/searches")
def searches_page(request: Request, here: Here, after: After = None) -> HTMLResponse:
    """The team's searches, newest first."""
    found = list_searches(here, limit=50, after=after)
    context: dict[str, Any] = {"searches": found.items, "next": found.next}
    return templates.TemplateResponse(request, "searches.html", context)


@router.get("/searches/{search_id}")
def search_page(request: Request, here: Here, search_id: str, profile: Profile = None) -> HTMLResponse:
    """One search: its live front on one device, the table of the front, and what could not pay."""
    search = get_search(here, search_id)
    front = read_front(here, search_id, profile).model_dump()
    with here.database.read() as session:
        devices = [profiles.get(session, here.project_id, key) for key in search.profiles]
        model = models.get(session, here.project_id, search.model)
        dataset = datasets.get(session, here.project_id, search.dataset)
    context = {
        "search": search,
        "front": front,
        "svg": front_svg(front),
        "latency_title": latency_title(front),
        "devices": devices,
        "model_name": model.name,
        "dataset_name": dataset.name,
        "api": search.links["self"],
    }
    return templates.TemplateResponse(request, "search.html", context)


@router.get("/searches/{search_id}/trials/{number}")
def trial_page(request: Request, here: Here, search_id: str, number: int) -> HTMLResponse:
    """One trial: what was done to each layer, what it buys on each device, and its files."""
    context = {"search": get_search(here, search_id), "trial": get_trial(here, search_id, number)}
    return templates.TemplateResponse(request, "trial.html", context)

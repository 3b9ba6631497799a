"""Fronts: what a search is for. Stored per search and profile; read as JSON or as a spreadsheet."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.csvtext import csv_text
from app.api.front_schemas import FrontOut
from app.api.front_views import front_out
from app.api.service import Here, Id, Service
from app.api.uploads import safe_filename
from app.errors import Problem
from app.search.judging import headline_of
from app.store import calibrations, fronts, profiles, repricings, searches, trials

router = APIRouter(prefix="/searches/{search_id}", tags=["fronts"])
_FIRST = "profile id; the search's first if left out"
Profile = Annotated[str | None, Query(max_length=64, pattern=r"^[!-~]+$", description=_FIRST)]
COLUMNS = (
    "number", "role", "on_front", "latency_ms", "low_ms", "high_ms", "latency_share", "accuracy",
    "accuracy_standard_error", "test_accuracy", "test_standard_error", "samples", "pruner", "patterns", "sources",
    "derivations", "metric", "value", "standard_error", "test_value", "throughput_per_s", "measured_ms",
    "measured_spread_ms", "shipped", "energy_mj", "weight_bytes",
)  # fmt: skip


@router.get("/front")
def get_front(here: Here, search_id: Id, profile: Profile = None) -> FrontOut:
    """The front on one profile: the headline against predicted latency, with both dense models and all other trials."""
    return read_front(here, search_id, profile)


@router.get("/front.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def get_front_csv(here: Here, search_id: Id, profile: Profile = None) -> Response:
    """All complete trials on one profile as a spreadsheet; `on_front` marks the front."""
    front = read_front(here, search_id, profile)
    numbers = {point.number for point in front.points}
    rows = []
    for point in front.trials:
        cells = point.model_dump() | {"on_front": point.number in numbers}
        for key in ("patterns", "sources", "derivations"):
            cells[key] = "; ".join(f"{word} {value:g}" for word, value in cells[key].items())
        cells["shipped"] = (point.shipped or {}).get("at", "")
        rows.append([cells[column] for column in COLUMNS])
    headers = {"Content-Disposition": f'attachment; filename="{safe_filename("front", front.profile_name)}.csv"'}
    return Response(csv_text(COLUMNS, rows), media_type="text/csv", headers=headers)


def read_front(here: Service, search_id: str, profile_id: str | None) -> FrontOut:
    """The front of a search on a profile.

    Raises:
        NotFound: no such search.
        Problem: 404 where the profile is not among the search's.
    """
    with here.database.read() as session:
        search = searches.get(session, here.project_id, search_id)
        chosen = profile_id or search.spec["profiles"][0]
        later = repricings.of_search(session, search_id)
        if chosen not in (*search.spec["profiles"], *later):
            known = ", ".join((*search.spec["profiles"], *later))
            raise Problem(404, "no_front", f"This search has no front on profile {chosen!r}; it has {known}.")
        profile = profiles.get(session, here.project_id, chosen)
        pinned = later[chosen].calibration_id if chosen in later else search.spec.get("calibrations", {}).get(chosen)
        calibration = calibrations.get(session, here.project_id, pinned) if pinned else None
        numbers = [point.number for point in fronts.get(session, search_id, chosen)]
        found = trials.for_front(session, search_id, chosen, headline_of(search.spec).metric)
        return front_out(search, profile, calibration, numbers, found)

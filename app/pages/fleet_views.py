"""Several devices at once: the front of the worst one, and the fewest trials that meet a limit on each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field, ValidationError

from app.api.fleet import cover_fleet, get_fleet
from app.api.profiles import get_profile
from app.api.repricing_schemas import CoverOut, FleetBody, FleetOut
from app.api.search_schemas import SearchOut
from app.api.searches import get_search
from app.api.service import Here, Id, Service
from app.errors import Problem
from app.pages.forms import complaint, filled
from app.pages.views import templates
from app.pages.words import is_share
from app.search.judging import Headline, headline_of

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
Short = Annotated[str, Field(max_length=64)]
Column = Annotated[list[Short], Field(max_length=64)]


class FleetQuery(BaseModel):
    """The address of the page: what counts as 1, and a column for each field of the limits."""

    by: Literal["dense", "limit"] = "dense"
    profile: Column = []
    share: Column = []
    ms: Column = []
    least: Column = []
    k: Short = ""
    objective: Literal["mean", "min"] = "mean"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A row of the form: a limit on a device, as it was typed."""

    profile: str
    name: str
    dense_ms: float
    share: str = ""
    ms: str = ""
    least: str = ""


@router.get("/searches/{search_id}/fleet")
def fleet_page(request: Request, here: Here, search_id: Id, query: Annotated[FleetQuery, Query()]) -> HTMLResponse:
    """The front of the worst device; with limits also the trials that meet them. An address that can be sent around."""
    search = get_search(here, search_id)
    fleet, said = _fleet(here, search_id, query.by)
    dense, _ = _fleet(here, search_id, "dense")
    rows = (query.profile, query.share, query.ms, query.least)
    wishes = list(_wishes(here, dense, rows)) if dense else []
    options = {"k": query.k, "objective": query.objective}
    cover, wrong = _cover(here, search, wishes, options) if query.profile else (None, "")
    context: dict[str, Any] = {
        "search": search,
        "metric": search.progress.metric,
        "headline": headline_of(search.spec),
        "fleet": fleet,
        "by": query.by,
        "said": said,
        "wishes": wishes,
        "names": {wish.profile: wish.name for wish in wishes},
        **options,
        "cover": cover,
        "wrong": wrong,
    }
    return templates.TemplateResponse(request, "fleet.html", context, status_code=422 if wrong else 200)


def _fleet(here: Service, search_id: str, by: Literal["dense", "limit"]) -> tuple[FleetOut | None, str]:
    """The front of the worst device, or why there is none."""
    try:
        return get_fleet(here, search_id, None, by), ""
    except Problem as problem:
        return None, problem.detail


def _wishes(here: Service, fleet: FleetOut, rows: Sequence[Sequence[str]]) -> Iterator[Wish]:
    """One row for every device; what was typed for it before is kept."""
    typed = {profile: found for profile, *found in zip(*rows, strict=False)}
    for profile, dense_ms in fleet.reference_ms.items():
        share, ms, least = typed.get(profile, ("", "", ""))
        name = get_profile(here, profile).name
        yield Wish(profile=profile, name=name, dense_ms=dense_ms, share=share, ms=ms, least=least)


def _cover(
    here: Service, search: SearchOut, wishes: Sequence[Wish], options: Mapping[str, str]
) -> tuple[CoverOut | None, str]:
    """The trials that meet the limits, or what is wrong with the limits."""
    try:
        limits = [limit for wish in wishes if (limit := _limit(wish, headline_of(search.spec)))]
        if not limits:
            return None, "Give a limit for at least one device."
        return cover_fleet(here, search.id, FleetBody.model_validate({"limits": limits, **filled(options)})), ""
    except (Problem, ValidationError) as error:
        return None, complaint(error)


def _limit(wish: Wish, headline: Headline) -> dict[str, Any] | None:
    """A row as a limit of the API; shares and shares of samples are typed in percent."""
    typed = filled({"share": wish.share, "latency_ms": wish.ms, "least_quality": wish.least})
    if not typed.keys() & {"share", "latency_ms"}:
        return None
    found: dict[str, Any] = {"profile": wish.profile}
    for name, text in typed.items():
        try:
            found[name] = float(text)
        except ValueError:
            detail = f"{text[:40]!r} on {wish.name} is no number."
            raise Problem(422, "invalid", detail) from None
    if "share" in found:
        found["share"] /= 100
    if "least_quality" in found:
        found["least_quality"] = headline.quality(found["least_quality"] / (100 if is_share(headline.metric) else 1))
    return found

"""Several devices at once: the front of the worst one, and the fewest trials that meet limits across the fleet."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query

from app.api.repricing_schemas import CoverOut, FleetBody, FleetOut, ServedOut, WorstPointOut
from app.api.service import Here, Id, Service
from app.errors import Problem, pointer
from app.search.errors import SearchFailed
from app.store import fronts, repricings, searches
from app.store.records import SearchRecord

if TYPE_CHECKING:
    from app.search.devices.fleet import Cover, FleetLimit, FleetModel

router = APIRouter(prefix="/searches/{search_id}", tags=["fronts"])
_PROFILES = "ids of profiles, comma between; all of the search if left out"
Profiles = Annotated[str | None, Query(max_length=600, pattern=r"^[!-~]+$", description=_PROFILES)]
By = Annotated[Literal["dense", "limit"], Query(description="what counts as 1: the dense latency, or the limit")]


@router.get("/fleet")
def get_fleet(here: Here, search_id: Id, profiles: Profiles = None, by: By = "dense") -> FleetOut:
    """The front of the worst device: largest share of the dense latency, or of the limit, against quality."""
    from app.search.devices.fleet import worst_front

    search, known, models = _read(here, search_id)
    chosen = _chosen(profiles, known)
    dense_ms = _dense_ms(models, chosen, search_id)
    reference_ms = dense_ms if by == "dense" else _limits_ms(search, dense_ms)
    points = [
        WorstPointOut(
            number=point.number,
            quality=point.quality,
            share=point.share,
            profile=point.profile,
            shares=dict(point.shares),
            page=f"/searches/{search_id}/trials/{point.number}",
        )
        for point in worst_front(models, reference_ms)
    ]
    return FleetOut(search=search_id, by=by, profiles=list(reference_ms), reference_ms=reference_ms, points=points)


@router.post("/fleet")
def cover_fleet(here: Here, search_id: Id, body: FleetBody) -> CoverOut:
    """The smallest set of trials, or the best of at most `k`, that meets every limit across the fleet."""
    from app.search.devices.fleet import FleetLimit, cover

    _, known, models = _read(here, search_id)
    for index, limit in enumerate(body.limits):
        if limit.profile not in known:
            place = pointer("limits", index, "profile")
            raise Problem(422, "unknown_profile", _no_price(limit.profile, known), pointer=place)
    dense_ms = _dense_ms(models, {limit.profile for limit in body.limits}, search_id)
    limits = [
        FleetLimit(
            profile=limit.profile,
            latency_ms=limit.latency_ms or (limit.share or 0.0) * dense_ms[limit.profile],
            least_quality=limit.least_quality,
        )
        for limit in body.limits
    ]
    try:
        found = cover(models, limits, body.k, body.objective)
    except SearchFailed as error:
        place = pointer("limits", error.details["limit"]) if "limit" in error.details else "/k"
        raise Problem(422, error.code, f"{error}", pointer=place, more={"details": error.details}) from error
    return _cover_out(search_id, body, found, limits, models)


def _cover_out(
    search_id: str, body: FleetBody, found: "Cover", limits: "Sequence[FleetLimit]", models: "Sequence[FleetModel]"
) -> CoverOut:
    by_number = {model.number: model for model in models}
    return CoverOut(
        search=search_id,
        numbers=list(found.numbers),
        fewest=found.fewest,
        objective=body.objective,
        mean_quality=found.mean_quality,
        min_quality=found.min_quality,
        proven=found.proven,
        limits=[
            ServedOut(
                profile=limit.profile,
                limit_ms=limit.latency_ms,
                least_quality=limit.least_quality,
                number=number,
                latency_ms=by_number[number].latency_ms[limit.profile],
                quality=by_number[number].quality,
            )
            for limit, number in zip(limits, found.serves, strict=True)
        ],
    )


def _read(here: Service, search_id: str) -> "tuple[SearchRecord, tuple[str, ...], list[FleetModel]]":
    """The search, the profiles it has prices on, and its complete trials.

    Raises:
        NotFound: no such search.
        Problem: 409 where no trial is complete.
    """
    from app.search.devices.fleet import FleetModel

    with here.database.read() as session:
        search = searches.get(session, here.project_id, search_id)
        known = (*search.spec["profiles"], *repricings.of_search(session, search_id))
        rows = fronts.everywhere(session, search_id)
    if not rows:
        raise Problem(409, "no_trials", "This search has no complete trial yet: wait for its first ones.")
    models = [FleetModel(number=row.number, quality=row.quality, latency_ms=row.latency_ms) for row in rows]
    return search, known, models


def _chosen(text: str | None, known: Sequence[str]) -> list[str]:
    chosen = list(dict.fromkeys(part for part in (text or "").split(",") if part)) or list(known)
    for profile in chosen:
        if profile not in known:
            entry = {"parameter": "profiles", "detail": _no_price(profile, known), "code": "unknown_profile"}
            raise Problem(422, "unknown_profile", entry["detail"], errors=[entry])
    return chosen


def _no_price(profile: str, known: Sequence[str]) -> str:
    return (
        f"This search is not priced on profile {profile[:80]!r}; it is on {', '.join(known)}. "
        "POST /api/v1/models/{model}/reprice prices it on another."
    )


def _dense_ms(models: "Sequence[FleetModel]", profiles: "Sequence[str] | set[str]", search_id: str) -> dict[str, float]:
    """What the dense model takes on each profile: trial 0 is the dense model."""
    dense = next((model for model in models if model.number == 0), None)
    if dense is None or any(profile not in dense.latency_ms for profile in profiles):
        detail = f"The dense model of search {search_id} is not priced on all of these profiles yet: wait, or re-price."
        raise Problem(409, "no_dense", detail)
    return {profile: dense.latency_ms[profile] for profile in profiles}


def _limits_ms(search: SearchRecord, dense_ms: dict[str, float]) -> dict[str, float]:
    """The tightest limit on latency of every profile among these that has one.

    Raises:
        Problem: 422 where none of them has a limit.
    """
    found: dict[str, float] = {}
    for limit in search.spec["limits"]:
        timed = limit["latency_ms"] is not None or limit["share"] is not None
        if timed and (profile := limit["profile"]) in dense_ms:
            given_ms = limit["latency_ms"] or limit["share"] * dense_ms[profile]
            found[profile] = min(given_ms, found.get(profile, given_ms))
    if not found:
        entry = {"parameter": "by", "detail": "This search has no limit on these profiles: ask by=dense."}
        raise Problem(422, "no_limits", entry["detail"], errors=[entry | {"code": "no_limits"}])
    return found

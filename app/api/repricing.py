"""Re-pricing: all trials of a model on a profile that came later, without training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from fastapi import APIRouter

from app.api.repricing_schemas import FrontChangeOut, MovedOut, PassedOverOut, RepriceBody, RepricingOut
from app.api.service import API, Here, Id, Service
from app.errors import Problem
from app.search.trial import TrialCost
from app.store import calibrations, fronts, models, profiles, repricings, searches
from app.store.errors import NotFound
from app.store.records import CalibrationRecord, CompletePlan, FrontPoint, ModelRecord, ProfileRecord, SearchRecord
from pruning.layers import ModelSpec

router = APIRouter(tags=["fronts"])
Found = TypeVar("Found")
Priced = Sequence[tuple[CompletePlan, TrialCost]]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The records behind a request."""

    model: ModelRecord
    profile: ProfileRecord
    calibration: CalibrationRecord | None
    against: str | None


@router.post("/models/{model_id}/reprice")
def reprice_model(here: Here, model_id: Id, body: RepriceBody) -> RepricingOut:
    """Price every complete trial of a model on another profile, and say how each search's front changes there.

    Accuracies stay what they are, and so do the fronts on the profiles of before. Asked again it prices anew: trials
    that have come since, or under another calibration.
    """
    asked = _find(here, model_id, body)
    with here.database.read() as session:
        known = searches.of_model(session, here.project_id, model_id)
        plans = {search.id: repricings.complete_plans(session, search.id) for search in known}
    if not any(plans.values()):
        name = asked.model.name
        raise Problem(409, "no_trials", f"No search of model {name!r} has a complete trial yet: submit one, or wait.")
    refused = {search.id: why for search in known if (why := _refusal(search, asked, body, plans[search.id]))}
    taken = [search for search in known if search.id not in refused]
    if not taken:
        detail = f"No search of this model can be priced on that profile: {next(iter(refused.values()))}"
        raise Problem(422, "nothing_to_price", detail, pointer="/profile")
    priced = _priced(asked, body, {search.id: plans[search.id] for search in taken})
    changes = [_store(here, asked, search, priced[search.id]) for search in taken]
    return RepricingOut(
        model=model_id,
        profile=asked.profile.id,
        profile_name=asked.profile.name,
        calibration=asked.calibration.id if asked.calibration else None,
        trials=sum(change.trials for change in changes),
        searches=changes,
        passed_over=[
            PassedOverOut(search=search.id, search_name=search.name, reason=refused[search.id])
            for search in known
            if search.id in refused
        ],
    )


def _find(here: Service, model_id: str, body: RepriceBody) -> _Asked:
    """The records; what the path names is a 404, what the body names a 422."""
    with here.database.read() as session:
        model = models.get(session, here.project_id, model_id)
        if model.spec is None:
            raise Problem(409, "not_ready", f"Model {model.name!r} is {model.state}: its layers are not known yet.")
        one_profile = partial(profiles.get, session, here.project_id)
        profile = _known(one_profile, "profile", body.profile, "/profile")
        if body.against is not None:
            _known(one_profile, "profile", body.against, "/against")
        if profile.document is None:
            detail = f"Profile {profile.name!r} is {profile.state}: it has no rows yet."
            raise Problem(409, "not_ready", detail, pointer="/profile")
        if "calibration" not in body.model_fields_set:
            calibration = calibrations.latest(session, here.project_id, [profile.id]).get(profile.id)
        elif body.calibration is None:
            calibration = None
        else:
            one = partial(calibrations.get, session, here.project_id)
            calibration = _known(one, "calibration", body.calibration, "/calibration")
    if calibration is not None and calibration.profile_id != profile.id:
        detail = f"That calibration is of profile {calibration.profile_id!r}: name one of this profile, or null."
        raise Problem(422, "calibration_mismatch", detail, pointer="/calibration")
    return _Asked(model=model, profile=profile, calibration=calibration, against=body.against)


def _known(get: Callable[[str], Found], kind: str, key: str, place: str) -> Found:
    try:
        return get(key)
    except NotFound as error:
        listed = "profiles/.../calibrations" if kind == "calibration" else f"{kind}s"
        detail = f"There is no {kind} {key!r} here; GET /api/v1/{listed} lists what there is."
        raise Problem(422, f"unknown_{kind}", detail, pointer=place) from error


def _refusal(search: SearchRecord, asked: _Asked, body: RepriceBody, plans: Sequence[CompletePlan]) -> str | None:
    """Why a search is not priced on the profile; None if it is."""
    if asked.profile.id in search.spec["profiles"]:
        return "the profile is one of the search's own: it is priced there already"
    if not plans:
        return "it has no complete trial yet"
    document = asked.profile.document or {}
    for key in ("batch", "precision"):
        if key in document and document[key] != search.spec[key] and key not in body.acknowledge:
            mine, theirs = document[key], search.spec[key]
            return f"the profile is for {key} {mine}, the search for {theirs}: put {key!r} into acknowledge to compare"
    return None


def _priced(asked: _Asked, body: RepriceBody, plans: dict[str, list[CompletePlan]]) -> dict[str, Priced]:
    """Every plan with its price, by search; all searches are priced at once."""
    from app.api.pricing import fitted  # the solver's numbers come with it, so only here
    from app.search.devices.reprice import reprice

    model = ModelSpec.from_json(asked.model.spec or {})
    cost_model = fitted(body.acknowledge, model, asked.profile, "/profile", asked.calibration)
    everything = [plan for found in plans.values() for plan in found]
    costs = iter(reprice(model, [plan.plan for plan in everything], asked.profile.id, cost_model))
    return {search_id: [(plan, next(costs)) for plan in found] for search_id, found in plans.items()}


def _store(here: Service, asked: _Asked, search: SearchRecord, priced: Priced) -> FrontChangeOut:
    """Write one search's prices, and compare its fronts."""
    profile_id, calibration_id = asked.profile.id, asked.calibration.id if asked.calibration else None
    with here.database.begin() as session:
        repricings.store(session, search.id, profile_id, calibration_id, priced)
        later = repricings.of_search(session, search.id)
        against = asked.against if asked.against in (*search.spec["profiles"], *later) else None
        against = against or search.spec["profiles"][0]
        before = {point.number: point for point in fronts.get(session, search.id, against)}
        after = {point.number: point for point in fronts.get(session, search.id, profile_id)}
        entered = [after[number] for number in after if number not in before]
        were_ms = repricings.latencies_ms(session, search.id, against, [point.number for point in entered])
    now_ms = {plan.number: cost.latency_ms for plan, cost in priced}
    left = [point for number, point in before.items() if number not in after and number in now_ms]
    return FrontChangeOut(
        search=search.id,
        search_name=search.name,
        state=search.state,
        trials=len(priced),
        against=against,
        before=len(before),
        after=len(after),
        entered=[_moved(point, now_ms, were_ms.get(point.number)) for point in entered],
        left=[_moved(point, now_ms, point.latency_ms) for point in left],
        stayed=[number for number in after if number in before],
        front=f"{API}/searches/{search.id}/front?profile={profile_id}",
    )


def _moved(point: FrontPoint, now_ms: dict[int, float], against_ms: float | None) -> MovedOut:
    return MovedOut(number=point.number, quality=point.quality, latency_ms=now_ms[point.number], against_ms=against_ms)

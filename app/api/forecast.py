"""The estimate of a search from stored records. Imported inside handlers: numbers come with it, torch never."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from app.api.estimate_schemas import EstimateOut, ExpectedOut, LevelOut, RangeOut, UnreachableOut
from app.api.pricing import capitalised, fitted
from app.api.service import Service
from app.errors import Problem, pointer
from app.search.devices.estimate import Duration, Precedent, Work, duration, work
from app.search.devices.expected import Found, Unreachable, expected_front, unreachable
from app.search.devices.reprice import reprice
from app.search.errors import SearchFailed
from app.search.judging import headline_of
from app.search.space.build import space
from app.search.space.price import ReachableRange, reachable_range, remembered
from app.search.space.resources import Resources, at_least
from app.search.spec import SearchSpec
from app.search.table.error_table import forwards
from app.store import calibrations, datasets, models, precedents, profiles, searches
from app.store.records import DatasetRecord, KnownPlan, ModelRecord, ProfileRecord, SearchRecord
from costmodels.base import CostModel
from pruning.layers import ModelSpec

_SEARCHES = 10  # earlier ones, the newest, that are read
_PLANS = 2000  # of their trials, that are priced again
_BASIS: Mapping[str, str] = {
    "this_model": "The time is scaled from {n} earlier search(es) of this model, on the machines that ran them.",
    "other_models": "No search of this model has ended yet: the time is scaled from {n} of other models, and is rough.",
    "assumed": "No search has ended here yet: the time rests on an assumed rate and says little.",
}


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The records of a search, and what came before it."""

    model: ModelRecord
    dataset: DatasetRecord
    devices: Mapping[str, ProfileRecord]
    cost_models: Mapping[str, CostModel]
    layers: ModelSpec
    like_it: Sequence[SearchRecord]  # of the same model and data, newest first
    known: Sequence[KnownPlan]
    took: Sequence[Precedent]


def forecast(here: Service, spec: SearchSpec) -> EstimateOut:
    """The estimate of a search that was checked.

    Raises:
        Problem: 409 `not_ready` while model or profiles are still being read.
    """
    parts = _parts(here, spec)
    cost_models = remembered(parts.cost_models)
    options = space(parts.layers, spec, cost_models)
    reachable = {key: reachable_range(parts.layers, options, key, m) for key, m in cost_models.items()}
    samples = dict((parts.dataset.meta or {}).get("splits", {}))
    asked = work(spec, samples, forwards([unit.options for unit in options.units], spec.error_table))
    time = duration(spec, asked, parts.layers.macs, parts.took)
    names = {key: record.name for key, record in parts.devices.items()}
    missed = [_missed(one, names[one.profile]) for one in unreachable(spec, reachable)]
    missed += _further_missed(spec, Resources(parts.layers, options, cost_models, names))
    return EstimateOut(
        seconds=RangeOut(**asdict(time.seconds)),
        basis=time.basis,
        precedents=time.precedents,
        trials=asked.trials,
        recoveries=asked.recoveries,
        sample_passes=asked.sample_passes,
        table_passes=asked.table_passes,
        ends_by="wall_s" if time.cut else asked.ends_by,
        profiles=[_expected(spec, parts, reach) for reach in reachable.values()],
        unreachable=sorted(missed, key=lambda one: int(one.pointer.rpartition("/")[2])),
        notes=_notes(spec, parts, time, asked, nothing=all(len(unit.options) == 1 for unit in options.units)),
    )


def _parts(here: Service, spec: SearchSpec) -> _Parts:
    with here.database.read() as session:
        project = here.project_id
        model = models.get(session, project, spec.model)
        dataset = datasets.get(session, project, spec.dataset)
        found = {key: profiles.get(session, project, key) for key in spec.profiles}
        chosen = calibrations.pinned(session, project, spec.to_json())
        waiting = [f"profile {one.name!r} is {one.state}" for one in found.values() if one.document is None]
        if model.spec is None:
            waiting.insert(0, f"model {model.name!r} is {model.state}")
        if model.spec is None or waiting:
            detail = f"There is nothing to estimate from yet: {waiting[0]}. Ask again once a worker has read it."
            raise Problem(409, "not_ready", detail, pointer="/model" if model.spec is None else "/profiles")
        of_model = [one for one in searches.of_model(session, project, model.id) if one.state != "queued"][:_SEARCHES]
        like_it = [one for one in of_model if _same_data(one, spec)]
        metric = headline_of(spec.to_json()).metric
        known = precedents.known_plans(session, [one.id for one in like_it], metric=metric, limit=_PLANS)
        ended = precedents.of_project(session, project, limit=_SEARCHES, model_id=model.id)
        ended = ended or precedents.of_project(session, project, limit=_SEARCHES)
        sizes = {key: models.get(session, project, key).spec for key in {one.spec["model"] for one in ended}}
    layers = ModelSpec.from_json(model.spec)
    cost_models = {
        key: fitted(spec.acknowledge, layers, record, pointer("profiles", n), chosen.get(key))
        for n, (key, record) in enumerate(found.items())
    }
    macs = {key: ModelSpec.from_json(document).macs for key, document in sizes.items() if document}
    return _Parts(
        model=model,
        dataset=dataset,
        devices=found,
        cost_models=cost_models,
        layers=layers,
        like_it=like_it,
        known=known,
        took=[_precedent(one, spec.model, macs) for one in ended],
    )


def _same_data(search: SearchRecord, spec: SearchSpec) -> bool:
    task = search.spec.get("task", {}).get("kind", "classification")
    return bool(search.spec["dataset"] == spec.dataset and task == spec.task.kind)


def _precedent(search: SearchRecord, model_id: str, macs: Mapping[str, int]) -> Precedent:
    actual = search.actual or {}
    return Precedent(
        same_model=search.spec["model"] == model_id,
        macs=macs.get(search.spec["model"], 0),
        seconds=actual["seconds"],
        trials=actual["trials"],
        sample_passes=actual["sample_passes"] or 0,
    )


def _expected(spec: SearchSpec, parts: _Parts, reach: ReachableRange) -> ExpectedOut:
    """The front to expect on one device: earlier trials, priced there now."""
    plans = [one.plan for one in parts.known]
    costs = reprice(parts.layers, plans, reach.profile, parts.cost_models[reach.profile])
    found = [
        Found(
            search=one.search_id,
            quality=one.quality,
            standard_error=one.standard_error,
            latency_ms=cost.latency_ms,
        )
        for one, cost in zip(parts.known, costs, strict=True)
    ]
    bounds = ((one.bound or {}).get(reach.profile) for one in parts.like_it)
    bound = next((points for points in bounds if isinstance(points, list)), [])
    most = 1.0 if spec.task.kind == "classification" else None
    return ExpectedOut(
        profile=reach.profile,
        profile_name=parts.devices[reach.profile].name,
        lowest_ms=reach.lowest_ms,
        dense_ms=reach.dense_ms,
        front=[LevelOut.model_validate(asdict(level)) for level in expected_front(reach, found, bound, most)],
    )


def _missed(one: Unreachable, name: str) -> UnreachableOut:
    detail = (
        f"No plan of this search is faster than {at_least(one.lowest_ms)} ms on profile {name!r} (dense: "
        f"{one.dense_ms:.4g} ms); the limit of {one.limit_ms:.6g} ms cannot be met. Raise it, or allow more patterns "
        "or higher sparsities."
    )
    return UnreachableOut(
        pointer=pointer("limits", one.index),
        profile=one.profile,
        resource="latency_ms",
        limit=one.limit_ms,
        lowest=one.lowest_ms,
        dense=one.dense_ms,
        limit_ms=one.limit_ms,
        lowest_ms=one.lowest_ms,
        dense_ms=one.dense_ms,
        detail=detail,
    )


def _further_missed(spec: SearchSpec, resources: Resources) -> list[UnreachableOut]:
    """The limits on something beside latency that no plan keeps, or that the profile cannot price."""
    found = []
    for index, limit in enumerate(spec.limits):
        if limit.further is None:
            continue
        resource, most = limit.further
        try:
            resources.require((limit.profile, resource), most)
        except SearchFailed as error:
            found.append(
                UnreachableOut(
                    pointer=pointer("limits", index),
                    profile=limit.profile,
                    resource=resource,
                    limit=most,
                    lowest=error.details.get("lowest"),
                    dense=error.details.get("dense"),
                    limit_ms=None,
                    lowest_ms=None,
                    dense_ms=None,
                    detail=capitalised(error),
                )
            )
    return found


def _notes(spec: SearchSpec, parts: _Parts, time: Duration, asked: Work, *, nothing: bool) -> list[str]:
    """What the numbers rest on, in sentences."""
    notes = [_BASIS[time.basis].format(n=time.precedents)]
    steps = sorted({one.recovery_steps for one in parts.known})
    if steps:
        told = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
        notes.append(
            f"The expected front is that of {len(parts.known)} trials of {len({k.search_id for k in parts.known})} "
            f"earlier search(es) of this model on this data, after {told} recovery steps; this one has "
            f"{spec.recovery.steps}."
        )
    else:
        notes.append("No trial of this model on this data is complete yet: its quality is not guessed.")
    if "steps" in spec.vary:
        notes.append("Recovery steps vary from trial to trial: what is said here is of trials that take all of them.")
    if asked.table_passes:
        notes.append("Options whose errors are cached are not measured again: p10 is without the error table.")
    if not (parts.dataset.meta or {}).get("splits"):
        notes.append("The data are still being read: what measuring on them takes is not counted.")
    if nothing:
        notes.append("No pattern on any layer pays on these devices: this search would end at once.")
    return notes

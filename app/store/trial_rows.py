"""Trials as rows and back: a trial is one row, one for each cost and one for each measurement."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from sqlalchemy import Row, Select, or_, select
from sqlalchemy.orm import Session

from app.search.trial import Failure, Measurement, Metric, Split, Trial, TrialCost
from app.store import tables
from app.store.errors import NotJson
from app.store.ids import new_id
from app.store.records import FrontTrial, StoredTrial
from app.store.rows import plain, shown
from pruning.plan import PruningPlan

_MANY = 500  # ids in one IN list
_PREDICTED = ("latency_ms", "low_ms", "high_ms", "energy_mj", "weight_bytes")
_COST = (
    tables.TrialCost.profile_id,
    tables.TrialCost.latency_ms,
    tables.TrialCost.low_ms,
    tables.TrialCost.high_ms,
    tables.TrialCost.energy_mj,
    tables.TrialCost.weight_bytes,
    tables.TrialCost.sources,
    tables.TrialCost.derivations,
)
_M = tables.Measurement
_MEASURED = (
    _M.metric,
    _M.value,
    _M.standard_error,
    _M.samples,
    _M.seed,
    _M.fidelity,
    _M.split,
    _M.profile_id,
    _M.origin,
)


def asked_row(search_id: str, trial: Trial) -> dict[str, Any]:
    """A trial that was asked for, as a row."""
    return {
        "id": new_id(),
        "search_id": search_id,
        "number": trial.number,
        "role": trial.role,
        "state": "queued",
        "plan": plain(trial.plan.to_json()),
        "plan_digest": trial.plan.digest,
        "seed": trial.seed,
        "recovery_steps": trial.recovery_steps,
        "coordinates": plain(trial.coordinates),
        "sampler_attributes": plain(trial.sampler_attributes),
        "report": {},
        "files": {},
    }


def cost_rows(trial_id: str, trial: Trial) -> list[dict[str, Any]]:
    """A trial's costs as rows; `position` keeps their order."""
    for cost in trial.costs:
        for name in _PREDICTED:
            if (number := getattr(cost, name)) is not None:
                _require_finite(trial, f"the {name} on profile {cost.profile}", number)
    return [
        {
            "trial_id": trial_id,
            "profile_id": cost.profile,
            "position": position,
            **{name: getattr(cost, name) for name in _PREDICTED},
            "sources": plain(cost.sources),
            "derivations": plain(cost.derivations),
        }
        for position, cost in enumerate(trial.costs)
    ]


def measurement_rows(trial_id: str, trial: Trial, first: int = 0) -> list[dict[str, Any]]:
    """A trial's measurements as rows; `position` keeps their order, from `first` on."""
    rows = []
    for position, measurement in enumerate(trial.measurements, start=first):
        for number in (measurement.value, measurement.standard_error):
            _require_finite(trial, f"{measurement.split or 'its'} {measurement.metric}", number)
        row = dict(vars(measurement))
        row["profile_id"], row["origin"] = row.pop("profile"), plain(measurement.origin) or None
        rows.append({"trial_id": trial_id, "position": position, **row})
    return rows


def _require_finite(trial: Trial, what: str, number: float) -> None:
    """SQLite would make NaN a NULL, and no answer could carry it: such a trial failed, and is recorded as failed."""
    if not isfinite(number):
        raise NotJson(f"Trial {trial.number} cannot be stored: {what} is {number}, which is no finite number")


def stored_trials(s: Session, query: Select[tables.Trial]) -> list[StoredTrial]:
    """The trials a query finds, in its order; costs and measurements come in one query each per some hundred."""
    rows = s.scalars(query.execution_options(populate_existing=True)).all()
    found: list[StoredTrial] = []
    for start in range(0, len(rows), _MANY):
        found += _with_parts(s, rows[start : start + _MANY])
    return found


def _with_parts(s: Session, rows: Sequence[tables.Trial]) -> Iterable[StoredTrial]:
    keys = [row.id for row in rows]
    costs: dict[str, list[TrialCost]] = defaultdict(list)
    c = tables.TrialCost
    for row in s.execute(select(c.trial_id, *_COST).where(c.trial_id.in_(keys)).order_by(c.position)):
        costs[row.trial_id].append(_cost(row))
    measurements: dict[str, list[Measurement]] = defaultdict(list)
    m = tables.Measurement
    for measured in s.scalars(select(m).where(m.trial_id.in_(keys)).order_by(m.position, m.id)):
        measurements[measured.trial_id].append(_measurement(measured))
    return [_stored(row, tuple(costs[row.id]), tuple(measurements[row.id])) for row in rows]


def _cost(row: Row[*tuple[Any, ...]]) -> TrialCost:
    return TrialCost(
        profile=row.profile_id,
        latency_ms=row.latency_ms,
        sources=row.sources,
        derivations=row.derivations,
        low_ms=row.low_ms,
        high_ms=row.high_ms,
        energy_mj=row.energy_mj,
        weight_bytes=row.weight_bytes,
    )


def front_trials(s: Session, search_id: str, profile_id: str, metric: Metric) -> list[FrontTrial]:
    """What a front on a profile shows of the complete and the stopped trials and of the dense one, by number."""
    t, c = tables.Trial, tables.TrialCost
    wanted = or_(t.state.in_(("complete", "stopped")), t.role == "dense")
    query = (
        select(t.number, t.role, t.state, t.plan, t.files, t.shipped, *_COST)
        .join(c, c.trial_id == t.id)
        .where(t.search_id == search_id, wanted, c.profile_id == profile_id)
    )
    best = _headlines(s, search_id, metric)
    measured = _latencies(s, search_id, profile_id)
    return [
        FrontTrial(
            number=row.number,
            role=row.role,
            state=row.state,
            plan=row.plan,
            files=row.files,
            cost=_cost(row),
            validation=best.get((row.number, "validation")),
            test=best.get((row.number, "test")),
            measured=measured.get(row.number),
            shipped=row.shipped,
        )
        for row in s.execute(query.order_by(t.number))
    ]


def _headlines(s: Session, search_id: str, metric: Metric) -> dict[tuple[int, Split], Measurement]:
    """A metric of a search by trial and split, at the highest fidelity; of equal ones the first, as in Trial."""
    t, m = tables.Trial, tables.Measurement
    query = select(t.number, m.position, *_MEASURED).join(m, m.trial_id == t.id).where(t.search_id == search_id)
    rows: dict[tuple[int, Split], Row[*tuple[Any, ...]]] = {}
    for row in s.execute(query.where(m.metric == metric, m.split.is_not(None), m.origin.is_(None))):
        there = rows.get((row.number, row.split))
        if there is None or (row.fidelity, -row.position) > (there.fidelity, -there.position):
            rows[row.number, row.split] = row
    return {key: _measurement(row) for key, row in rows.items()}


def _latencies(s: Session, search_id: str, profile_id: str) -> dict[int, Measurement]:
    """The newest latency of each trial that a worker measured for a profile; posted ones stand on the trial's page."""
    t, m = tables.Trial, tables.Measurement
    query = select(t.number, *_MEASURED).join(m, m.trial_id == t.id).where(t.search_id == search_id)
    rows = s.execute(query.where(m.metric == "latency_ms", m.profile_id == profile_id).order_by(m.position, m.id))
    return {row.number: _measurement(row) for row in rows if (row.origin or {}).get("by") == "verify"}


def _measurement(row: tables.Measurement | Row[*tuple[Any, ...]]) -> Measurement:
    return Measurement(
        metric=row.metric,
        value=row.value,
        standard_error=row.standard_error,
        samples=row.samples,
        seed=row.seed,
        fidelity=row.fidelity,
        split=row.split,
        profile=row.profile_id,
        origin=row.origin or {},
    )


def _stored(row: tables.Trial, costs: tuple[TrialCost, ...], measurements: tuple[Measurement, ...]) -> StoredTrial:
    trial = Trial(
        number=row.number,
        role=row.role,
        state=row.state,
        plan=PruningPlan.from_json(row.plan),
        seed=row.seed,
        recovery_steps=row.recovery_steps,
        costs=costs,
        measurements=measurements,
        coordinates=row.coordinates,
        sampler_attributes=row.sampler_attributes,
        report=row.report,
        files=row.files,
        failure=Failure(**row.failure) if row.failure else None,
        attempts=row.attempts,
    )
    return StoredTrial(
        id=row.id,
        search_id=row.search_id,
        trial=trial,
        created_at=shown(row.created_at),
        finished_at=shown(row.finished_at),
        shipped=row.shipped,
    )

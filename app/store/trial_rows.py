"""Trials as rows and back: a trial is one row, one for each cost and one for each measurement."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.search.trial import Failure, Measurement, Trial, TrialCost
from app.store import tables
from app.store.errors import NotJson
from app.store.ids import new_id
from app.store.records import StoredTrial
from app.store.rows import plain, shown
from pruning.plan import PruningPlan

_MANY = 500  # ids in one IN list


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
        _require_finite(trial, f"the latency on profile {cost.profile}", cost.latency_ms)
    return [
        {
            "trial_id": trial_id,
            "profile_id": cost.profile,
            "position": position,
            "latency_ms": cost.latency_ms,
            "sources": plain(cost.sources),
            "derivations": plain(cost.derivations),
        }
        for position, cost in enumerate(trial.costs)
    ]


def measurement_rows(trial_id: str, trial: Trial) -> list[dict[str, Any]]:
    """A trial's measurements as rows; `position` keeps their order."""
    rows = []
    for position, measurement in enumerate(trial.measurements):
        for number in (measurement.value, measurement.standard_error):
            _require_finite(trial, f"{measurement.split or 'its'} {measurement.metric}", number)
        row = dict(vars(measurement))
        row["profile_id"] = row.pop("profile")
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
    wanted = select(c.trial_id, c.profile_id, c.latency_ms, c.sources, c.derivations).where(c.trial_id.in_(keys))
    for trial_id, profile, latency_ms, sources, derivations in s.execute(wanted.order_by(c.position)):
        cost = TrialCost(profile=profile, latency_ms=latency_ms, sources=sources, derivations=derivations)
        costs[trial_id].append(cost)
    measurements: dict[str, list[Measurement]] = defaultdict(list)
    m = tables.Measurement
    for row in s.scalars(select(m).where(m.trial_id.in_(keys)).order_by(m.position)):
        measurements[row.trial_id].append(_measurement(row))
    return [_stored(row, tuple(costs[row.id]), tuple(measurements[row.id])) for row in rows]


def _measurement(row: tables.Measurement) -> Measurement:
    return Measurement(
        metric=row.metric,
        value=row.value,
        standard_error=row.standard_error,
        samples=row.samples,
        seed=row.seed,
        fidelity=row.fidelity,
        split=row.split,
        profile=row.profile_id,
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
    )

"""Trials: written before they start, recorded once when they end."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from app.search.trial import Trial as TrialValue
from app.store import rows
from app.store.errors import NotFound
from app.store.records import SearchProgress, StoredTrial
from app.store.tables import Measurement, Trial, TrialCost, now

FINISHED = ("complete", "infeasible", "stopped", "failed")


def add_asked(session: Session, search_id: str, trials: Sequence[TrialValue]) -> None:
    """A batch that was asked for, before any of it runs; numbers that are there already are left alone."""
    numbers = [trial.number for trial in trials]
    there = select(Trial.number).where(Trial.search_id == search_id, Trial.number.in_(numbers))
    known = set(session.execute(there).scalars())
    for trial in trials:
        if trial.number not in known:
            row = Trial(search_id=search_id, number=trial.number, **_columns(trial))
            session.add(row)
            session.flush()
            _write_parts(session, row.id, trial)


def set_running(session: Session, search_id: str, number: int, attempt: int) -> None:
    """An attempt begins; a finished trial stays finished."""
    row = _row(session, search_id, number)
    if row.state not in FINISHED:
        row.state, row.attempts = "running", attempt


def record(session: Session, search_id: str, trial: TrialValue) -> bool:
    """The end of a trial. A trial ends once: a second record changes nothing and answers False."""
    row = _row(session, search_id, trial.number)
    if row.state in FINISHED:
        return False
    for column, value in _columns(trial).items():
        setattr(row, column, value)
    row.finished_at = now()
    session.query(TrialCost).filter_by(trial_id=row.id).delete()
    session.query(Measurement).filter_by(trial_id=row.id).delete()
    _write_parts(session, row.id, trial)
    return True


def get(session: Session, search_id: str, number: int) -> StoredTrial:
    """One trial; raises NotFound."""
    return _whole(session, [_row(session, search_id, number)])[0]


def page(
    session: Session, search_id: str, *, limit: int, after_number: int | None = None, state: str | None = None
) -> list[StoredTrial]:
    """A page of a search's trials, by number."""
    wanted = _of(search_id)
    if after_number is not None:
        wanted = wanted.where(Trial.number > after_number)
    if state is not None:
        wanted = wanted.where(Trial.state == state)
    return _whole(session, session.execute(wanted.limit(limit)).scalars().all())


def stored(session: Session, search_id: str) -> list[StoredTrial]:
    """All trials of a search, by number."""
    return _whole(session, session.execute(_of(search_id)).scalars().all())


def history(session: Session, search_id: str) -> list[TrialValue]:
    """All trials of a search, by number, as the search library knows them."""
    return [entry.trial for entry in stored(session, search_id)]


def progress(session: Session, search_ids: Sequence[str]) -> Mapping[str, SearchProgress]:
    """How far each of these searches is, in two queries however many there are."""
    ended = case((Trial.state.in_(FINISHED), 1), else_=0)
    failed = case((Trial.state == "failed", 1), else_=0)
    counted = (
        select(Trial.search_id, func.sum(ended), func.sum(failed), func.count(), func.min(Trial.created_at))
        .where(Trial.search_id.in_(search_ids))
        .group_by(Trial.search_id)
    )
    best = (
        select(Trial.search_id, func.max(Measurement.value))
        .join(Measurement, Measurement.trial_id == Trial.id)
        .where(Trial.search_id.in_(search_ids), Trial.role == "searched", Trial.state == "complete")
        .where(Measurement.metric == "accuracy", Measurement.split == "validation")
        .group_by(Trial.search_id)
    )
    accuracy: dict[str, float] = dict(session.execute(best).tuples())
    return {
        key: SearchProgress(
            done=int(done),
            failed=int(lost),
            asked=asked,
            best_accuracy=accuracy.get(key),
            first_asked_at=rows.iso(first),
        )
        for key, done, lost, asked, first in session.execute(counted).tuples()
    }


def _of(search_id: str) -> Select[Trial]:
    return select(Trial).where(Trial.search_id == search_id).order_by(Trial.number)


def _row(session: Session, search_id: str, number: int) -> Trial:
    row = session.execute(_of(search_id).where(Trial.number == number)).scalar_one_or_none()
    if row is None:
        raise NotFound("trial", number)
    return row


def _columns(trial: TrialValue) -> dict[str, Any]:
    document = trial.to_json()
    same = ("role", "state", "plan", "seed", "recovery_steps", "failure", "attempts")
    free = ("coordinates", "sampler_attributes", "report", "files")
    return (
        {name: document[name] for name in same}
        | {name: dict(document[name]) for name in free}
        | {"plan_digest": trial.plan.digest}
    )


def _write_parts(session: Session, trial_id: str, trial: TrialValue) -> None:
    for position, cost in enumerate(trial.costs):
        fields = asdict(cost)
        profile = fields.pop("profile")
        session.add(TrialCost(trial_id=trial_id, profile_id=profile, position=position, **fields))
    for position, measurement in enumerate(trial.measurements):
        fields = asdict(measurement)
        profile = fields.pop("profile")
        session.add(Measurement(trial_id=trial_id, profile_id=profile, position=position, **fields))
    session.flush()


def _whole(session: Session, found: Sequence[Trial]) -> list[StoredTrial]:
    keys = [row.id for row in found]
    costs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cost in _parts(session, TrialCost, keys):
        shown = {name: getattr(cost, name) for name in ("latency_ms", "sources", "derivations")}
        costs[cost.trial_id].append({"profile": cost.profile_id, **shown})
    measured: dict[str, list[dict[str, Any]]] = defaultdict(list)
    names = ("metric", "split", "value", "standard_error", "samples", "seed", "fidelity")
    for item in _parts(session, Measurement, keys):
        measured[item.trial_id].append({"profile": item.profile_id} | {n: getattr(item, n) for n in names})
    return [
        StoredTrial(
            id=row.id,
            search_id=row.search_id,
            trial=_value(row, costs[row.id], measured[row.id]),
            created_at=rows.iso(row.created_at),
            finished_at=rows.iso_or_none(row.finished_at),
        )
        for row in found
    ]


def _parts(session: Session, table: type[Any], keys: Sequence[str]) -> Sequence[Any]:
    found: list[Any] = []
    for start in range(0, len(keys), 500):  # SQLite bounds the number of parameters of a statement
        some = select(table).where(table.trial_id.in_(keys[start : start + 500])).order_by(table.position)
        found += session.execute(some).scalars()
    return found


def _value(row: Trial, costs: list[dict[str, Any]], measured: list[dict[str, Any]]) -> TrialValue:
    names = ("number", "role", "state", "plan", "seed", "recovery_steps", "coordinates", "sampler_attributes")
    rest = ("report", "files", "failure", "attempts")
    columns = {name: getattr(row, name) for name in (*names, *rest)}
    return TrialValue.from_json({**columns, "costs": costs, "measurements": measured})

"""Trials: asked for once, measured at every fidelity they reach, recorded once. What is recorded stays as it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.search.judging import headline_of
from app.search.trial import Measurement, Metric, Trial, TrialState
from app.store import tables
from app.store.errors import Conflict, NotFound
from app.store.records import FrontTrial, SearchProgress, StoredTrial
from app.store.rows import insert_new, plain, plain_or_none, shown
from app.store.trial_rows import asked_row, cost_rows, front_trials, measurement_rows, stored_trials

UNFINISHED: tuple[TrialState, ...] = ("queued", "running")
FINISHED: tuple[TrialState, ...] = ("complete", "infeasible", "stopped", "failed")
LARGEST = 2**31 - 1  # what the column of numbers holds; a database refuses to compare it with more
_T = tables.Trial
_SPEC = select(tables.Search.spec)


def add_asked(s: Session, search_id: str, trials: Sequence[Trial]) -> None:
    """Queue a batch of trials with their costs; numbers that are there already stay as they are.

    Raises:
        NotJson: a cost is no finite number.
    """
    rows = [asked_row(search_id, trial) for trial in trials]
    if not rows:
        return
    new = s.execute(insert_new(s, tables.Trial).returning(_T.id, _T.number), rows).all()
    by_number = {trial.number: trial for trial in reversed(trials)}
    costs = [cost for trial_id, number in new for cost in cost_rows(trial_id, by_number[number])]
    if costs:
        s.execute(insert(tables.TrialCost), costs)


def set_running(s: Session, search_id: str, number: int, attempt: int) -> None:
    """An attempt at it began. Says nothing to a trial that is recorded; NotFound if nobody asked for it."""
    begun = update(_T).where(_T.search_id == search_id, _T.number == number, _T.state.in_(UNFINISHED))
    if s.scalars(begun.values(state="running", attempts=attempt).returning(_T.id)).one_or_none() is None:
        _row(s, search_id, number)


def record(s: Session, search_id: str, trial: Trial) -> bool:
    """Write down how a trial ended. The first record stands: a second changes nothing. Whether this was the first.

    Raises:
        NotFound: nobody asked for it.
        Conflict: it has not ended, or is not the trial that was asked for.
        NotJson: it carries a number that is not finite.
    """
    if trial.state not in FINISHED:
        raise Conflict(f"Trial {trial.number} is {trial.state}: only an ended trial is recorded.")
    row = _row(s, search_id, trial.number)
    asked_for = (row.plan_digest, row.seed, row.role, row.recovery_steps)
    if asked_for != (trial.plan.digest, trial.seed, trial.role, trial.recovery_steps):
        raise Conflict(f"Trial {trial.number} was asked for with another plan or seed, role or recovery than this one.")
    costs, measurements = cost_rows(row.id, trial), measurement_rows(row.id, trial)
    headline = headline_of(s.execute(_SPEC.where(tables.Search.id == search_id)).scalar_one())
    found = trial.value(headline.metric, "validation") if trial.state == "complete" else None
    ended = update(_T).where(_T.id == row.id, _T.state.in_(UNFINISHED))
    values = {
        "state": trial.state,
        "coordinates": plain(trial.coordinates),
        "sampler_attributes": plain(trial.sampler_attributes),
        "report": plain(trial.report),
        "files": plain(trial.files),
        "failure": plain_or_none(vars(trial.failure)) if trial.failure else None,
        "quality": None if found is None else headline.quality(found.value),
        "attempts": trial.attempts,
        "finished_at": tables.now(),
    }
    if s.scalars(ended.values(**values).returning(_T.id)).one_or_none() is None:
        return False
    s.execute(delete(tables.TrialCost).where(tables.TrialCost.trial_id == row.id))
    if costs:
        s.execute(insert(tables.TrialCost), costs)
    _measure(s, row.id, measurements)
    return True


def measured(s: Session, search_id: str, trial: Trial) -> bool:
    """Write down what a trial showed at a fidelity below the last; it waits, queued. Says nothing to one that ended.

    Raises:
        NotFound: nobody asked for it.
        NotJson: it carries a number that is not finite.
    """
    row = _row(s, search_id, trial.number)
    measurements = measurement_rows(row.id, trial)
    waits = update(_T).where(_T.id == row.id, _T.state.in_(UNFINISHED), _T.recovery_steps == trial.recovery_steps)
    values = {"state": "queued", "report": plain(trial.report), "attempts": trial.attempts}
    if s.scalars(waits.values(**values).returning(_T.id)).one_or_none() is None:
        return False
    _measure(s, row.id, measurements)
    return True


def promote(s: Session, search_id: str, trials: Sequence[Trial]) -> None:
    """These trials go on at the fidelity they carry. Says nothing to those that ended or are there already."""
    for trial in trials:
        mine = (_T.search_id == search_id, _T.number == trial.number, _T.state.in_(UNFINISHED))
        below = _T.recovery_steps < trial.recovery_steps
        s.execute(update(_T).where(*mine, below).values(recovery_steps=trial.recovery_steps, state="queued"))


def _measure(s: Session, trial_id: str, measurements: Sequence[Mapping[str, Any]]) -> None:
    """All measurements of a trial that runs, in place of those of its lower fidelities alone."""
    s.execute(delete(tables.Measurement).where(tables.Measurement.trial_id == trial_id))
    if measurements:
        s.execute(insert(tables.Measurement), [dict(row) for row in measurements])


def add_files(s: Session, search_id: str, number: int, files: Mapping[str, str]) -> None:
    """Name files that were made of a recorded trial later, by kind; a kind that is there is replaced."""
    row = _row(s, search_id, number)
    row.files = {**row.files, **plain(files)}


def add_measurements(s: Session, search_id: str, number: int, measurements: Sequence[Measurement]) -> None:
    """Add what was measured of a recorded trial later. Each says where it comes from; none moves a front.

    Raises:
        Conflict: the trial has not ended, or a measurement has no origin.
        NotJson: a number is not finite.
    """
    row = _row(s, search_id, number)
    if row.state not in FINISHED:
        raise Conflict(f"Trial {number} is {row.state}: only an ended trial is measured again.")
    if any(not measurement.origin for measurement in measurements):
        raise Conflict("A later measurement says where it comes from.")
    there = s.scalar(select(func.count()).select_from(tables.Measurement).where(tables.Measurement.trial_id == row.id))
    trial = get(s, search_id, number).trial.evolve(measurements=tuple(measurements))
    s.execute(insert(tables.Measurement), measurement_rows(row.id, trial, there or 0))


def set_shipped(s: Session, search_id: str, number: int, shipped: Mapping[str, str] | None) -> None:
    """Mark a trial as shipped, or take the mark away with None.

    Raises:
        Conflict: the trial is not complete.
    """
    row = _row(s, search_id, number)
    if shipped is not None and row.state != "complete":
        raise Conflict(f"Trial {number} is {row.state}: only a complete trial is shipped.")
    row.shipped = plain_or_none(shipped)


def history(s: Session, search_id: str) -> list[Trial]:
    """Every trial of a search, by number."""
    return [entry.trial for entry in stored(s, search_id)]


def stored(s: Session, search_id: str) -> list[StoredTrial]:
    """Every trial of a search with its times, by number."""
    return stored_trials(s, _of(search_id))


def page(
    s: Session, search_id: str, *, limit: int, after_number: int | None = None, state: str | None = None
) -> list[StoredTrial]:
    """A search's trials by number, from behind `after_number`; of one state if that is given."""
    query = _of(search_id)
    if after_number is not None:
        query = query.where(_T.number > min(after_number, LARGEST))
    if state is not None:
        query = query.where(_T.state == state)
    return stored_trials(s, query.limit(limit))


def of_role(s: Session, search_id: str, role: str) -> StoredTrial | None:
    """The trial with that role (`dense`, `dense_recovered`), without reading the others."""
    return next(iter(stored_trials(s, _of(search_id).where(_T.role == role).limit(1))), None)


def for_front(s: Session, search_id: str, profile_id: str, metric: Metric = "accuracy") -> list[FrontTrial]:
    """The complete and the stopped trials priced on a profile, with their headline, and the dense one in any state.

    By number. Three queries, whatever the number of trials; of each, no more is read than a front shows.
    """
    return front_trials(s, search_id, profile_id, metric)


def get(s: Session, search_id: str, number: int) -> StoredTrial:
    """One trial of a search, else NotFound."""
    entries = stored_trials(s, _of(search_id).where(_T.number == number)) if 0 <= number <= LARGEST else []
    if not entries:
        raise NotFound("trial", number)
    return entries[0]


def progress(s: Session, search_ids: Sequence[str]) -> dict[str, SearchProgress]:
    """How far each of these searches is: two queries, whatever their number, and no trial is read."""
    count, state = func.count(), _T.state
    best = func.max(_T.quality).filter(_T.role == "searched", state == "complete")
    counts = (
        select(
            _T.search_id,
            count.filter(state.in_(FINISHED)).label("done"),
            count.filter(state == "failed").label("failed"),
            count.filter(state == "infeasible").label("infeasible"),
            count.filter(state == "stopped").label("stopped"),
            count.label("asked"),
            best.label("best_quality"),
        )
        .where(_T.search_id.in_(search_ids))
        .group_by(_T.search_id)
    )
    firsts = select(_T.search_id, _T.created_at).where(_T.search_id.in_(search_ids), _T.number == 0)
    begun = {search_id: shown(created_at) for search_id, created_at in s.execute(firsts)}
    none = SearchProgress(done=0, failed=0, asked=0, best_quality=None, first_asked_at=None)
    found = {
        row.search_id: SearchProgress(
            done=row.done,
            failed=row.failed,
            asked=row.asked,
            best_quality=row.best_quality,
            first_asked_at=begun.get(row.search_id),
            infeasible=row.infeasible,
            stopped=row.stopped,
        )
        for row in s.execute(counts)
    }
    return {search_id: found.get(search_id, none) for search_id in search_ids}


def _of(search_id: str) -> Select[tables.Trial]:
    return select(_T).where(_T.search_id == search_id).order_by(_T.number)


def _row(s: Session, search_id: str, number: int) -> tables.Trial:
    row = s.scalars(select(_T).where(_T.search_id == search_id, _T.number == number)).one_or_none()
    if row is None:
        raise NotFound("trial", number)
    return row

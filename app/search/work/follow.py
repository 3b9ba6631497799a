"""Tasks followed to their end on an executor, and the trials of a batch.

What runs is cancelled when the caller leaves; an attempt whose process died is made again, up to `MAX_ATTEMPTS`.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from app.search.events import Event, SearchProgress, TrialFinished, TrialStarted
from app.search.executor import Executor, Outcome, Progress, Task
from app.search.spec import SearchSpec
from app.search.trial import Failure, Measurement, Trial
from app.search.work.spending import with_run
from app.search.work.supply import Supply
from costmodels.base import CostModel
from pruning.layers import ModelSpec

MAX_ATTEMPTS = 3
_POLL_S = 0.5
_DIVERGED = ("recovery", "not_finite")  # codes of failures that a plan has of itself: the recovery's loss is no number


@dataclass(frozen=True, kw_only=True)
class Problem:
    """All that a search needs: its spec, the model, a cost model a profile, and local files.

    `key` names its tasks; `supply` says what its runs will take, so that budgets are kept to the last pass.
    """

    spec: SearchSpec
    model: ModelSpec
    cost_models: Mapping[str, CostModel]  # by profile id, in the spec's order
    files: Mapping[str, str]  # "graph", "weights", "dataset"
    key: str = "search"
    supply: Supply = field(default_factory=Supply)


@dataclass(frozen=True)
class Started:
    """An attempt was submitted."""

    task: Task


@dataclass(frozen=True)
class Ended:
    """The last attempt is over."""

    task: Task
    outcome: Outcome


def follow(executor: Executor, tasks: Sequence[Task]) -> Generator[Started | Progress | Ended, None, None]:
    """Submit all, and tell what becomes of them, in the order in which it happens."""
    last = {task.id: task.attempt + MAX_ATTEMPTS - 1 for task in tasks}
    running: dict[str, Task] = {}
    try:
        for task in tasks:
            running[task.id] = task
            executor.submit(task)
            yield Started(task)
        for task, event in _happening(executor, running):
            if isinstance(event, Progress):
                yield event
            elif event.state == "lost" and task.attempt < last[task.id]:
                running[task.id] = replace(task, attempt=task.attempt + 1)
                executor.submit(running[task.id])
                yield Started(running[task.id])
            else:
                del running[task.id]
                yield Ended(task, event)
    finally:
        for task_id in running:
            executor.cancel(task_id)


def _happening(executor: Executor, running: Mapping[str, Task]) -> Iterator[tuple[Task, Progress | Outcome]]:
    while running:
        for event in executor.poll(_POLL_S):
            if event.task in running:
                yield running[event.task], event


def run_trials(problem: Problem, executor: Executor, trials: Sequence[Trial]) -> Generator[Event, None, None]:
    """Run each of these trials; a `TrialStarted` an attempt, a `TrialFinished` a trial."""
    tasks = [_trial_task(problem, trial) for trial in trials]
    by_task = {task.id: trial for task, trial in zip(tasks, trials, strict=True)}
    with closing(follow(executor, tasks)) as happened:
        for event in happened:
            match event:
                case Started(task):
                    yield TrialStarted(number=by_task[task.id].number, attempt=task.attempt)
                case Progress(task=task_id, fraction=fraction, text=text):
                    yield SearchProgress(fraction=fraction, text=text, task=task_id)
                case Ended(task, outcome):
                    trial = _finished(by_task[task.id].evolve(attempts=task.attempt), outcome, problem.spec)
                    yield TrialFinished(trial=trial, files=outcome.files if trial.state == "complete" else {})


def _trial_task(problem: Problem, trial: Trial) -> Task:
    asked = {
        "number": trial.number,
        "role": trial.role,
        "plan": trial.plan.to_json(),
        "seed": trial.seed,
        "recovery_steps": trial.recovery_steps,
        "coordinates": dict(trial.coordinates),
    }
    return Task(
        id=f"{problem.key}/trial/{trial.number}",
        kind="trial",
        payload=payload_of(problem) | {"trial": asked},
        threads=problem.spec.threads,
        attempt=trial.attempts + 1,
    )


def _finished(trial: Trial, outcome: Outcome, spec: SearchSpec) -> Trial:
    match outcome.state:
        case "done":
            return _measured(trial, outcome.result, spec)
        case "cancelled":
            return trial.evolve(state="stopped", failure=Failure(code="cancelled", reason="The trial was stopped."))
        case "lost":
            died = f"Its process died {MAX_ATTEMPTS} times in a row; the last log is with the worker."
            return trial.evolve(state="failed", failure=Failure(code="lost", reason=died))
    failure = outcome.failure or Failure(code="internal", reason="It failed.")
    return trial.evolve(state="infeasible" if failure.code in _DIVERGED else "failed", failure=failure)


def _measured(trial: Trial, result: Mapping[str, Any], spec: SearchSpec) -> Trial:
    found = [Measurement(**m) for m in result["measurements"]]
    if strange := [m for m in found if not isfinite(m.value)]:
        reason = f"its {strange[0].split} {strange[0].metric} is {strange[0].value}: the recovery diverged"
        return trial.evolve(state="infeasible", failure=Failure(code="not_finite", reason=reason))
    return with_run(trial, result["report"], found, spec).evolve(state="complete")


def payload_of(problem: Problem) -> dict[str, Any]:
    """What every task of a search is told."""
    return {
        **problem.files,
        "model_spec": problem.model.to_json(),
        "search_spec": problem.spec.to_json(),
    }

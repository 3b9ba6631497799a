"""Tasks followed to their end on an executor: the error table in parts, and the trials of a batch.

What runs is cancelled when the caller leaves; an attempt whose process died is made again, up to `MAX_ATTEMPTS`.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from app.search.errors import SearchFailed
from app.search.events import Event, SearchProgress, TrialFinished, TrialStarted
from app.search.executor import Executor, Outcome, Progress, Task
from app.search.options import Space
from app.search.spec import SearchSpec
from app.search.trial import Failure, Measurement, Trial
from costmodels.base import CostModel
from pruning.layers import ModelSpec

MAX_ATTEMPTS = 3
_POLL_S = 0.5
_UNITS_A_TASK = 5


@dataclass(frozen=True, kw_only=True)
class Problem:
    """All that a search needs: its spec, the model, a cost model a profile, and local files. `key` names its tasks."""

    spec: SearchSpec
    model: ModelSpec
    cost_models: Mapping[str, CostModel]  # by profile id, in the spec's order
    files: Mapping[str, str]  # "graph", "weights", "dataset"
    key: str = "search"


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
                    trial = _finished(by_task[task.id].evolve(attempts=task.attempt), outcome)
                    yield TrialFinished(trial=trial, files=outcome.files if trial.state == "complete" else {})


def score_options(problem: Problem, space: Space, executor: Executor) -> Generator[Event, None, dict[str, Any]]:
    """The error table, from one task for every few units, so that all slots have work.

    Raises:
        SearchFailed: a part of it could not be had; the others are stopped.
    """
    tasks = _score_tasks(problem, space)
    results: dict[str, Mapping[str, Any]] = {}
    fractions = dict.fromkeys((task.id for task in tasks), 0.0)
    with closing(follow(executor, tasks)) as happened:
        for event in happened:
            if isinstance(event, Ended):
                results[event.task.id] = _result(event.outcome)
                fractions[event.task.id] = 1.0
            elif isinstance(event, Progress):
                fractions[event.task] = event.fraction
                share = sum(fractions.values()) / len(tasks)
                yield SearchProgress(fraction=share, text="scoring options one at a time", task=event.task)
    ordered = [results[task.id] for task in tasks]
    return {
        "errors": [errors for result in ordered for errors in result["errors"]],
        "samples": max((result["samples"] for result in ordered), default=0),
    }


def _score_tasks(problem: Problem, space: Space) -> list[Task]:
    asked = [[option.to_json() for option in unit.options] for unit in space.units]
    return [
        Task(
            id=f"{problem.key}/score/{start}",
            kind="score",
            payload=_payload(problem) | {"options": asked[start : start + _UNITS_A_TASK]},
            threads=problem.spec.threads,
        )
        for start in range(0, len(asked), _UNITS_A_TASK)
    ]


def _result(outcome: Outcome) -> Mapping[str, Any]:
    if outcome.state == "done":
        return outcome.result
    why = outcome.failure or Failure(code=outcome.state, reason="The scoring of options did not finish.")
    raise SearchFailed(why.code, why.reason, why.details)


def _trial_task(problem: Problem, trial: Trial) -> Task:
    asked = {
        "number": trial.number,
        "role": trial.role,
        "plan": trial.plan.to_json(),
        "seed": trial.seed,
        "recovery_steps": trial.recovery_steps,
    }
    return Task(
        id=f"{problem.key}/trial/{trial.number}",
        kind="trial",
        payload=_payload(problem) | {"trial": asked},
        threads=problem.spec.threads,
        attempt=trial.attempts + 1,
    )


def _finished(trial: Trial, outcome: Outcome) -> Trial:
    match outcome.state:
        case "done":
            return trial.evolve(
                state="complete",
                measurements=tuple(Measurement(**m) for m in outcome.result["measurements"]),
                report=outcome.result["report"],
            )
        case "cancelled":
            return trial.evolve(state="stopped", failure=Failure(code="cancelled", reason="The trial was stopped."))
        case "lost":
            died = f"Its process died {MAX_ATTEMPTS} times in a row; the last log is with the worker."
            return trial.evolve(state="failed", failure=Failure(code="lost", reason=died))
    return trial.evolve(state="failed", failure=outcome.failure or Failure(code="internal", reason="It failed."))


def _payload(problem: Problem) -> dict[str, Any]:
    return {
        **problem.files,
        "model_spec": problem.model.to_json(),
        "search_spec": problem.spec.to_json(),
    }

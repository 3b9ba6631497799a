"""One search from its problem to its last trial: a generator that stores nothing and prints nothing.

    for event in run(problem, executor, history=stored_trials, scores=stored_scores):
        ...  # store it, show it, or leave the loop to stop

A batch of trials is yielded before any of it runs, so whoever stores events can be killed at any moment and go on with
what is stored: unfinished trials run again as they were asked for, and nothing that was asked is asked twice.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.search.candidates import candidates
from app.search.coordinates import Terrain
from app.search.errors import SearchFailed
from app.search.events import (
    BoundReady,
    Event,
    PhaseStarted,
    ScoresReady,
    SearchProgress,
    SpaceReady,
    TrialFinished,
    TrialsAsked,
    TrialStarted,
)
from app.search.executor import Executor, Outcome, Progress, Task
from app.search.price import ReachableRange, cost_table, price_plan, reachable_range, remembered
from app.search.propose import FIRST, propose
from app.search.space import Space, space
from app.search.spec import SearchSpec
from app.search.trial import Failure, Measurement, Trial
from costmodels.base import CostModel
from pruning.layers import ModelSpec
from pruning.plan import PruningPlan

__all__ = [
    "BoundReady",
    "Event",
    "PhaseStarted",
    "Problem",
    "ScoresReady",
    "SearchFailed",
    "SearchProgress",
    "SpaceReady",
    "TrialFinished",
    "TrialStarted",
    "TrialsAsked",
    "run",
]
MAX_ATTEMPTS = 3
_POLL_S = 0.5
_FINISHED = ("complete", "infeasible", "stopped", "failed")
_BOUND_POINTS = 200
_UNITS_A_TASK = 5


@dataclass(frozen=True, kw_only=True)
class Problem:
    """All that a search needs: its spec, the model, a cost model a profile, and local files. `key` names its tasks."""

    spec: SearchSpec
    model: ModelSpec
    cost_models: Mapping[str, CostModel]  # by profile id, in the spec's order
    files: Mapping[str, str]  # "graph", "weights", "dataset"
    key: str = "search"


def run(
    problem: Problem,
    executor: Executor,
    history: Sequence[Trial] = (),
    scores: Mapping[str, Any] | None = None,
) -> Iterator[Event]:
    """Run a search, or go on with one.

    Args:
        problem: what to search.
        executor: where scoring and trials run.
        history: the stored trials of this search; unfinished ones are run again.
        scores: the document of an earlier `ScoresReady`.

    Raises:
        SearchFailed: it cannot go on, for example because a limit is out of reach; known before any training.
    """
    yield PhaseStarted(phase="solving")
    cost_models = remembered(problem.cost_models)
    options = space(problem.model, problem.spec, cost_models)
    reachable = {key: reachable_range(problem.model, options, key, m) for key, m in cost_models.items()}
    check_limits(problem.spec, reachable)
    yield SpaceReady(space=_space_document(options, reachable))
    if scores is None:
        yield PhaseStarted(phase="scoring")
        scores = yield from _score(problem, options, executor)
        yield ScoresReady(document=scores)
    terrain = Terrain(
        spec=problem.spec,
        model=problem.model,
        space=options,
        table=cost_table(problem.model, options, cost_models),
        errors=tuple(np.asarray(errors, dtype=np.float64) for errors in scores["errors"]),
        reachable=reachable,
        cost_models=cost_models,
    )
    yield BoundReady(document=_bound(terrain))
    yield PhaseStarted(phase="searching")
    yield from _search(problem, terrain, executor, history)


def check_limits(spec: SearchSpec, reachable: Mapping[str, ReachableRange]) -> None:
    """Answer impossible limits from the table, before anything is trained.

    Raises:
        SearchFailed: code `limit_unreachable`, with the reachable range.
    """
    for limit in spec.limits:
        range_ = reachable[limit.profile]
        limit_ms = limit.latency_ms if limit.latency_ms is not None else (limit.share or 1.0) * range_.dense_ms
        if limit_ms < range_.lowest_ms * (1 - 1e-9):
            raise SearchFailed(
                "limit_unreachable",
                f"no plan reaches {limit_ms:.4g} ms on profile {limit.profile!r}: this space goes from "
                f"{range_.lowest_ms:.4g} ms ({range_.lowest_ms / range_.dense_ms:.0%} of dense) to "
                f"{range_.dense_ms:.4g} ms (dense); raise the limit, or allow more patterns or sparsities",
                {
                    "profile": limit.profile,
                    "limit_ms": limit_ms,
                    "lowest_ms": range_.lowest_ms,
                    "dense_ms": range_.dense_ms,
                },
            )


def _search(problem: Problem, terrain: Terrain, executor: Executor, history: Sequence[Trial]) -> Iterator[Event]:
    """Batch after batch: the two dense trials, then `width` at a time."""
    spec = problem.spec
    trials = {trial.number: trial for trial in history}
    last = FIRST + spec.trials
    batches = [range(FIRST)] + [range(n, min(n + spec.width, last)) for n in range(FIRST, last, spec.width)]
    for numbers in batches:
        if any(number not in trials for number in numbers):
            before = [trials[number] for number in range(numbers[0])]
            asked = _dense(problem) if numbers[0] == 0 else propose(terrain, before, numbers)
            yield TrialsAsked(trials=asked)
            trials |= {trial.number: trial for trial in asked if trial.number not in trials}
        for trial in [trials[number] for number in numbers if trials[number].state == "infeasible"]:
            yield TrialFinished(trial=trial)
        unfinished = [trials[number] for number in numbers if trials[number].state not in _FINISHED]
        for event in _run_batch(problem, executor, unfinished):
            if isinstance(event, TrialFinished):
                trials[event.trial.number] = event.trial
            yield event
        if numbers[0] == 0 and trials[0].state == "failed":
            failure = trials[0].failure
            raise SearchFailed(
                failure.code if failure else "dense_failed",
                f"the dense model itself could not be run: {failure.reason if failure else 'no reason is known'}",
            )


def _dense(problem: Problem) -> list[Trial]:
    spec = problem.spec
    plan = PruningPlan(pruner="magnitude")
    costs = price_plan(problem.model, plan, problem.cost_models)
    uploaded = Trial(number=0, role="dense", state="queued", plan=plan, seed=spec.seed, recovery_steps=0, costs=costs)
    steps = spec.recovery.steps
    return [uploaded, uploaded.evolve(number=1, role="dense_recovered", recovery_steps=steps)]


def _run_batch(problem: Problem, executor: Executor, batch: Sequence[Trial]) -> Iterator[Event]:
    """Submit all, follow all; a lost process is tried again, as the next attempt of the same trial."""
    running: dict[str, tuple[Task, Trial]] = {}
    try:
        for trial in batch:
            task = _trial_task(problem, trial.evolve(attempts=trial.attempts + 1))
            running[task.id] = (task, trial.evolve(state="running", attempts=task.attempt))
            executor.submit(task)
            yield TrialStarted(number=trial.number, attempt=task.attempt)
        while running:
            for event in executor.poll(_POLL_S):
                if event.task not in running:
                    continue
                task, trial = running[event.task]
                if isinstance(event, Progress):
                    yield SearchProgress(fraction=event.fraction, text=event.text, task=event.task)
                elif event.state == "lost" and task.attempt < trial.attempts + MAX_ATTEMPTS - 1:
                    again = replace(task, attempt=task.attempt + 1)
                    running[task.id] = (again, trial)
                    executor.submit(again)
                    yield TrialStarted(number=trial.number, attempt=again.attempt)
                else:
                    del running[event.task]
                    finished = _finished(trial.evolve(attempts=task.attempt), event)
                    yield TrialFinished(trial=finished, files=event.files if finished.state == "complete" else {})
    finally:
        for task_id in running:
            executor.cancel(task_id)


def _trial_task(problem: Problem, trial: Trial) -> Task:
    asked = {
        "number": trial.number,
        "role": trial.role,
        "plan": trial.plan.to_json(),
        "seed": trial.seed,
        "recovery_steps": trial.recovery_steps,
    }
    payload = _payload(problem) | {"trial": asked}
    return Task(
        id=f"{problem.key}/trial/{trial.number}",
        kind="trial",
        payload=payload,
        threads=problem.spec.threads,
        attempt=trial.attempts,
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
            died = f"Its process died {trial.attempts} times; the last log is with the worker."
            return trial.evolve(state="failed", failure=Failure(code="lost", reason=died))
    return trial.evolve(state="failed", failure=outcome.failure or Failure(code="internal", reason="It failed."))


def _score(problem: Problem, options: Space, executor: Executor) -> Generator[Event, None, Mapping[str, Any]]:
    """The error table, from one task for every few units, so that all slots have work."""
    asked = [[option.to_json() for option in unit.options] for unit in options.units]
    tasks = {}
    for start in range(0, len(asked), _UNITS_A_TASK):
        part = asked[start : start + _UNITS_A_TASK]
        payload = _payload(problem) | {"options": part}
        task_id = f"{problem.key}/score/{start}"
        tasks[task_id] = Task(id=task_id, kind="score", payload=payload, threads=problem.spec.threads)
    results = yield from _all_done(executor, tasks)
    samples = {result["samples"] for result in results}
    return {"errors": [errors for result in results for errors in result["errors"]], "samples": max(samples)}


def _all_done(executor: Executor, tasks: dict[str, Task]) -> Generator[Event, None, list[Mapping[str, Any]]]:
    """The results of all tasks, in their order; the first that fails ends the search."""
    results: dict[str, Mapping[str, Any]] = {}
    fractions = dict.fromkeys(tasks, 0.0)
    try:
        for task in tasks.values():
            executor.submit(task)
        while len(results) < len(tasks):
            for event in executor.poll(_POLL_S):
                if event.task not in tasks or event.task in results:
                    continue
                task = tasks[event.task]
                if isinstance(event, Progress):
                    fractions[event.task] = event.fraction
                    share = sum(fractions.values()) / len(tasks)
                    yield SearchProgress(fraction=share, text="scoring options one at a time", task=event.task)
                elif event.state == "done":
                    results[event.task], fractions[event.task] = event.result, 1.0
                elif event.state == "lost" and task.attempt < MAX_ATTEMPTS:
                    tasks[event.task] = replace(task, attempt=task.attempt + 1)
                    executor.submit(tasks[event.task])
                else:
                    why = event.failure or Failure(code=event.state, reason="The scoring of options did not finish.")
                    raise SearchFailed(why.code, why.reason, why.details)
    finally:
        for task_id in tasks.keys() - results.keys():
            executor.cancel(task_id)
    return [results[task_id] for task_id in tasks]


def _payload(problem: Problem) -> dict[str, Any]:
    return {
        **problem.files,
        "model_spec": problem.model.to_json(),
        "search_spec": problem.spec.to_json(),
    }


def _space_document(options: Space, reachable: Mapping[str, ReachableRange]) -> dict[str, Any]:
    ranges = {key: {"lowest_ms": r.lowest_ms, "dense_ms": r.dense_ms} for key, r in reachable.items()}
    return {**options.to_json(), "reachable": ranges}


def _bound(terrain: Terrain) -> dict[str, Any]:
    """The additive front of every profile; error is the sum of one-at-a-time errors, nats of KL to dense."""
    document = {}
    for device, profile in enumerate(terrain.spec.profiles):
        front = candidates(terrain.space, terrain.table, device, terrain.errors).solve()
        rows = np.unique(np.linspace(0, len(front) - 1, min(len(front), _BOUND_POINTS)).round().astype(int))
        overhead_ms = float(terrain.table.overhead_ms[device])
        document[profile] = [
            {"latency_ms": overhead_ms + float(front.costs[row]), "error": float(front.errors[row])} for row in rows
        ]
    return document

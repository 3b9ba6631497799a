"""One search from its problem to its last trial: a generator that stores nothing and prints nothing.

    for event in run(problem, executor, history=stored_trials, scores=stored_scores):
        ...  # store it, show it, or leave the loop to stop

A batch of trials is yielded before any of it runs, so whoever stores events can be killed at any moment and go on with
what is stored: unfinished trials run again as they were asked for, and nothing that was asked is asked twice.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from app.search.candidates import candidates, weighted
from app.search.coordinates import Terrain
from app.search.errors import SearchFailed
from app.search.events import BoundReady, Event, PhaseStarted, ScoresReady, SpaceReady, TrialFinished, TrialsAsked
from app.search.executor import Executor
from app.search.follow import MAX_ATTEMPTS, Problem, run_trials, score_options
from app.search.limits import Limits, Prices
from app.search.options import Space
from app.search.price import cost_table, price_plan, reachable_range, remembered
from app.search.propose import FIRST, propose
from app.search.space import space
from app.search.trial import Trial
from pruning.plan import PruningPlan

__all__ = ["MAX_ATTEMPTS", "Event", "Problem", "SearchFailed", "run"]
_UNFINISHED = ("queued", "running")
_BOUND_POINTS = 200


def run(
    problem: Problem,
    executor: Executor,
    history: Sequence[Trial] = (),
    scores: Mapping[str, Any] | None = None,
) -> Generator[Event, None, None]:
    """Run a search, or go on with one.

    Args:
        problem: what to search.
        executor: where scoring and trials run; for this search alone, with nothing left over from an earlier run.
        history: the stored trials of this search; unfinished ones are run again.
        scores: the document of an earlier `ScoresReady`.

    Raises:
        SearchFailed: it cannot go on, for example because a limit is out of reach; known before any training.
    """
    yield PhaseStarted(phase="solving")
    prices = _prices(problem)
    yield SpaceReady(space=_space_document(prices))
    limits = Limits.of(problem.spec, prices.reachable)
    haven = prices.keeping(limits)
    _check_options(prices.space)
    if scores is None:
        yield PhaseStarted(phase="scoring")
        scores = yield from score_options(problem, prices.space, executor)
        yield ScoresReady(document=scores)
    errors = tuple(np.asarray(errors, dtype=np.float64) for errors in scores["errors"])
    terrain = Terrain(spec=problem.spec, prices=prices, errors=errors, limits=limits, haven=haven)
    yield BoundReady(document=_bound(terrain))
    yield PhaseStarted(phase="searching")
    yield from _search(problem, terrain, executor, history)


def _prices(problem: Problem) -> Prices:
    cost_models = remembered(problem.cost_models)
    found = space(problem.model, problem.spec, cost_models)
    return Prices(
        model=problem.model,
        space=found,
        table=cost_table(problem.model, found, cost_models),
        cost_models=cost_models,
        reachable={key: reachable_range(problem.model, found, key, m) for key, m in cost_models.items()},
    )


def _check_options(found: Space) -> None:
    if any(len(unit.options) > 1 for unit in found.units):
        return
    why = f"; layer {found.dropped[0].layer!r}, for one: {found.dropped[0].reason}" if found.dropped else ""
    raise SearchFailed(
        "nothing_to_prune",
        f"no pattern on any layer of this model pays on a device of this search{why}; "
        "allow more patterns or sparsities, freeze fewer layers, or choose a device that rewards pruning",
    )


def _search(
    problem: Problem, terrain: Terrain, executor: Executor, history: Sequence[Trial]
) -> Generator[Event, None, None]:
    """Batch after batch: the two dense trials, then `width` at a time."""
    spec = problem.spec
    trials = {trial.number: trial for trial in history}
    last = FIRST + spec.trials
    batches = [range(FIRST)] + [range(n, min(n + spec.width, last)) for n in range(FIRST, last, spec.width)]
    for numbers in batches:
        if any(number not in trials for number in numbers):
            before = [trials[number] for number in range(numbers[0])]
            asked = propose(terrain, before, numbers) if before else _dense(problem)
            yield TrialsAsked(trials=asked)
            trials |= {trial.number: trial for trial in asked if trial.number not in trials}
        unfinished = [trials[number] for number in numbers if trials[number].state in _UNFINISHED]
        with closing(run_trials(problem, executor, unfinished)) as events:
            for event in events:
                if isinstance(event, TrialFinished):
                    trials[event.trial.number] = event.trial
                yield event
        _check_dense(trials[0])


def _dense(problem: Problem) -> list[Trial]:
    spec = problem.spec
    plan = PruningPlan(pruner="magnitude")
    costs = price_plan(problem.model, plan, problem.cost_models)
    uploaded = Trial(number=0, role="dense", state="queued", plan=plan, seed=spec.seed, recovery_steps=0, costs=costs)
    steps, stored = spec.recovery.steps, replace(plan, post=spec.post_steps)
    return [uploaded, uploaded.evolve(number=1, role="dense_recovered", recovery_steps=steps, plan=stored)]


def _check_dense(trial: Trial) -> None:
    if trial.state == "complete":
        return
    code, reason = (trial.failure.code, trial.failure.reason) if trial.failure else ("dense_failed", "nobody knows why")
    raise SearchFailed(code, f"the dense model itself could not be run: {reason}")


def _space_document(prices: Prices) -> dict[str, Any]:
    ranges = {key: {"lowest_ms": r.lowest_ms, "dense_ms": r.dense_ms} for key, r in prices.reachable.items()}
    return {**prices.space.to_json(), "reachable": ranges}


def _bound(terrain: Terrain) -> dict[str, Any]:
    """The additive front of every profile; error is the sum of one-at-a-time errors, nats of KL to dense."""
    table, document = terrain.prices.table, {}
    for device, profile in enumerate(terrain.spec.profiles):
        front = candidates(terrain.prices.space, weighted(table, {profile: 1.0}), terrain.errors).solve()
        rows = np.unique(np.linspace(0, len(front) - 1, min(len(front), _BOUND_POINTS)).round().astype(int))
        overhead_ms = float(table.overhead_ms[device])
        document[profile] = [
            {"latency_ms": overhead_ms + float(front.costs[row]), "error": float(front.errors[row])} for row in rows
        ]
    return document

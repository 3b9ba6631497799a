"""One search from its problem to its last trial: a generator that stores nothing and prints nothing.

    for event in run(problem, executor, history=stored_trials, scores=stored_scores):
        ...  # store it, show it, or leave the loop to stop

A batch of trials is yielded before any of it runs, so whoever stores events can be killed at any moment and go on with
what is stored: unfinished trials run again as they were asked for, and nothing that was asked is asked twice.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from app.search.bound import GAPS, bound, gaps
from app.search.climb import Climb, check_budget
from app.search.errors import SearchFailed
from app.search.events import BoundReady, Event, PhaseStarted, ScoresReady, SearchEnded, SpaceReady, TrialsAsked
from app.search.executor import Executor
from app.search.proposals.propose import FIRST, coordinates_of
from app.search.proposals.terrain import Terrain
from app.search.proposals.warm import recall
from app.search.space.build import space
from app.search.space.limits import Limits, Prices
from app.search.space.options import Space
from app.search.space.price import cost_table, price_plan, reachable_range, remembered
from app.search.table.error_table import Known, error_table, least_passes
from app.search.table.memory import Memory
from app.search.trial import Trial
from app.search.work.follow import MAX_ATTEMPTS, Problem
from app.search.work.spending import table_passes
from pruning.plan import PruningPlan

__all__ = ["MAX_ATTEMPTS", "Event", "Problem", "SearchFailed", "run"]
_NOTHING = Memory()


def run(
    problem: Problem,
    executor: Executor,
    history: Sequence[Trial] = (),
    scores: Mapping[str, Any] | None = None,
    memory: Memory = _NOTHING,
    elapsed_s: Callable[[], float] | None = None,
) -> Generator[Event, None, None]:
    """Run a search, or go on with one.

    Args:
        problem: what to search.
        executor: where scoring and trials run; for this search alone, with nothing left over from an earlier run.
        history: the stored trials of this search; unfinished ones are run again.
        scores: the document of an earlier `ScoresReady`; or errors known one by one, `{"options": {key: error},
            "samples": n}`, from earlier `OptionsScored`.
        memory: what earlier searches know; the same at every start of this one.
        elapsed_s: for how long the search has run, earlier starts included; by itself the time since this start.

    Raises:
        SearchFailed: it cannot go on, for example because a limit is out of reach; known before any training.
    """
    since_s = time.monotonic()
    check_budget(problem)
    yield PhaseStarted(phase="solving")
    prices = _prices(problem)
    yield SpaceReady(space=_space_document(prices))
    limits = Limits.of(problem.spec, prices.reachable)
    haven = prices.keeping(limits)
    _check_options(prices.space)
    coordinates_of(problem.spec, prices)  # refuses a sampler that does not serve them
    check_budget(problem, least_passes(problem, prices.space))
    if scores is None or "errors" not in scores:
        yield PhaseStarted(phase="scoring")
        scores = yield from error_table(problem, prices, executor, Known.of(scores, memory.prior))
        yield ScoresReady(document=scores)
    errors = tuple(np.asarray(errors, dtype=np.float64) for errors in scores["errors"])
    terrain = Terrain(spec=problem.spec, prices=prices, errors=errors, limits=limits, haven=haven)
    climb = Climb(
        problem=problem,
        terrain=terrain,
        executor=executor,
        recalled=recall(memory, terrain),
        table_passes=table_passes(problem.spec, scores, prices.space),
        elapsed_s=elapsed_s or (lambda: time.monotonic() - since_s),
        trials={trial.number: trial for trial in history},
    )
    yield from _searching(climb)


def _searching(climb: Climb) -> Generator[Event, None, None]:
    """The bound, the dense trials, all others, and the gap between trials and bound."""
    front = bound(climb.terrain)
    yield BoundReady(document=front)
    yield PhaseStarted(phase="searching")
    yield from _dense(climb.problem, climb)
    with closing(climb.events()) as events:
        for event in events:
            if isinstance(event, SearchEnded):
                found = gaps(front, [climb.trials[number] for number in sorted(climb.trials)], climb.terrain)
                yield BoundReady(document={**front, GAPS: found})
            yield event


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


def _dense(problem: Problem, climb: Climb) -> Generator[Event, None, None]:
    """The first two trials: the model as uploaded, and recovered like all others."""
    climb.check_dense()
    if any(number not in climb.trials for number in range(FIRST)):
        asked = _dense_trials(problem)
        yield TrialsAsked(trials=asked)
        climb.trials |= {trial.number: trial for trial in asked if trial.number not in climb.trials}
    dense = [climb.trials[number] for number in range(FIRST)]
    yield from climb.run([trial for trial in dense if trial.state in ("queued", "running")])
    uploaded, recovered = (climb.trials[number] for number in range(FIRST))
    if uploaded.state != "complete":
        raise _dense_failed(uploaded, "the dense model itself could not be run")
    if recovered.state == "infeasible":
        raise _dense_failed(recovered, "the dense model itself diverges in recovery; lower its learning rate")


def _dense_trials(problem: Problem) -> list[Trial]:
    spec = problem.spec
    plan = PruningPlan(pruner="magnitude")
    costs = price_plan(problem.model, plan, problem.cost_models)
    uploaded = Trial(number=0, role="dense", state="queued", plan=plan, seed=spec.seed, recovery_steps=0, costs=costs)
    steps, stored = spec.recovery.steps, replace(plan, post=spec.post_steps)
    return [uploaded, uploaded.evolve(number=1, role="dense_recovered", recovery_steps=steps, plan=stored)]


def _dense_failed(trial: Trial, what: str) -> SearchFailed:
    code, reason = (trial.failure.code, trial.failure.reason) if trial.failure else ("dense_failed", "nobody knows why")
    return SearchFailed(code, f"{what}: {reason}")


def _space_document(prices: Prices) -> dict[str, Any]:
    ranges = {key: {"lowest_ms": r.lowest_ms, "dense_ms": r.dense_ms} for key, r in prices.reachable.items()}
    return {**prices.space.to_json(), "reachable": ranges}

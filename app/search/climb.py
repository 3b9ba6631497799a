"""Batch after batch of trials, each up its rungs: what `run` does once the ground is known.

All that is decided follows from the stored trials, never from the order in which they ended: a bracket is judged when
all of it was measured, and judged again, to the same end, by whoever goes on after a crash.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from app.search.errors import SearchFailed
from app.search.events import (
    BudgetName,
    Event,
    SearchEnded,
    TrialFinished,
    TrialMeasured,
    TrialsAsked,
    TrialsPromoted,
)
from app.search.executor import Executor
from app.search.proposals.propose import FIRST, propose
from app.search.proposals.rungs import bracket, fidelities, fidelity_of, first_steps, losses_of, verdicts
from app.search.proposals.terrain import Terrain
from app.search.proposals.warm import Recalled
from app.search.spec import SearchSpec
from app.search.trial import Failure, Trial, TrialState
from app.search.work.follow import Problem, run_trials
from app.search.work.spending import FREE, RUNS, Purse, Spent
from app.search.work.supply import trained
from pruning.plan import PruningPlan

_UNFINISHED = ("queued", "running")
_WORDS: Mapping[BudgetName, str] = {
    "trials": "trials",
    "recoveries": "recoveries",
    "sample_passes": "sample passes",
    "wall_s": "seconds",
}
_UNPAID = Failure(code="budget", reason="the budget of the search did not pay for its next fidelity")


def batches(spec: SearchSpec) -> Iterator[range]:
    """The numbers of the trials that are asked for together; an extension begins a batch of its own."""
    first = FIRST
    for count in (spec.trials, *spec.extensions):
        last = first + count
        for start in range(first, last, bracket(spec)):
            yield range(start, min(start + bracket(spec), last))
        first = last


@dataclass(kw_only=True)
class Climb:
    """A search under way. `trials` has the finished dense ones; `elapsed_s` says for how long it has run."""

    problem: Problem
    terrain: Terrain
    executor: Executor
    recalled: Recalled
    table_passes: int
    elapsed_s: Callable[[], float]
    trials: dict[int, Trial] = field(default_factory=dict)
    drawn: dict[int, Trial] = field(default_factory=dict)  # of the batch at hand, before it is asked for

    def events(self) -> Generator[Event, None, None]:
        """Run trials until they are all done, or a budget is.

        Raises:
            SearchFailed: the budget does not suffice for a single trial.
        """
        for numbers in batches(self.problem.spec):
            if (over := self._over_time(numbers)) is not None:
                yield over
                return
            count, budget = self._affordable(numbers)
            if not count and numbers[0] == FIRST:
                raise _too_small(budget, "error table and dense model took all of it")
            if count:
                yield from self._ask(numbers[:count])
                yield from self._up(numbers[:count])
            if count < len(numbers):
                yield self._used_up(budget)
                return
        total = self.problem.spec.trials + sum(self.problem.spec.extensions)
        yield SearchEnded(because="trials", text=f"all {total} trials have been run")

    def check_dense(self) -> None:
        """Refuse a budget that does not pay for the two dense trials after the error table, before they run.

        Raises:
            SearchFailed: code `budget_too_small`.
        """
        dense = PruningPlan(pruner="magnitude")
        purse = replace(self._purse(), measured_samples=self.problem.supply.measured)  # at any start the same
        runs = [purse.planned(dense, steps) for steps in (0, self.problem.spec.recovery.steps)]
        count, budget = purse.affordable(FREE, runs)
        if count < len(runs):
            raise _too_small(budget, "error table and dense model took all of it")

    def run(self, trials: Sequence[Trial]) -> Generator[Event, None, None]:
        """Run trials at the fidelity that they stand at; those that end are over, unless a rung is above them."""
        with closing(run_trials(self.problem, self.executor, trials)) as happened:
            for event in happened:
                if not isinstance(event, TrialFinished):
                    yield event
                    continue
                waits = event.trial.role == "searched" and event.trial.recovery_steps in self.problem.spec.rungs
                if waits and event.trial.state == "complete":
                    trial = event.trial.evolve(state="queued")
                    self.trials[trial.number] = trial
                    yield TrialMeasured(trial=trial, files=event.files)
                else:
                    self.trials[event.trial.number] = event.trial
                    yield event

    def _over_time(self, numbers: range) -> SearchEnded | None:
        wall_s = self.problem.spec.budget.wall_s
        begun = any(number in self.trials for number in numbers)  # what was asked for is finished
        if wall_s is None or begun or self.elapsed_s() < wall_s:
            return None
        return self._used_up("wall_s")

    def _affordable(self, numbers: range) -> tuple[int, BudgetName]:
        """How many of a batch can be paid, in their order, each as the run that it begins with."""
        purse = self._purse()
        if not purse.limited:
            return len(numbers), "trials"
        there = all(number in self.trials for number in numbers)
        drawn = [self.trials[number] for number in numbers] if there else self._proposed(numbers)
        spent = purse.spent([self.trials[number] for number in range(numbers[0])])
        count, budget = purse.affordable(spent, [self._first_run(trial) for trial in drawn])
        asked = sum(number in self.trials for number in numbers)  # an earlier version may have asked for more
        return max(count, asked), budget

    def _first_run(self, trial: Trial) -> Spent:
        """What a trial costs at first; nothing above a limit, where it is never run."""
        if not self.terrain.limits.hold(trial.costs):
            return FREE
        return self._purse().planned(trial.plan, first_steps(trial.coordinates, self.problem.spec))

    def _proposed(self, numbers: Sequence[int]) -> list[Trial]:
        """What is asked for under these numbers, a batch or its beginning, which does not depend on what follows it."""
        if any(number not in self.drawn for number in numbers):
            before = [self.trials[number] for number in range(numbers[0])]
            found = propose(self.terrain, before, numbers, self.recalled)
            self.drawn = {trial.number: trial for trial in found}
        return [self.drawn[number] for number in numbers]

    def _purse(self) -> Purse:
        dense = self.trials[0].measurements if 0 in self.trials else ()
        samples = {m.split: m.samples for m in dense if m.split and not m.origin}
        return Purse(
            spec=self.problem.spec,
            table_passes=self.table_passes,
            measured_samples=self.problem.supply.measured or sum(samples.values()),
            supply=self.problem.supply,
        )

    def _ask(self, numbers: Sequence[int]) -> Iterator[Event]:
        if any(number not in self.trials for number in numbers):
            asked = self._proposed(numbers)
            yield TrialsAsked(trials=asked)
            self.trials |= {trial.number: trial for trial in asked if trial.number not in self.trials}
        for trial in self._standing(numbers):
            if not self.terrain.limits.hold(trial.costs):
                yield self._end(trial, "infeasible", self.terrain.limits.failure(trial.costs))

    def _up(self, numbers: Sequence[int]) -> Iterator[Event]:
        """The bracket through all fidelities."""
        steps = fidelities(self.problem.spec)
        for here, above in zip(steps, (*steps[1:], None), strict=True):
            standing = [t for t in self._standing(numbers) if fidelity_of(t, self.problem.spec) == here]
            yield from self.run([t for t in standing if str(t.recovery_steps) not in t.report.get(RUNS, {})])
            if above is not None:
                yield from self._judge(numbers, here, above)

    def _judge(self, numbers: Sequence[int], here: int, above: int) -> Iterator[Event]:
        pool = [self.trials[number] for number in range(FIRST, numbers[-1] + 1)]
        found = verdicts(self.terrain, pool, numbers, here)
        best_first = sorted(found, key=lambda number: (losses_of(self.trials[number])[here], number))
        fit = [number for number in best_first if found[number].promoted]
        paid = set(fit[: self._paid(numbers, fit, above)])
        standing = [trial for trial in self._standing(numbers) if trial.recovery_steps == here]
        for trial in standing:
            if trial.number not in found:
                yield self._end(
                    trial, "failed", Failure(code="no_loss", reason="it has no validation loss to judge by")
                )
            elif trial.number not in paid:
                yield self._end(trial, "stopped", found[trial.number].failure or _UNPAID)
        promoted = [trial.evolve(recovery_steps=above) for trial in standing if trial.number in paid]
        if promoted:
            yield TrialsPromoted(trials=promoted)
            self.trials |= {trial.number: trial for trial in promoted}

    def _paid(self, numbers: Sequence[int], fit: Sequence[int], above: int) -> int:
        """How many of those fit can be paid at the fidelity above, in their order, whatever of it was run already."""
        purse = self._purse()
        before = purse.spent([self.trials[number] for number in range(numbers[0])])
        spent = before + purse.spent([self.trials[n] for n in numbers], below=above)
        return purse.affordable(spent, [purse.planned(self.trials[n].plan, above) for n in fit])[0]

    def _standing(self, numbers: Sequence[int]) -> list[Trial]:
        return [self.trials[number] for number in numbers if self.trials[number].state in _UNFINISHED]

    def _end(self, trial: Trial, state: TrialState, failure: Failure) -> TrialFinished:
        self.trials[trial.number] = trial.evolve(state=state, failure=failure)
        return TrialFinished(trial=self.trials[trial.number])

    def _used_up(self, budget: BudgetName) -> SearchEnded:
        given = getattr(self.problem.spec.budget, budget)
        return SearchEnded(because=budget, text=f"the budget of {given:,} {_WORDS[budget]} is used up")


def check_budget(problem: Problem, table_passes: int = 0) -> None:
    """Refuse a budget that does not even pay table, dense model, as uploaded and recovered, and one trial.

    Args:
        problem: the search.
        table_passes: sample passes that the table takes at least; 0 while that is not known.

    Raises:
        SearchFailed: code `budget_too_small`.
    """
    spec = problem.spec
    budget, first = spec.budget, 1 if "steps" in spec.vary else fidelities(spec)[0]
    runs = (spec.recovery.steps > 0) + (first > 0)
    if budget.recoveries is not None and budget.recoveries < runs:
        raise _too_small("recoveries", f"the dense model takes one and a trial another: give at least {runs}")
    training = problem.supply.samples.get("train")
    least = sum(trained(spec.recovery, steps, training) for steps in (spec.recovery.steps, first))
    least += 3 * max(1, problem.supply.measured)
    if budget.sample_passes is not None and budget.sample_passes < least + table_passes:
        table = f"the error table takes {table_passes:,} or more, and " if table_passes else ""
        raise _too_small("sample_passes", f"{table}the dense model and one trial alone take {least:,}")


def _too_small(budget: BudgetName, why: str) -> SearchFailed:
    return SearchFailed("budget_too_small", f"the budget of {_WORDS[budget]} does not suffice for one trial: {why}")

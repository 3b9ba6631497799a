"""Batch after batch of trials, each up its rungs: what `run` does once the ground is known.

All that is decided follows from the stored trials, never from the order in which they ended: a bracket is judged when
all of it was measured, and judged again, to the same end, by whoever goes on after a crash.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

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
from app.search.follow import Problem, run_trials
from app.search.propose import FIRST, propose
from app.search.raw import violations
from app.search.rungs import bracket, fidelities, losses_of, verdicts
from app.search.spec import SearchSpec
from app.search.spending import RUNS, Purse
from app.search.terrain import Terrain
from app.search.trial import Failure, Trial, TrialState
from app.search.warm import Recalled

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

    def run(self, trials: Sequence[Trial]) -> Generator[Event, None, None]:
        """Run trials at the fidelity that they stand at; those that end are over, unless a rung is above them."""
        last = fidelities(self.problem.spec)[-1]
        with closing(run_trials(self.problem, self.executor, trials)) as happened:
            for event in happened:
                if not isinstance(event, TrialFinished):
                    yield event
                    continue
                waits = event.trial.role == "searched" and event.trial.recovery_steps < last
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
        purse = self._purse()
        before = [self.trials[number] for number in range(numbers[0])]
        count, budget = purse.affordable(purse.spent(before), fidelities(self.problem.spec)[0])
        return int(min(count, len(numbers))), budget

    def _purse(self) -> Purse:
        samples = {m.split: m.samples for m in self.trials[0].measurements if m.split and not m.origin}
        return Purse(
            spec=self.problem.spec, table_passes=self.table_passes, measured_samples=max(1, sum(samples.values()))
        )

    def _ask(self, numbers: Sequence[int]) -> Iterator[Event]:
        if any(number not in self.trials for number in numbers):
            before = [self.trials[number] for number in range(numbers[0])]
            asked = propose(self.terrain, before, numbers, self.recalled)
            yield TrialsAsked(trials=asked)
            self.trials |= {trial.number: trial for trial in asked if trial.number not in self.trials}
        for trial in self._standing(numbers):
            if not self.terrain.limits.hold(trial.costs):
                yield self._end(trial, "infeasible", _over_limit(self.terrain, trial))

    def _up(self, numbers: Sequence[int]) -> Iterator[Event]:
        """The bracket through all fidelities."""
        steps = fidelities(self.problem.spec)
        for here, above in zip(steps, (*steps[1:], None), strict=True):
            standing = [trial for trial in self._standing(numbers) if trial.recovery_steps == here]
            yield from self.run([trial for trial in standing if str(here) not in trial.report.get(RUNS, {})])
            if above is not None:
                yield from self._judge(numbers, here, above)

    def _judge(self, numbers: Sequence[int], here: int, above: int) -> Iterator[Event]:
        pool = [self.trials[number] for number in range(FIRST, numbers[-1] + 1)]
        found = verdicts(self.terrain, pool, numbers, here)
        best_first = sorted(found, key=lambda number: (losses_of(self.trials[number])[here], number))
        fit = [number for number in best_first if found[number].promoted]
        paid = set(fit[: self._paid(numbers, above)])
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

    def _paid(self, numbers: Sequence[int], above: int) -> int:
        """How many of a bracket can be paid at the fidelity above, whatever of it was run already."""
        purse = self._purse()
        before = purse.spent([self.trials[number] for number in range(numbers[0])])
        count, _ = purse.affordable(before + purse.spent([self.trials[n] for n in numbers], below=above), above)
        return int(min(count, len(numbers)))

    def _standing(self, numbers: Sequence[int]) -> list[Trial]:
        return [self.trials[number] for number in numbers if self.trials[number].state in _UNFINISHED]

    def _end(self, trial: Trial, state: TrialState, failure: Failure) -> TrialFinished:
        self.trials[trial.number] = trial.evolve(state=state, failure=failure)
        return TrialFinished(trial=self.trials[trial.number])

    def _used_up(self, budget: BudgetName) -> SearchEnded:
        given = getattr(self.problem.spec.budget, budget)
        return SearchEnded(because=budget, text=f"the budget of {given:,} {_WORDS[budget]} is used up")


def check_budget(spec: SearchSpec) -> None:
    """Refuse a budget that does not even pay the recovered dense model and one trial.

    Raises:
        SearchFailed: code `budget_too_small`.
    """
    budget, first = spec.budget, fidelities(spec)[0]
    runs = (spec.recovery.steps > 0) + (first > 0)
    passes = Purse(spec=spec, table_passes=0, measured_samples=1)
    if budget.recoveries is not None and budget.recoveries < runs:
        raise _too_small("recoveries", f"the dense model takes one and a trial another: give at least {runs}")
    least = passes.planned(spec.recovery.steps) + passes.planned(first)
    if budget.sample_passes is not None and budget.sample_passes < least:
        raise _too_small("sample_passes", f"the dense model and one trial alone take {least:,}")


def _too_small(budget: BudgetName, why: str) -> SearchFailed:
    return SearchFailed("budget_too_small", f"the budget of {_WORDS[budget]} does not suffice for one trial: {why}")


def _over_limit(terrain: Terrain, trial: Trial) -> Failure:
    profile, excess = max(violations(trial.costs, terrain).items(), key=lambda pair: pair[1])
    limit_ms = terrain.limits.by_profile_ms[profile]
    reason = (
        f"its predicted latency on {profile!r} is {trial.cost(profile).latency_ms:.4g} ms, {excess:.0%} above "
        f"the limit of {limit_ms:.4g} ms, so it was not trained"
    )
    return Failure(code="over_limit", reason=reason, details={"profile": profile, "limit_ms": limit_ms})

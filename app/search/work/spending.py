"""Budgets: what the trials of a search have cost, and how many more can be paid.

One forward pass of a sample counts 1, forward and backward 3, and 4 with a teacher that answers too; the error table
counts even where it was found in a cache: equal budgets mean equal searches, whoever searched before. No run is asked
for that its budget would not pay to the last pass (see `supply`). All but wall time follows from the stored trials, so
a search that is restarted ends where it would have ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.search.events import BudgetName
from app.search.space.options import Space
from app.search.spec import SearchSpec
from app.search.trial import Measurement, Trial
from app.search.work.supply import Supply, trained
from pruning.plan import PruningPlan

__all__ = ["FREE", "RUNS", "Purse", "Spent", "table_passes", "trained", "with_run"]
RUNS = "runs"  # in a trial's report: sample passes by fidelity


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What trials took: runs that trained, and sample passes of all runs."""

    recoveries: int
    sample_passes: int

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            recoveries=self.recoveries + other.recoveries, sample_passes=self.sample_passes + other.sample_passes
        )


FREE = Spent(recoveries=0, sample_passes=0)


@dataclass(frozen=True, kw_only=True)
class Purse:
    """The budget of a search, with what each run will cost. `table_passes` made the error table."""

    spec: SearchSpec
    table_passes: int
    measured_samples: int  # in every run, validation and test together
    supply: Supply = field(default_factory=Supply)

    @property
    def limited(self) -> bool:
        """Whether trials are paid from a budget at all."""
        return self.spec.budget.recoveries is not None or self.spec.budget.sample_passes is not None

    def planned(self, plan: PruningPlan, steps: int) -> Spent:
        """What a run of a plan with so many recovery steps will cost, never less than it does."""
        passes = self.supply.passes(self.spec, plan, steps) + self.measured_samples
        return Spent(recoveries=int(steps > 0), sample_passes=passes)

    def spent(self, trials: Iterable[Trial], below: int | None = None) -> Spent:
        """What these trials cost; with `below`, what their runs below this many steps cost."""
        recoveries, passes = 0, 0
        for trial in trials:
            for steps, cost in self._runs(trial).items():
                if below is None or steps < below:
                    recoveries += steps > 0
                    passes += cost
        return Spent(recoveries=recoveries, sample_passes=passes)

    def affordable(self, spent: Spent, runs: Iterable[Spent]) -> tuple[int, BudgetName]:
        """How many of these runs, in their order, can be paid after these and the table, and what ends them."""
        count = 0
        for count, cost in enumerate(runs, start=1):
            spent += cost
            if (over := self._over(spent, cost)) is not None:
                return count - 1, over
        return count, "trials"

    def _over(self, spent: Spent, last: Spent) -> BudgetName | None:
        """The budget that does not pay for the last of what was spent; what costs nothing is always paid."""
        budget = self.spec.budget
        if budget.recoveries is not None and last.recoveries and spent.recoveries > budget.recoveries:
            return "recoveries"
        passes = self.table_passes + spent.sample_passes
        if budget.sample_passes is not None and last.sample_passes and passes > budget.sample_passes:
            return "sample_passes"
        return None

    def _runs(self, trial: Trial) -> dict[int, int]:
        runs = {int(steps): int(passes) for steps, passes in trial.report.get(RUNS, {}).items()}
        if trial.attempts and trial.recovery_steps not in runs:  # it broke off: what it would have cost
            runs[trial.recovery_steps] = self.planned(trial.plan, trial.recovery_steps).sample_passes
        return runs


def table_passes(spec: SearchSpec, scores: Mapping[str, Any], space: Space) -> int:
    """Sample passes of the error table; one of every sample for each option where it does not say."""
    told = scores.get("sample_passes")
    samples = scores.get("samples", spec.calibration_samples)
    return int(told if told is not None else samples * sum(len(unit.options) for unit in space.units))


def with_run(trial: Trial, report: Mapping[str, Any], measurements: Iterable[Measurement], spec: SearchSpec) -> Trial:
    """The trial with a run more: measurements added, and its sample passes to those of the runs before."""
    found = tuple(measurements)
    samples = sum({m.split: m.samples for m in found if m.split}.values())
    counted = trained(spec.recovery, trial.recovery_steps) + samples
    runs = {**trial.report.get(RUNS, {}), str(trial.recovery_steps): int(report.get("sample_passes", counted))}
    return trial.evolve(
        measurements=(*trial.measurements, *found),
        report={**report, RUNS: runs, "sample_passes": sum(runs.values())},
    )

"""Budgets: what the trials of a search have cost, and how many more can be paid.

One forward pass of a sample counts 1, forward and backward 3, and 4 with a teacher that answers too; the error table
counts even where it was found in a cache: equal budgets mean equal searches, whoever searched before. All but wall time
follows from the stored trials, so a search that is restarted ends where it would have ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from app.search.events import BudgetName
from app.search.options import Space
from app.search.spec import Recovery, SearchSpec
from app.search.trial import Measurement, Trial

RUNS = "runs"  # in a trial's report: sample passes by fidelity
_BACKWARD = 3  # a forward and a backward pass, in forward passes


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What trials took: runs that trained, and sample passes of all runs."""

    recoveries: int
    sample_passes: int

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            recoveries=self.recoveries + other.recoveries, sample_passes=self.sample_passes + other.sample_passes
        )


@dataclass(frozen=True, kw_only=True)
class Purse:
    """The budget of a search, with what each run is expected to cost. `table_passes` made the error table."""

    spec: SearchSpec
    table_passes: int
    measured_samples: int  # in every run, validation and test together

    def planned(self, steps: int) -> int:
        """Sample passes of a run of so many recovery steps."""
        return trained(self.spec.recovery, steps) + self.measured_samples

    def spent(self, trials: Iterable[Trial], below: int | None = None) -> Spent:
        """What these trials cost; with `below`, what their runs below this many steps cost."""
        recoveries, passes = 0, 0
        for trial in trials:
            for steps, cost in self._runs(trial).items():
                if below is None or steps < below:
                    recoveries += steps > 0
                    passes += cost
        return Spent(recoveries=recoveries, sample_passes=passes)

    def affordable(self, spent: Spent, steps: int) -> tuple[float, BudgetName]:
        """How many more runs of so many steps can be paid after these and the table, and by which budget no more."""
        budget = self.spec.budget
        left: list[tuple[float, BudgetName]] = [(inf, "trials")]
        if budget.recoveries is not None and steps:
            left.append((budget.recoveries - spent.recoveries, "recoveries"))
        if budget.sample_passes is not None:
            passes = budget.sample_passes - self.table_passes - spent.sample_passes
            left.append((passes // self.planned(steps), "sample_passes"))
        count, name = min(left, key=lambda pair: pair[0])
        return max(count, 0), name

    def _runs(self, trial: Trial) -> dict[int, int]:
        runs = {int(steps): int(passes) for steps, passes in trial.report.get(RUNS, {}).items()}
        if trial.attempts and trial.recovery_steps not in runs:  # it broke off: what it would have cost
            runs[trial.recovery_steps] = self.planned(trial.recovery_steps)
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


def trained(recovery: Recovery, steps: int) -> int:
    """Sample passes of so many recovery steps."""
    return (_BACKWARD + (recovery.distil > 0)) * steps * recovery.batch * recovery.accumulate

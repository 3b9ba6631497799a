"""What a run will take, before it: the sample passes that `evaluate` counts, exactly where sizes are known, never less.

Calibration samples go once through the net for a layer solver; once for every pruned layer where they are many, or
where a pruned weight is read twice. Recovery forwards and backwards its batches; batch-norm statistics are taken anew
from a few. What is measured afterwards is not counted here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.search.pruners import SOLVED_ABREAST, SOLVERS
from app.search.spec import Recovery, SearchSpec
from pruning.layers import ModelSpec
from pruning.patterns import Dense
from pruning.plan import PruningPlan

_BACKWARD = 3  # a forward and a backward pass, in forward passes
_STATISTICS = 16  # batches, the most that `reestimate_batch_norm` takes
_NORMALISED = b"aten.batch_norm"


@dataclass(frozen=True, kw_only=True)
class Supply:
    """What runs are fed: samples by split, as far as that is known; and what of the model decides how often.

    `statistics`: whether it has batch-norm statistics; `read_once`: the layers whose weights a pass reads once. What is
    not known counts as the most that it can be: whole batches, all calibration samples asked for, a pass a layer.
    """

    samples: Mapping[str, int] = field(default_factory=dict)
    statistics: bool = True
    read_once: frozenset[str] = frozenset()

    @classmethod
    def of(cls, samples: Mapping[str, int], graph: Path, model: ModelSpec) -> "Supply":
        """Of a dataset with these splits, the graph in a file and its layers."""
        once = frozenset(layer.name for layer in model.layers if layer.calls == 1)
        return cls(samples=dict(samples), statistics=_NORMALISED in graph.read_bytes(), read_once=once)

    @property
    def measured(self) -> int:
        """Samples that every run is measured on; 0 if not known."""
        return self.samples.get("validation", 0) + self.samples.get("test", 0)

    def passes(self, spec: SearchSpec, plan: PruningPlan, steps: int) -> int:
        """Sample passes of a run of a plan with so many recovery steps, until it is measured."""
        if not steps and not plan.patterns:
            return 0  # it is measured as it is
        recovery = spec.recovery
        return trained(recovery, steps, self.samples.get("train")) + self._solved(spec, plan) + self._taken(recovery)

    def _solved(self, spec: SearchSpec, plan: PruningPlan) -> int:
        if plan.pruner not in SOLVERS:
            return 0
        samples = min(spec.calibration_samples, self.samples.get("calibration", spec.calibration_samples))
        layers = {name for name, pattern in plan.patterns.items() if not isinstance(pattern, Dense)}
        if samples <= SOLVED_ABREAST and layers <= self.read_once:
            return samples if layers else 0
        return samples * len(layers)

    def _taken(self, recovery: Recovery) -> int:
        """For batch-norm statistics: whole batches of the calibration split."""
        if not self.statistics:
            return 0
        there = self.samples.get("calibration", _STATISTICS * recovery.batch)
        size = min(recovery.batch, there)
        return size * min(_STATISTICS, there // max(1, size))


def trained(recovery: Recovery, steps: int, samples: int | None = None) -> int:
    """Sample passes of so many recovery steps, over so many training samples."""
    batch = recovery.batch if samples is None else min(recovery.batch, samples)
    return (_BACKWARD + (recovery.distil > 0)) * steps * batch * recovery.accumulate

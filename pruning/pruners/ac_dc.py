"""AC/DC: alternating compressed and decompressed training (Peste et al., NeurIPS 2021, arXiv 2106.12379).

Dense training is interrupted by compressed phases: at the start of each the largest |w| are chosen and the mask
holds for the phase; then the others come back, from zero, and all weights train. The last compression stays.

Here a phase is a share of the recovery, and every layer has the plan's own sparsity, where the authors' threshold
for unstructured sparsity is one over all layers. Under the mask the stored weights drift, by decay and momentum;
they are erased when the mask lifts. The authors also reset the optimiser's momentum then; here `pruning.recover`
forgets that of what is erased. A channel comes back from zero where it is read; its own weights, whose norm it
is judged by, stand. Schedule and target as in the authors' configurations; the paper's own text was not at hand.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.errors import PlanError
from pruning.pruners import base
from pruning.pruners.stepped import Stepped


@dataclass(frozen=True, kw_only=True)
class ACDCSettings(base.Settings):
    """`cycles` of a compressed and a dense phase, all equally long, from `begin` on; the last compression is at `end`.

    One more dense phase comes before it. The defaults are the authors' epochs of 100: compression at 10, 20, ... 70,
    decompression at 15, 25, ... 75, compression for good at 85.
    """

    begin: float = 0.1
    end: float = 0.85
    cycles: int = 7

    def __post_init__(self) -> None:
        if not 0.0 <= self.begin < self.end <= 1.0:
            raise PlanError(f"ac_dc needs 0 <= begin < end <= 1, not {self.begin!r} and {self.end!r}")
        if not 0 <= self.cycles <= 10**6 or self.cycles != int(self.cycles):
            raise PlanError(f"ac_dc setting cycles {self.cycles!r} is no count: try 7")


class ACDC(Stepped):
    """m = the largest |w| as a compressed phase begins; 1 in a dense phase."""

    name = "ac_dc"
    paper = "Peste et al. 2021, arXiv 2106.12379"
    cost = "a selection each layer, once a cycle"
    Settings = ACDCSettings
    settings: ACDCSettings

    @property
    def hardens_at(self) -> float:
        """Set by `end`."""
        return self.settings.end

    def step(self) -> int:
        """How many times the mask has come or gone by now, odd while compressed; at the end it is left to harden."""
        begin, end, cycles = self.settings.begin, self.settings.end, int(self.settings.cycles)
        if self.progress >= end:
            return self.reached
        length = (end - begin) / (2 * cycles + 1)
        passed = int((self.progress - begin) / length + 1e-9) + 1 if self.progress >= begin else 0
        return min(passed, 2 * cycles)

    def renewed(self, table: Tensor, gradient: Tensor | None) -> Tensor:  # noqa: ARG002
        """Compress or decompress; what comes back does so from zero."""
        best, everything = self.choose(self.scores(table)), torch.ones_like(self.mask)
        self.erase(~self.mask)
        return best if self.step() % 2 else everything

    def scores(self, table: Tensor) -> Tensor:
        """|w|, and 0 for what is masked: it would come back from zero."""
        return table.abs() * self.mask

"""Gradual magnitude pruning (Zhu & Gupta 2017, arXiv 1710.01878).

The sparsity follows s = s_f (1 - (1 - x)³), in steps; at each the smallest |w| of the layer go. Weights under the
mask get no gradient and stay as they are. The original starts after some training and ends while the learning rate
is still useful, hence `begin` and `end`.
"""

from dataclasses import dataclass

from torch import Tensor

from pruning.errors import PlanError
from pruning.pruners import base
from pruning.pruners.ramps import cubic, stairs
from pruning.pruners.stepped import Stepped


@dataclass(frozen=True, kw_only=True)
class GMPSettings(base.Settings):
    """Sparsity grows from `begin` to `end`, shares of the recovery, in `updates` steps; then the mask is fixed."""

    begin: float = 0.0
    end: float = 0.5
    updates: int = 20

    def __post_init__(self) -> None:
        if not 0.0 <= self.begin < self.end <= 1.0:
            raise PlanError(f"gmp needs 0 <= begin < end <= 1, not {self.begin!r} and {self.end!r}")
        if not 1 <= self.updates <= 10**6 or self.updates != int(self.updates):
            raise PlanError(f"gmp setting updates {self.updates!r} is no count: try 20")


class GMP(Stepped):
    """m = 1 for the largest |w|, as many as the cubic schedule allows by now."""

    name = "gmp"
    paper = "Zhu & Gupta 2017, arXiv 1710.01878"
    cost = "a selection each layer, a few times"
    Settings = GMPSettings
    settings: GMPSettings

    @property
    def hardens_at(self) -> float:
        """Set by `end`."""
        return self.settings.end

    def step(self) -> int:
        """How many updates are behind us."""
        return stairs(self.progress, self.settings.begin, self.settings.end, int(self.settings.updates))

    def share(self) -> float:
        """The cubic, held between updates."""
        return cubic(self.step() / self.settings.updates, 0.0, 1.0)

    def renewed(self, table: Tensor, gradient: Tensor | None) -> Tensor:  # noqa: ARG002
        """The largest |w|."""
        return self.choose(self.scores(table))

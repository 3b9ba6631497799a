"""OptG: optimizing gradient-driven criteria (Zhang et al. 2022, arXiv 2201.12826).

A supermask over weights that are trained too. Scores S gather dL/dS = g W straight through the mask, which keeps
the best of S. The sparsity follows P σ(β (e - E/2)) over epochs e of E, and the learning rate of S is multiplied by
the same sigmoid: S hears least while hardly anything is pruned, and forgets its beginnings.

Here the gradient of S is multiplied, which under SGD is the same up to what momentum remembers. The authors share P
out among layers anew each epoch, by one threshold over all S; here every layer has the plan's own sparsity, and
which layers bear more is the plan's to say. Formula and schedule are those of the authors' code, where masks move
to the end; the paper's own text was not at hand.
"""

from dataclasses import dataclass
from math import exp

from torch import Tensor

from pruning.errors import PlanError
from pruning.pruners import base
from pruning.pruners.learned import Scored


@dataclass(frozen=True, kw_only=True)
class OptGSettings(base.Settings):
    """`steepness` is β E, 100 for the authors' ResNet-50; masks reach the plan and are fixed at `harden`, 1 there."""

    steepness: float = 20.0
    harden: float = 0.8

    def __post_init__(self) -> None:
        if not 1.0 <= self.steepness <= 1000.0:
            raise PlanError(f"optg setting steepness {self.steepness!r} is outside 1 ... 1000: try 20")
        if not 0.5 < self.harden <= 1.0:
            raise PlanError(f"optg setting harden {self.harden!r} is not above 0.5, where half is pruned, up to 1")


class OptG(Scored):
    """m = 1 for the best S of each row, as many as the sigmoid schedule allows by now."""

    name = "optg"
    paper = "Zhang et al. 2022, arXiv 2201.12826"
    cost = "a selection among the scores of each layer, every step"
    Settings = OptGSettings
    settings: OptGSettings

    @property
    def hardens_at(self) -> float:
        """Set by `harden`."""
        return self.settings.harden

    def rate(self) -> float:
        """σ(β (e - E/2))."""
        return 1 / (1 + exp(-self.settings.steepness * (self.progress - 0.5)))

    def share(self) -> float:
        """The sigmoid, and all of the way once hardened."""
        return 1.0 if self.progress >= self.hardens_at else self.rate()

    def soft(self, table: Tensor) -> Tensor:
        """The hard mask of the moment, straight through."""
        return self.straight_through(self.choose(self.scores(table)), gain=self.rate())

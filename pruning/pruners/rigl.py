"""RigL (Evci et al., ICML 2020, arXiv 1911.11134): drop the smallest, grow where the gradient is largest.

The layer is sparse from the start; its density is the plan's (`pruning.allocate`: "erk" or "uniform"). At each update
the fraction α/2 (1 + cos(π x)) of the layer's active units, x the share of the time for updates, is dropped by |w|, and
each row of the table grows as many by |dL/dw|. Grown weights start at 0; a unit just dropped may be grown again at once
and then keeps its weight, as it does where no unit of its row has a gradient.

Differs from the paper: it trains from scratch under a first mask drawn at random (`from_scratch`); we prune trained
networks, whose largest weights make the first mask. It takes no optimiser step when it updates; here the step is
taken, and what grows is asked of the gradient of the step before. As there, a grown weight has no momentum
(`pruning.recover` forgets it). The dense gradient is computed at every step, so nothing is saved while training.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning import masks
from pruning.errors import PlanError
from pruning.pruners import base
from pruning.pruners.ramps import linear, stairs
from pruning.pruners.stepped import Stepped

_LEAST = 1e-30  # a gradient that loses against every other but zero


@dataclass(frozen=True, kw_only=True)
class RegrowSettings(base.Settings):
    """`updates` equal steps until `harden`, where the mask is fixed; `from_scratch` 1: the first mask is random."""

    updates: int = 20
    harden: float = 0.75
    from_scratch: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.updates <= 10**6 or self.updates != int(self.updates):
            raise PlanError(f"regrowing: setting updates {self.updates!r} is no count: try 20")
        if not 0.0 < self.harden <= 1.0:
            raise PlanError(f"regrowing: setting harden {self.harden!r} is outside (0, 1]: the papers have 0.75 and 1")
        if self.from_scratch not in (0, 1):
            raise PlanError(f"regrowing: setting from_scratch {self.from_scratch!r} is neither 0 nor 1")


class Regrowing(Stepped):
    """A mask that loses its smallest units at every update and gains as many by gradient."""

    cost = "a dense gradient every step; some selections each layer, a few times"
    wants_gradient = True
    Settings = RegrowSettings
    settings: RegrowSettings

    @property
    def hardens_at(self) -> float:
        """Set by `harden`."""
        return self.settings.harden

    @property
    @abstractmethod
    def fraction(self) -> float:
        """The share of the active units that the next update replaces."""

    def step(self) -> int:
        """How many updates are behind us."""
        return stairs(self.progress, 0.0, self.settings.harden, int(self.settings.updates))

    def start(self, table: Tensor, generator: torch.Generator) -> None:
        """The first mask."""
        super().start(table, generator)
        drawn = torch.rand(table.shape, generator=generator).to(table)
        self.mask = self.choose(drawn if self.settings.from_scratch else table.abs())

    def renewed(self, table: Tensor, gradient: Tensor | None) -> Tensor:
        """Prune to the quota, then drop and grow; without a gradient, nothing can grow and nothing is dropped."""
        alive = self.choose(table.abs().masked_fill(~self.mask, -torch.inf))
        if gradient is not None:
            surviving = alive & ~self._weakest(table, alive)
            asked = torch.where(alive, gradient.clamp_min(_LEAST), gradient)
            alive = self.choose(asked.masked_fill(surviving, torch.inf))
        self.erase(alive & ~self.mask)
        return alive

    def scores(self, table: Tensor) -> Tensor:
        """The mask; sizes decide where the last pattern is smaller or larger than it."""
        sizes = table.abs()
        return self.mask + 0.5 * sizes / sizes.amax().clamp_min(torch.finfo(sizes.dtype).tiny) if len(table) else sizes

    def _weakest(self, table: Tensor, alive: Tensor) -> Tensor:
        """The smallest of the layer's active units, in whatever row."""
        smallness = (-table.abs()).masked_fill(~alive, -torch.inf).reshape(1, -1)
        count = round(self.fraction * self.quota(table) * len(table))
        return masks.choose(smallness, count).reshape(table.shape)


@dataclass(frozen=True, kw_only=True)
class RigLSettings(RegrowSettings):
    """`fraction` is α, 0.3 in the paper, which updates every 100 steps until 75 % of the training."""

    fraction: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.fraction <= 1.0:
            raise PlanError(f"rigl setting fraction {self.fraction!r} is outside 0 ... 1: the paper has 0.3")


class RigL(Regrowing):
    """The pattern from the start; fewer and fewer units are replaced."""

    name = "rigl"
    paper = "Evci et al. 2020, arXiv 1911.11134"
    Settings = RigLSettings
    settings: RigLSettings

    @property
    def fraction(self) -> float:
        """α/2 (1 + cos(π x))."""
        x = linear(self.progress, 0.0, self.settings.harden)
        return self.settings.fraction / 2 * (1 + math.cos(math.pi * x))

"""Spartan (Tai, Tian, Lim; NeurIPS 2022; arXiv 2205.14107): a soft top-k under a budget, sharper and sharper.

    m = sigmoid(β v / c - μ),   sum c m = K        values v = |w|, costs c, a budget K; see `soft_top_k`

Forward, the weights of the K largest m, times m; backward, the gradient of m w for all weights, dropped ones as well
("dual averaging"). β rises all the time, the budget falls from everything to the target in the warm-up, and at the
end the mask stays as it is: the factor m of the kept weights is part of the result.

Costs are MACs of a weight, and inside one layer all weights cost the same: c is 1 in the pruner. What costs decide is
how dense each *layer* is; that is `pruning.allocate`'s "spartan", the same formula over the whole model.

Differs from the paper: there β multiplies |w| itself, which leaves layers of small weights with a flat mask; here |w| /
mean |w| of the layer, a constant of the step, unless `absolute`. For a tile, v is its norm, not its mean |w|. The
authors' Sinkhorn iteration stops at 1 % of the objective; here the budget is met to 1e-9.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning import masks
from pruning.errors import PlanError
from pruning.importance import widened
from pruning.pruners import base
from pruning.pruners.ramps import linear
from pruning.pruners.soft_top_k import soft_top_k


@dataclass(frozen=True, kw_only=True)
class SpartanSettings(base.Settings):
    """β goes from `beta_start` to `beta` until `harden`; sparsity grows in the first `warm_up` of the recovery."""

    beta_start: float = 1.0
    beta: float = 10.0
    warm_up: float = 0.2
    harden: float = 0.8
    absolute: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.beta_start <= self.beta <= 1e9:
            raise PlanError(
                f"spartan needs 0 < beta_start <= beta <= 1e+09, not {self.beta_start!r} and {self.beta!r}: "
                "the paper has 1 and 10"
            )
        if not 0.0 <= self.warm_up <= self.harden <= 1.0:
            raise PlanError(f"spartan needs 0 <= warm_up <= harden <= 1, not {self.warm_up!r} and {self.harden!r}")
        if self.absolute not in (0, 1):
            raise PlanError(f"spartan setting absolute {self.absolute!r} is neither 0 nor 1")


class Spartan(base.Pruner):
    """m w for the largest |w| of each row, with the gradient of m w for all of them."""

    name = "spartan"
    paper = "Tai, Tian, Lim 2022, arXiv 2205.14107"
    cost = "a selection and some ten sigmoids a weight, every step"
    Settings = SpartanSettings
    settings: SpartanSettings

    @property
    def hardens_at(self) -> float:
        """Set by `harden`."""
        return self.settings.harden

    @property
    def beta(self) -> float:
        """β by now."""
        start, end = self.settings.beta_start, self.settings.beta
        return start + (end - start) * linear(self.progress, 0.0, self.settings.harden)

    def share(self) -> float:
        """How far the budget has fallen towards the target."""
        return linear(self.progress, 0.0, self.settings.warm_up)

    def relaxed(self, table: Tensor) -> Tensor:
        """m over the table: every row's sum is what it keeps."""
        keep = self.quota(table)
        if keep in (0, table.shape[1]) or not len(table):
            return torch.full_like(table, float(keep > 0))
        values = table.abs()
        if not self.settings.absolute:
            values = values / values.detach().mean().clamp_min(torch.finfo(values.dtype).tiny)
        return soft_top_k(self.beta * values, torch.ones_like(values), keep)

    def soft(self, table: Tensor) -> Tensor:
        """m where it is among the largest, else 0; the gradient is that of m."""
        m = self.relaxed(table)
        return _straight_through(m, self.choose(self.scores(table)))

    def masked(self, values: Tensor) -> Tensor:
        """m w where m is among the largest, else 0; the gradient is that of m w."""
        if self.fixed is not None:
            return super().masked(values)
        table = self.table(values)
        m = masks.join(self.relaxed(table), values.shape, self.pattern)
        hard = masks.join(self.choose(self.scores(table)), values.shape, self.pattern)
        return _straight_through(widened(values) * m, hard)

    def settle(self, values: Tensor, hard: Tensor) -> Tensor:
        """m of the kept weights stays on as a factor."""
        m = masks.join(self.relaxed(self.table(values)), values.shape, self.pattern)
        return m.clamp_min(torch.finfo(m.dtype).tiny) * hard


def _straight_through(soft: Tensor, hard: Tensor) -> Tensor:
    """`soft` where `hard`, else 0, with the gradient of `soft` everywhere."""
    return soft + (soft * hard - soft).detach()

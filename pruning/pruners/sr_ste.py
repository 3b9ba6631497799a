"""SR-STE: sparse-refined straight-through estimation (Zhou et al., ICLR 2021, arXiv 2102.04010).

Forward, the largest |w| of each row: W M, chosen anew every step. Backward, as if there were no mask, but weights
under it are drawn to zero, which stops masks from flipping: dL/dW = g + λ (1 - M) W. No warm-up, no schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pruning.errors import PlanError
from pruning.importance import widened
from pruning.pruners import base


@dataclass(frozen=True, kw_only=True)
class SRSTESettings(base.Settings):
    """`decay` is λ, 2e-4 in the paper; masks are fixed at `harden`, which the paper never does before the end."""

    decay: float = 2e-4
    harden: float = 0.9

    def __post_init__(self) -> None:
        if not 0.0 <= self.decay <= 1.0:
            raise PlanError(f"sr_ste setting decay {self.decay!r} is outside 0 ... 1: the paper has 2e-4")
        if not 0.0 <= self.harden <= 1.0:
            raise PlanError(f"sr_ste setting harden {self.harden!r} is outside 0 ... 1")


class SRSTE(base.Pruner):
    """W M forward, g + λ (1 - M) W backward."""

    name = "sr_ste"
    paper = "Zhou et al. 2021, arXiv 2102.04010"
    cost = "a selection each layer, every step"
    refuses: ClassVar[Mapping[str, str]] = {
        "channel": "its gradient goes straight to pruned weights, and a channel's norm is no weight"
    }
    Settings = SRSTESettings
    settings: SRSTESettings

    @property
    def hardens_at(self) -> float:
        """Set by `harden`."""
        return self.settings.harden

    def soft(self, table: Tensor) -> Tensor:
        """The hard mask of the moment."""
        return self.choose(self.scores(table)).to(table.dtype)

    def masked(self, values: Tensor) -> Tensor:
        """W M, with the refined gradient while the mask still moves."""
        if self.fixed is not None:
            return super().masked(values)
        with torch.no_grad():
            mask = self(values)
        refined: Tensor = _Refined.apply(widened(values), mask, self.settings.decay)  # type: ignore[no-untyped-call]
        return refined


class _Refined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, mask: Tensor, decay: float) -> Tensor:
        ctx.save_for_backward(weight, mask)
        ctx.decay = decay
        return weight * mask

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        weight, mask = ctx.saved_tensors
        return gradient + ctx.decay * (1 - mask) * weight, None, None

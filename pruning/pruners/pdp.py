"""Parameter-free differentiable pruning (Cho, Adya, Naik; NeurIPS 2023; arXiv 2305.11203).

The mask is a function of the weights themselves, m(w) = sigmoid((w² - t²) / τ), with the threshold t halfway
between the smallest weight kept and the largest dropped, taken anew every step as a constant. Every weight,
dropped or not, has a gradient, dL/dw = g (m + 2 w²/τ · m (1 - m)), which is how weights come back.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pruning import masks
from pruning.errors import PlanError
from pruning.importance import widened
from pruning.masks import Sparse
from pruning.patterns import NM
from pruning.pruners import base


@dataclass(frozen=True, kw_only=True)
class PDPSettings(base.Settings):
    """τ = `tau` · t², so that one value suits layers of any scale; `tau_absolute` > 0 is the paper's τ.

    Sparsity grows linearly over the first `ramp` of the recovery (the paper's ε, an epoch's growth, is
    1 / (ramp · epochs)); masks are binary from `harden` on. In keep-n-of-m, whose counts are whole, the
    mask's effect grows instead: 1 - λ (1 - m).
    """

    tau: float = 0.1
    tau_absolute: float = 0.0
    ramp: float = 0.1
    harden: float = 0.4

    def __post_init__(self) -> None:
        if not 1e-6 <= self.tau <= 10.0:
            raise PlanError(f"pdp setting tau {self.tau!r} is outside 1e-06 ... 10: it multiplies t²")
        if not 0.0 <= self.tau_absolute < float("inf"):
            raise PlanError(f"pdp setting tau_absolute {self.tau_absolute!r} is no temperature: try 1e-4")
        if not 0.0 <= self.ramp <= self.harden <= 1.0:
            raise PlanError(f"pdp needs 0 <= ramp <= harden <= 1, not {self.ramp!r} and {self.harden!r}")


class PDP(base.Pruner):
    """m(w) = sigmoid((w² - t²) / τ) over each row of the pattern's table."""

    name = "pdp"
    Settings = PDPSettings
    settings: PDPSettings

    @property
    def hardens_at(self) -> float:
        """Set by `harden`."""
        return self.settings.harden

    def soft(self, values: Tensor) -> Tensor:
        """The formula; see the top of the file."""
        pattern = self.pattern_now()
        table = masks.split(widened(values), pattern)
        keep = masks.keep(values.shape, pattern)
        if keep in (0, table.shape[1]):
            return torch.full_like(values, float(keep > 0), dtype=table.dtype)
        t2 = midpoint(table.detach().abs(), keep).square()
        tau = self.settings.tau_absolute or (self.settings.tau * t2).clamp_min(torch.finfo(t2.dtype).tiny)
        soft = masks.join(torch.sigmoid((table.square() - t2) / tau), values.shape, pattern)
        return 1 - self.ramp() * (1 - soft) if isinstance(pattern, NM) and self.ramp() < 1 else soft

    def ramp(self) -> float:
        """How far sparsity has grown towards the target, in [0, 1]."""
        return min(1.0, self.progress / self.settings.ramp) if self.settings.ramp else 1.0

    def pattern_now(self) -> Sparse:
        """The pattern at the sparsity reached by now."""
        if isinstance(self.pattern, NM):
            return self.pattern
        return replace(self.pattern, sparsity=self.pattern.sparsity * self.ramp())


def midpoint(magnitudes: Tensor, keep: int) -> Tensor:
    """Halfway between the `keep`-th and the next largest of each row: `rows x 1`; 0 < keep < candidates."""
    if magnitudes.shape[1] <= 64:  # many short rows: sorting them is faster than selecting
        edge = magnitudes.sort(dim=1, descending=True).values[:, keep - 1 : keep + 1]
    else:
        edge = magnitudes.topk(keep + 1, dim=1, sorted=False).values.topk(2, dim=1, largest=False).values
    return edge.mean(dim=1, keepdim=True)

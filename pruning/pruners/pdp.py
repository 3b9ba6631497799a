"""Parameter-free differentiable pruning (Cho, Adya, Naik; NeurIPS 2023; arXiv 2305.11203).

The mask is a function of the weights themselves, m(w) = sigmoid((w² - t²) / τ), with the threshold t halfway
between the smallest weight kept and the largest dropped, taken anew every step as a constant. Every weight,
dropped or not, has a gradient, dL/dw = g (m + 2 w²/τ · m (1 - m)), which is how weights come back.

The paper's τ is absolute and suits layers whose threshold is near its √(10 τ) or above; in layers of smaller
weights the mask stays far from binary and hardening costs accuracy. So t²/τ is reported, and warned about. The
paper's own layer sparsities, one threshold over all layers after warm-up, are `pruning.allocate`'s "global".
Unverified: whether the authors hold t constant, how n:m is ramped, what their last epochs do.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pruning import masks
from pruning.errors import PlanError
from pruning.importance import widened
from pruning.order import edge
from pruning.patterns import NM, Channel, Unstructured
from pruning.pruners import base
from pruning.pruners.ramps import linear

BINARY = 10.0  # t²/τ from which a weight of size 0 has m < 5e-5: below, hardening changes the layer


@dataclass(frozen=True, kw_only=True)
class PDPSettings(base.Settings):
    """τ = `tau` · t², so that one value suits layers of any scale; `tau_absolute` > 0 is the paper's τ.

    Channels take a tenth of it: squared norms of d weights differ by about t² √(2 / d) alone, and a τ wider than that
    leaves their masks far from binary (on the digits net, half of the channels: 71 % at 0.1 t², 92 % at 0.01 t²).

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
    paper = "Cho, Adya, Naik 2023, arXiv 2305.11203"
    cost = "a selection of the threshold and one sigmoid a weight, every step"
    Settings = PDPSettings
    settings: PDPSettings

    @property
    def hardens_at(self) -> float:
        """Set by `harden`."""
        return self.settings.harden

    def soft(self, table: Tensor) -> Tensor:
        """The formula; see the top of the file."""
        keep = self.quota(table)
        if keep in (0, table.shape[1]) or not len(table):
            return torch.full_like(table, float(keep > 0))
        t2 = midpoint(table.detach().abs(), keep).square()
        tau = self.temperature(t2)
        soft = torch.sigmoid((table.square() - self.threshold(table.detach(), t2, tau, keep)) / tau)
        ramp = self.ramp()
        return 1 - ramp * (1 - soft) if self.fades and ramp < 1 else soft

    def masked(self, values: Tensor) -> Tensor:
        """values * self(values), in fewer passes over the memory where units are weights that lie in rows."""
        whole = isinstance(self.pattern, Unstructured)
        in_rows = whole or (isinstance(self.pattern, NM) and values.ndim == 2 and self.ramp() == 1)
        if self.fixed is not None or not in_rows:
            return super().masked(values)
        units = widened(values) if whole else self.table(values)
        size = units.detach().abs()
        table = size.reshape(1, -1) if whole else size
        keep, spared = self.quota(table), units.numel() < values.numel()
        if keep in (0, table.shape[1]) or not len(table) or spared:
            return super().masked(values)
        t2 = midpoint(table, keep).square()
        tau = self.temperature(t2)
        x = self.threshold(table, t2, tau, keep)
        if whole:  # one threshold, in whatever order the weights lie
            x, tau = x.reshape(()), tau.reshape(()) if isinstance(tau, Tensor) else tau
        masked: Tensor = _SoftlyMasked.apply(units, size, x, tau)  # type: ignore[no-untyped-call]
        return masked if whole else masks.join(masked, values.shape, self.pattern)

    def threshold(self, table: Tensor, t2: Tensor, tau: Tensor | float, keep: int) -> Tensor:  # noqa: ARG002
        """The square of the size at which a unit is kept by half: `rows x 1`. Here t² itself."""
        return t2

    def temperature(self, t2: Tensor) -> Tensor | float:
        """τ, of each row or of all."""
        return self.settings.tau_absolute or (self.relative_tau * t2).clamp_min(torch.finfo(t2.dtype).tiny)

    @property
    def relative_tau(self) -> float:
        """τ / t²."""
        return self.settings.tau * (0.1 if isinstance(self.pattern, Channel) else 1.0)

    def ramp(self) -> float:
        """How far sparsity has grown towards the target, in [0, 1]."""
        return linear(self.progress, 0.0, self.settings.ramp)

    def share(self) -> float:
        """As `ramp`; a group of n:m has its counts from the start."""
        return 1.0 if self.fades else self.ramp()

    @property
    def fades(self) -> bool:
        """Whether the mask's effect grows, and not its sparsity."""
        return isinstance(self.pattern, NM)

    def sharpness(self, table: Tensor) -> float | None:
        """t²/τ, the median over rows: how far from binary the mask is on its way to `hard`."""
        keep = self.quota(table)
        if keep in (0, table.shape[1]) or not len(table):
            return None
        if not self.settings.tau_absolute:
            return 1 / self.relative_tau
        return float(midpoint(table.abs(), keep).square().median()) / self.settings.tau_absolute

    @property
    def warnings(self) -> tuple[str, ...]:
        """Says when the mask was still far from binary as it hardened."""
        if self.sharp is None or self.sharp >= BINARY:
            return ()
        return (
            f"the soft mask was far from binary when it hardened: t²/τ is {self.sharp:.3g}, below {BINARY:g}, and "
            f"the weights changed by {self.gap:.0%}; use a smaller tau or tau_absolute",
        )


def midpoint(magnitudes: Tensor, keep: int) -> Tensor:
    """Halfway between the `keep`-th and the next largest of each row: `rows x 1`; 0 < keep < candidates."""
    return edge(magnitudes, keep).mean(dim=1, keepdim=True)


class _SoftlyMasked(torch.autograd.Function):
    """w m(w), written over |w|, which the selection had to make anyway; the gradient makes the mask again.

    So one copy of the weights is held between forward and backward, where autograd would hold two.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, size: Tensor, x: Tensor, tau: Tensor | float) -> Tensor:
        ctx.mark_dirty(size)
        ctx.save_for_backward(weight, x)
        ctx.tau = tau
        return size.square_().sub_(x).div_(tau).sigmoid_().mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """g m (1 + 2 w²/τ (1 - m)): w² is multiplied last, lest it overflow where m is 1."""
        weight, x = ctx.saved_tensors
        m = weight.square().sub_(x).div_(ctx.tau).sigmoid_()
        gain = (1 - m).mul_(2 / ctx.tau).mul_(weight).mul_(weight).add_(1)
        return gain.mul_(m).mul_(gradient), None, None, None

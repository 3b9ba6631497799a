"""A layer as the solvers see it: matrices `groups x rows x columns` in fp64, and the spans a pattern compares in.

For N:M the columns stand in the order (kernel position, input channel), so that a span of consecutive columns
is a group along the inputs at a fixed kernel position; a short tail is a span of its own. Every span of `size`
columns keeps `min(keep, size)`, which is the policy of `pruning.masks`.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from pruning.calibrate import LayerStatistics
from pruning.errors import CalibrationError
from pruning.patterns import NM, Unstructured, kept_count

LayerPattern = Unstructured | NM  # what a layer solver can do
_MOST_DAMPING = 1.0


@dataclass(frozen=True, kw_only=True)
class Span:
    """Consecutive columns `start ... end`; N:M keeps `keep` of them in each row."""

    start: int
    end: int
    keep: int

    @property
    def size(self) -> int:
        """Columns in the span."""
        return self.end - self.start


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """A weight's columns in the order its pattern wants; `values` and `hessian` are in that order.

    The weights of dead inputs, which were zero throughout the calibration, are zero in `values`.
    """

    shape: torch.Size
    order: Tensor
    values: Tensor  # groups x rows x columns
    hessian: Tensor  # groups x columns x columns

    @classmethod
    def of(cls, weight: Tensor, statistics: LayerStatistics, pattern: LayerPattern) -> "Columns":
        """The layer laid out for `pattern`."""
        order = torch.arange(weight[0].numel(), device=weight.device)
        if isinstance(pattern, NM):
            order = order.reshape(weight.shape[1:]).movedim(0, -1).flatten()
        alive = statistics.squares[:, None] > 0
        return cls(
            shape=weight.shape,
            order=order,
            values=torch.where(alive, statistics.rows(weight), 0)[..., order],
            hessian=statistics.moments[:, order][..., order],
        )

    def weight(self, values: Tensor) -> Tensor:
        """Values in this order, back in the weight's shape; still fp64."""
        return torch.empty_like(values).index_copy_(-1, self.order, values).reshape(self.shape)


def nm_spans(shape: torch.Size, pattern: NM) -> tuple[Span, ...]:
    """The groups of keep n of m, over columns in the order (kernel position, input channel)."""
    inputs, positions = shape[1], prod(shape[2:])
    starts = [p * inputs + c for p in range(positions) for c in range(0, inputs, pattern.group)]
    ends = [min(s + pattern.group, (s // inputs + 1) * inputs) for s in starts]
    return tuple(Span(start=s, end=e, keep=min(pattern.keep, e - s)) for s, e in zip(starts, ends, strict=True))


def blocks(rows: int, columns: int, width: int, sparsity: float) -> tuple[Span, ...]:
    """Spans of `width` columns; here `keep` counts over all rows, and sums to `kept_count(rows * columns)`."""
    ends = [*range(width, columns, width), columns]
    kept = [0, *(kept_count(rows * end, sparsity) for end in ends)]
    starts = [0, *ends[:-1]]
    return tuple(
        Span(start=s, end=e, keep=after - before)
        for s, e, before, after in zip(starts, ends, kept[:-1], kept[1:], strict=True)
    )


def best(scores: Tensor, keep: int) -> Tensor:
    """True at the `keep` largest of the last dimension, the lowest index first among equals."""
    chosen = scores.sort(dim=-1, descending=True, stable=True).indices[..., :keep]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, chosen, True)


def damped(hessian: Tensor, damping: float) -> Tensor:
    """H with `damping` times the mean of its non-zero diagonal added there; zeros on the diagonal become the mean."""
    diagonal = hessian.diagonal(dim1=-2, dim2=-1)
    alive = diagonal > 0
    mean = diagonal.sum(-1, keepdim=True) / alive.sum(-1, keepdim=True).clamp(min=1)
    mean = torch.where(mean > 0, mean, 1.0)
    return hessian + torch.diag_embed(torch.where(alive, damping * mean, mean))


def factor(hessian: Tensor, damping: float) -> Tensor:
    """The lower Cholesky factor of the damped H; damping grows tenfold until there is one.

    Raises:
        CalibrationError: H is not positive definite with 100 % damping either.
    """
    lower: Tensor
    while True:
        lower, failed = torch.linalg.cholesky_ex(damped(hessian, damping))
        if not failed.any():
            return lower
        if damping >= _MOST_DAMPING:
            raise CalibrationError(
                "2 X Xᵀ is not positive definite even with 100 % damping: calibrate on more samples, and check "
                "them for very large values"
            )
        damping = min(_MOST_DAMPING, max(10 * damping, 1e-8))


def inverse(hessian: Tensor, damping: float) -> Tensor:
    """H⁻¹ of the damped H; see `factor`."""
    inverted: Tensor = torch.cholesky_inverse(factor(hessian, damping))
    return inverted

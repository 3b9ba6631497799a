"""SparseGPT (arXiv 2301.00774): columns from left to right, each zeroed weight's error pushed to later columns.

With U the upper Cholesky factor of H⁻¹ (H⁻¹ = Uᵀ U), U_ii² is the first diagonal entry of the inverse of
H over the columns i and later, so that w² / U_ii² is the cost of zeroing a weight when the columns before it
are settled. A column i whose weights w become q sends

    e = (w - q) / U_ii,    W[:, i:] -= e U[i, i:]

The mask is chosen a span at a time: 128 columns (`block`) over all rows, or a group of m columns for each row.
Unstructured counts are exact for the layer: spans keep what the running `kept_count` adds, all groups of a
convolution compared together. The paper's H is damped by 1 % of its mean diagonal, as here.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.calibrate import LayerStatistics
from pruning.errors import PlanError
from pruning.oneshot.columns import Columns, LayerPattern, Span, best, blocks, inverse, nm_spans
from pruning.oneshot.settings import SolverSettings
from pruning.patterns import NM, Unstructured

PAPER = "Frantar & Alistarh 2023, arXiv 2301.00774"
COST = "a pass over the calibration data, and columns² x (rows + columns)"


@dataclass(frozen=True, kw_only=True)
class SparseGPTSettings(SolverSettings):
    """`block`: columns among which an unstructured mask is chosen at once."""

    block: float = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block < 1 or self.block != int(self.block):
            raise PlanError(f"block {self.block!r} is not a positive whole number of columns")


@torch.no_grad()
def solve(weight: Tensor, statistics: LayerStatistics, pattern: LayerPattern, settings: SparseGPTSettings) -> Tensor:
    """The pruned weight, its survivors moved to make up for the rest; weights of dead inputs are zero.

    Costs columns² x (rows + columns) multiply-adds per group.

    Raises:
        CalibrationError: statistics that do not fit, or that no damping makes invertible.
    """
    columns = Columns.of(weight, statistics, pattern)
    upper = torch.linalg.cholesky(inverse(columns.hessian, settings.damping), upper=True)
    values = columns.values.clone()
    match pattern:
        case NM():
            spans = nm_spans(weight.shape, pattern)
        case Unstructured(sparsity=sparsity):
            spans = blocks(len(weight), values.shape[-1], int(settings.block), sparsity)
    for span in spans:
        _settle(values, upper, span, by_row=isinstance(pattern, NM))
    return columns.weight(values).to(weight.dtype)


def _settle(values: Tensor, upper: Tensor, span: Span, *, by_row: bool) -> None:
    """Zero the span's cheapest weights, in place, and let all later columns make up for them."""
    part, block = values[..., span.start : span.end], upper[:, span.start : span.end]
    diagonal = block[..., span.start : span.end].diagonal(dim1=-2, dim2=-1)
    costs = (part / diagonal[:, None]).square()
    kept = best(costs, span.keep) if by_row else best(costs.flatten(), span.keep).reshape(costs.shape)
    errors = torch.zeros_like(part)
    for i in range(span.size):
        errors[..., i] = torch.where(kept[..., i], 0, part[..., i]) / diagonal[:, None, i]
        inside = block[:, None, i, span.start + i : span.end]
        part[..., i:] -= errors[..., i, None] * inside
        part[..., i] = torch.where(kept[..., i], part[..., i], 0)
    values[..., span.end :] -= errors @ block[..., span.end :]

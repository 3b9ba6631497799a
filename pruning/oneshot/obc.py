"""OBC / ExactOBS (arXiv 2208.11580): in every row, one weight after another, each time the cheapest.

Removing weight p of a row costs w_p² / (2 [H⁻¹]_pp); the others move by -w_p / [H⁻¹]_pp of the p-th column of
H⁻¹, from which p is then eliminated. Unstructured, every row is traced to its end and the traces are merged:
the layer's next removal is always that of the row whose next loss is smallest. For N:M a span that has given
its share is closed. The rows are independent, and removals end at least squares on what is left, so the traces
give the support and `refit` the weights.
"""

import torch
from torch import Tensor

from pruning.calibrate import LayerStatistics
from pruning.errors import PlanError
from pruning.oneshot.columns import Columns, LayerPattern, inverse, nm_spans
from pruning.oneshot.refit import on_support
from pruning.oneshot.settings import SolverSettings
from pruning.patterns import NM, Unstructured, kept_count

PAPER = "Frantar, Singh, Alistarh 2022, arXiv 2208.11580"
COST = "a pass over the calibration data, and rows x columns³"
LIMIT = 10**12  # rows x columns³ that is still a small layer
_CHUNK = 1 << 23  # elements of the rows' inverses at once: 64 MiB


@torch.no_grad()
def solve(weight: Tensor, statistics: LayerStatistics, pattern: LayerPattern, settings: SolverSettings) -> Tensor:
    """The pruned weight, its survivors least squares under the damped H; weights of dead inputs are zero.

    Costs rows x columns³ multiply-adds.

    Raises:
        PlanError: a layer beyond `LIMIT`.
        CalibrationError: statistics that do not fit, or that no damping makes invertible.
    """
    columns = Columns.of(weight, statistics, pattern)
    groups, rows, width = columns.values.shape
    if (work := groups * rows * width**3) > LIMIT:
        raise PlanError(
            f"OBC takes rows x columns³ = {work:.1e} operations here, the limit is {LIMIT:.0e}: use sparsegpt"
        )
    values = columns.values.flatten(0, 1)
    inverses = inverse(columns.hessian, settings.damping)
    match pattern:
        case NM():
            spans = nm_spans(weight.shape, pattern)
            sizes = torch.tensor([span.size for span in spans], device=weight.device)
            keeps = torch.tensor([span.keep for span in spans], device=weight.device)
            order, _ = trace(values, inverses, sizes, sizes - keeps)
            removed = torch.ones_like(order, dtype=torch.bool)
        case Unstructured(sparsity=sparsity):
            whole = torch.tensor([width], device=weight.device)
            order, losses = trace(values, inverses, whole, whole)
            removed = merge(losses, weight.numel() - kept_count(weight.numel(), sparsity))
    kept = torch.ones_like(values, dtype=torch.bool).scatter_(1, order, ~removed)
    masked = torch.where(kept, values, 0)
    pull = ((values - masked).reshape(columns.values.shape) @ columns.hessian).flatten(0, 1)
    solved = on_support(masked, pull, columns.hessian, settings.damping)
    return columns.weight(solved.reshape(columns.values.shape)).to(weight.dtype)


def trace(values: Tensor, inverses: Tensor, sizes: Tensor, quotas: Tensor) -> tuple[Tensor, Tensor]:
    """The columns each row removes, in order, and what each removal costs: `rows x removals` both.

    `values` is `rows x columns`, its rows in equal shares of the `inverses`; the columns are cut into spans of
    these sizes, each of which gives away its quota.
    """
    rows, width = values.shape
    owner = torch.arange(rows, device=values.device) // (rows // len(inverses))
    span = torch.repeat_interleave(sizes)
    order = torch.empty(rows, int(quotas.sum()), dtype=torch.int64, device=values.device)
    losses = torch.empty_like(order, dtype=values.dtype)
    many = max(1, _CHUNK // width**2)
    for first in range(0, rows, many):
        part = slice(first, first + many)
        left, here = values[part].clone(), inverses[owner[part]]
        every = torch.arange(len(left), device=values.device)
        quota = quotas.repeat(len(left), 1)
        gone = torch.zeros_like(left, dtype=torch.bool)
        for number in range(order.shape[1]):
            costs = left.square() / (2 * here.diagonal(dim1=1, dim2=2))
            costs = costs.masked_fill(gone | (quota[:, span] == 0), torch.inf)
            losses[part, number], pivot = costs.min(dim=1)
            order[part, number] = pivot
            column = here[every, pivot]
            share = column / column.gather(1, pivot[:, None])
            left -= left.gather(1, pivot[:, None]) * share
            here.baddbmm_(column.unsqueeze(2), share.unsqueeze(1), alpha=-1)
            gone[every, pivot] = True
            quota[every, span[pivot]] -= 1
    return order, losses


def merge(losses: Tensor, removals: int) -> Tensor:
    """True at the removals of all rows' traces that come first when the row with the least next loss goes next."""
    reached = losses.cummax(dim=1).values  # a cheap removal after a dear one has to wait for it
    first = reached.flatten().sort(stable=True).indices[:removals]
    return torch.zeros_like(losses, dtype=torch.bool).flatten().scatter_(0, first, True).reshape(losses.shape)

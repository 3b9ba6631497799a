"""Least squares on a given support: the kept weights solved anew, so that the layer's output error is least.

With w the dense row, v the pruned one and S its support, the step d minimises ||(w - v - d) X||² + λ ||d||²:

    d_S = (H_SS + λ)⁻¹ (H (w - v))_S

As d = 0 is allowed, the error never grows, whatever λ; with λ = 0 this is plain least squares. Starting from v =
the masked dense row, λ is the damping that SparseGPT and OBC put on H: this is where OBC's removals end.
"""

import torch
from torch import Tensor

from pruning.calibrate import LayerStatistics
from pruning.oneshot.columns import best, damped, factor

_CHUNK = 1 << 23  # elements of the rows' systems at once: 64 MiB


@torch.no_grad()
def least_squares(reference: Tensor, weight: Tensor, statistics: LayerStatistics, damping: float = 0.0) -> Tensor:
    """`weight` with its non-zeros moved to where the output is closest to that of `reference`.

    Costs a Cholesky factor of the support of every row: rows x kept³ / 3. Where H is singular on a support,
    damping rises from 1e-8 of its mean diagonal until it is not.

    Raises:
        CalibrationError: statistics of another layer, or without a hessian.
    """
    dense, start = statistics.rows(reference), statistics.rows(weight)
    pull = (dense - start) @ statistics.moments
    moved = on_support(start.flatten(0, 1), pull.flatten(0, 1), statistics.moments, damping)
    return moved.reshape(weight.shape).to(weight.dtype)


def on_support(start: Tensor, pull: Tensor, hessian: Tensor, damping: float) -> Tensor:
    """`start` plus the step d, for rows that belong to the hessians in equal shares: `rows x columns`."""
    support = start != 0
    widest = max(1, int(support.sum(1).max()))
    owner = torch.arange(len(start), device=start.device) // (len(start) // len(hessian))
    moved, firm = start.clone(), damped(hessian, damping)
    many = max(1, _CHUNK // widest**2)
    for first in range(0, len(start), many):
        part = slice(first, first + many)
        chosen = best(support[part].double(), widest).nonzero()[:, 1].reshape(-1, widest)
        used = support[part].gather(1, chosen)
        system = firm[owner[part][:, None, None], chosen[:, :, None], chosen[:, None, :]]
        lower = factor(system * (used[:, :, None] & used[:, None, :]), 0.0)
        step = torch.cholesky_solve((pull[part].gather(1, chosen) * used).unsqueeze(-1), lower).squeeze(-1)
        moved[part] = moved[part].scatter_add(1, chosen, step)
    return moved

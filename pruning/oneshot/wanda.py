"""Wanda (arXiv 2306.11695): keep the largest |w_ij| ||X_j||₂ of every output row. No weight is changed.

Unstructured, the layer keeps exactly `kept_count(weights)`: its rows share that evenly, and what is left over
goes to the rows whose next score is largest, so that two rows differ by one weight at most. The paper zeroes
the same count in each row.
"""

import torch
from torch import Tensor

from pruning import masks
from pruning.calibrate import LayerStatistics
from pruning.oneshot.columns import LayerPattern, best
from pruning.oneshot.settings import SolverSettings
from pruning.patterns import NM, Unstructured, kept_count

PAPER = "Sun et al. 2023, arXiv 2306.11695"
COST = "a pass over the calibration data, and one sort a row"


@torch.no_grad()
def solve(weight: Tensor, statistics: LayerStatistics, pattern: LayerPattern, _settings: SolverSettings) -> Tensor:
    """The weight with zeros where the scores are small; needs the norms alone, and no setting."""
    scores = (statistics.rows(weight).abs() * statistics.norms[:, None]).reshape(weight.shape)
    match pattern:
        case NM():
            kept = masks.mask(scores, pattern)
        case Unstructured(sparsity=sparsity):
            kept = _evenly(scores.flatten(1), kept_count(weight.numel(), sparsity)).reshape(weight.shape)
    return torch.where(kept, weight, 0)


def _evenly(scores: Tensor, keep: int) -> Tensor:
    """The `keep` best of a table, shared by its rows up to one."""
    each, over = divmod(keep, len(scores))
    kept = best(scores, each)
    if over:
        following = best(scores, each + 1) & ~kept
        luckiest = best(scores.where(following, 0).sum(1), over)
        kept |= following & luckiest[:, None]
    return kept

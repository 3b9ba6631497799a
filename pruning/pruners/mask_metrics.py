"""How sure a layer's mask logits are, and how much its rows differ: two figures for probabilistic masks.

DPP (arXiv 2105.12686) proposes information-theoretic metrics of the confidence and the diversity of a layer's masks;
its formulas could not be verified. These are our definitions. With p_j = softmax(logits_j) over n candidates, rows j:

    confidence  1 - mean_j H(p_j) / log n                     1: every row is sure of one candidate
    decision    1 - (mean_j H(p_j) - log k) / (log n - log k)   1: every row is sure of k candidates, equally good ones
    diversity   (H(mean_j p_j) - mean_j H(p_j)) / log n       the mutual information of row and candidate; 0: all alike

All in [0, 1]; diversity is at most log(rows) / log n.
"""

import math

import torch
from torch import Tensor


def entropy(logits: Tensor) -> Tensor:
    """H(softmax) of each row, in nats: `rows`; differentiable."""
    log_p = logits.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)


@torch.no_grad()
def confidence(logits: Tensor) -> float:
    """1 where each row of `rows x candidates` logits is sure of one candidate, 0 where all are equally likely."""
    return decision(logits, 1)


@torch.no_grad()
def decision(logits: Tensor, keep: int) -> float:
    """As `confidence`, for rows that keep several: 1 where `keep` candidates share all the probability, 0 at worst."""
    candidates = logits.shape[1]
    if keep >= candidates or not len(logits):
        return 1.0
    surplus = float(entropy(logits.double()).mean()) - math.log(keep)
    return 1.0 - min(max(surplus / (math.log(candidates) - math.log(keep)), 0.0), 1.0)


@torch.no_grad()
def diversity(logits: Tensor) -> float:
    """How much a candidate tells of its row: 0 where all rows of `rows x candidates` logits say the same."""
    if logits.shape[1] < 2 or not len(logits):
        return 0.0
    wide = logits.double()
    mean = wide.softmax(dim=1).mean(dim=0, keepdim=True)
    together = float(torch.special.entr(mean).sum())
    return max(0.0, together - float(entropy(wide).mean())) / math.log(logits.shape[1])

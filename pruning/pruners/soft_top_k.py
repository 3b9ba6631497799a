"""A soft top-k that spends a budget exactly: m = sigmoid(z - μ), with μ where sum c m = K in each row.

It maximises sum c (z m + H(m)) under that budget: the entropy-regularised choice of Spartan (arXiv 2205.14107), there
found by Sinkhorn's iteration. Here μ is bracketed and found by Newton's steps, and differentiated as a function of z:

    dL/dz = a (g - c · sum(g a) / sum(c a)),   a = m (1 - m)

Adding the same to all scores of a row changes nothing, so dL/dz sums to 0.
"""

from typing import Any

import torch
from torch import Tensor

_STEPS = 100  # Newton's, each at least halving the bracket; about ten are enough
_TOLERANCE = 1e-9  # of what the whole row costs


def soft_top_k(scores: Tensor, costs: Tensor, budget: float) -> Tensor:
    """m of each candidate, `rows x candidates`: sum c m is `budget` in each row, 0 < budget < sum c.

    A candidate of cost 0 takes no part. Costs are constants, in the shape of the scores or broadcast to it.
    """
    soft: Tensor = _SoftTopK.apply(scores, costs, budget)  # type: ignore[no-untyped-call]
    return soft


@torch.no_grad()
def multiplier(scores: Tensor, costs: Tensor, budget: float, guess: Tensor | None = None) -> Tensor:
    """μ of each row, `rows x 1`, in double precision; a good `guess` saves some steps."""
    z, c = scores.double(), costs.double()
    total = c.expand_as(z).sum(dim=1, keepdim=True)
    far = torch.logit(budget / total).abs() + 1  # so far outside all scores, the sum is on the known side of the budget
    low, high = z.amin(dim=1, keepdim=True) - far, z.amax(dim=1, keepdim=True) + far
    mu = (low + high) / 2 if guess is None else guess.double()
    for _ in range(_STEPS):
        m = torch.sigmoid(z - mu)
        over = (c * m).sum(dim=1, keepdim=True) - budget
        if (over.abs() <= _TOLERANCE * total).all():
            break
        low, high = torch.where(over > 0, mu, low), torch.where(over > 0, high, mu)
        newton = mu + over / (c * m * (1 - m)).sum(dim=1, keepdim=True)
        mu = torch.where((low < newton) & (newton < high), newton, (low + high) / 2)
    return mu


class _SoftTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, costs: Tensor, budget: float) -> Tensor:
        m = torch.sigmoid(scores.double() - multiplier(scores, costs, budget)).to(scores.dtype)
        ctx.save_for_backward(m, costs)
        return m

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        m, costs = ctx.saved_tensors
        a = m * (1 - m)
        least = torch.finfo(a.dtype).tiny  # where m is binary, a is 0 and so is the gradient
        pull = (gradient * a).sum(dim=1, keepdim=True) / (costs * a).sum(dim=1, keepdim=True).clamp_min(least)
        return a * (gradient - costs * pull), None, None

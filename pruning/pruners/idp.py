"""IDP-style pruning: PDP's soft mask with the threshold that gives it exactly the wanted mass. Our reading.

Iterative differentiable pruning (the same group's earlier submission, OpenReview puguRjbs6Rg) computes soft masks
as fixed-point attention for a given sparsity, without learned parameters. How it iterates could not be verified.
This file takes the abstract at its word: t is where the mean of sigmoid((w² - t²) / τ) is the density, the fixed
point of t² <- t² + τ (logit(mean m) - logit(density)). It equals the entropy-regularised soft top-k that Spartan
uses (arXiv 2205.14107) with values w² and β = 1/τ. That iteration is slow for nearly binary masks, so the root
is bracketed and found by Newton's steps. t is a constant of the step, as in PDP; the two agree when t²/τ is large.
"""

import torch
from torch import Tensor

from pruning.pruners.pdp import PDP

_STEPS = 100  # Newton's, each at least halving the bracket; about ten are enough


class IDP(PDP):
    """m(w) = sigmoid((w² - t²) / τ) with t such that every row of the table has the mass it keeps."""

    name = "idp"
    paper = "our reading of Cho, Adya, Naik, OpenReview puguRjbs6Rg"
    cost = "some ten sigmoids a weight, every step"

    def threshold(self, table: Tensor, t2: Tensor, tau: Tensor | float, keep: int) -> Tensor:
        """The root of sum m = keep; relative τ is measured by PDP's t²."""
        return balanced(table.square(), t2, tau, keep)


@torch.no_grad()
def balanced(squares: Tensor, start: Tensor, tau: Tensor | float, keep: int) -> Tensor:
    """x with sum sigmoid((squares - x) / tau) = keep in each row, to 1e-9 of the row's length: `rows x 1`.

    The places that fill up a short group count as candidates of size 0.
    """
    values, x = squares.double(), start.double()
    tau = tau.double() if isinstance(tau, Tensor) else tau
    far = torch.logit(torch.tensor(keep / values.shape[1], dtype=torch.float64)).abs() + 1
    low, high = values.amin(dim=1, keepdim=True) - tau * far, values.amax(dim=1, keepdim=True) + tau * far
    for _ in range(_STEPS):
        m = torch.sigmoid((values - x) / tau)
        over = m.sum(dim=1, keepdim=True) - keep
        if over.abs().max() <= 1e-9 * values.shape[1]:
            break
        low, high = torch.where(over > 0, x, low), torch.where(over > 0, high, x)
        newton = x + over * tau / (m * (1 - m)).sum(dim=1, keepdim=True)
        x = torch.where((low < newton) & (newton < high), newton, (low + high) / 2)
    return x.to(squares.dtype)

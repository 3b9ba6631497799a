"""IDP-style pruning: PDP's soft mask with the threshold that gives it exactly the wanted mass. Our reading.

Iterative differentiable pruning (the same group's earlier submission, OpenReview puguRjbs6Rg) computes soft masks
as fixed-point attention for a given sparsity, without learned parameters. How it iterates could not be verified.
This file takes the abstract at its word: t is where the mean of sigmoid((w² - t²) / τ) is the density, the fixed
point of t² <- t² + τ (logit(mean m) - logit(density)). It equals the entropy-regularised soft top-k that Spartan
uses (arXiv 2205.14107) with values w² and β = 1/τ, and is found like that one (`soft_top_k`): the iteration is slow
for nearly binary masks. t is a constant of the step, as in PDP; the two agree when t²/τ is large.
"""

import torch
from torch import Tensor

from pruning.pruners.pdp import PDP
from pruning.pruners.soft_top_k import multiplier


class IDP(PDP):
    """m(w) = sigmoid((w² - t²) / τ) with t such that every row of the table has the mass it keeps."""

    name = "idp"
    paper = "our reading of Cho, Adya, Naik, OpenReview puguRjbs6Rg"
    cost = "some ten sigmoids a weight, every step"

    def threshold(self, table: Tensor, t2: Tensor, tau: Tensor | float, keep: int) -> Tensor:
        """The root of sum m = keep, sought from PDP's t² on, which relative τ is measured by as well.

        The places that fill up a short group count as candidates of size 0.
        """
        squares, alike = table.double().square(), torch.ones_like(t2[:1])
        return (tau * multiplier(squares / tau, alike, keep, guess=t2 / tau)).to(t2.dtype)

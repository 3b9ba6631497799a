"""The mass is the density, exactly; the fixed point and Spartan's soft top-k are the same number."""

import pytest
import torch

from pruning.masks import Sparse, split
from pruning.patterns import NM, Block, Channel, Unstructured
from pruning.pruners.idp import IDP
from pruning.pruners.pdp import PDP, midpoint
from tests.pruning.small import weight


def idp(pattern: Sparse, **settings: float) -> IDP:
    """At full sparsity, still soft."""
    pruner = IDP(pattern, settings)
    pruner.progress = 0.3
    return pruner


@pytest.mark.parametrize("scale", [1.0, 0.05, 0.005])
@pytest.mark.parametrize("tau", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("pattern", [Unstructured(0.85), NM(keep=1, group=4), Block(2, 2, 0.5)], ids=str)
def test_every_row_has_the_mass_it_keeps(pattern: Sparse, tau: float, scale: float) -> None:
    w = (scale * weight((64, 64))).double()
    table = split(w, pattern)
    pruner = idp(pattern, tau_absolute=tau)
    mass = pruner.soft(table).mean(dim=1)
    assert torch.allclose(mass, torch.full_like(mass, pruner.quota(table) / table.shape[1]), atol=1e-6, rtol=0)


def test_it_is_the_fixed_point_of_the_iteration() -> None:
    w = (0.005 * weight((1, 4000))).double()
    squares = w.square()
    x, tau, density = torch.zeros(1, 1, dtype=torch.float64), 1e-4, 0.15
    for _ in range(40):  # quick only because the mask is far from binary
        x += tau * (torch.sigmoid((squares - x) / tau).mean().logit() - torch.tensor(density).double().logit())
    found = idp(Unstructured(0.85)).threshold(w, torch.ones_like(x), tau, 600)
    assert torch.allclose(found, x, rtol=1e-6)
    assert float(x.sqrt()) == pytest.approx(0.0142, abs=2e-4)  # PDP's threshold is 0.0072 here


def test_it_equals_spartans_soft_top_k_of_w_squared() -> None:
    w, beta, keep = weight((1, 50)).double(), 5.0, 10
    squares = w.square()
    low, high = -100.0, 100.0
    for _ in range(200):  # oracle: the multiplier of the budget, by bisection
        mu = (low + high) / 2
        low, high = (mu, high) if torch.sigmoid(beta * squares - mu).sum() > keep else (low, mu)
    expected = torch.sigmoid(beta * squares - mu)
    x = idp(Unstructured(0.8)).threshold(w, torch.zeros(1, 1).double(), 1 / beta, keep)
    assert torch.allclose(torch.sigmoid((squares - x) * beta), expected, atol=1e-9)


def test_nearly_binary_masks_agree_with_pdps_and_harden_alike() -> None:
    w = weight((40, 40))
    sharp = {"tau": 0.01}
    ours, theirs = idp(Unstructured(0.8), **sharp), PDP(Unstructured(0.8), sharp)
    theirs.progress = 0.3
    assert torch.allclose(ours(w), theirs(w), atol=0.1)
    for pruner in (ours, theirs):
        pruner.advance(w, 1.0)
    assert torch.equal(ours(w), theirs(w))


def test_the_threshold_is_a_constant_of_the_step() -> None:
    w = weight((1, 30)).double().requires_grad_()
    pruner = idp(Unstructured(0.5), tau_absolute=0.3)
    pruner(w).sum().backward()
    m = pruner(w).detach()
    assert torch.allclose(w.grad, 2 * w.detach() / 0.3 * m * (1 - m), atol=1e-9)


def test_equal_and_zero_values_have_a_threshold_too() -> None:
    for w in (torch.ones(1, 8), torch.zeros(1, 8)):
        mask = idp(Channel(0.5), tau_absolute=0.1).soft(w)
        assert torch.allclose(mask, torch.full((1, 8), 0.5), atol=1e-5)
    assert midpoint(torch.zeros(1, 8), 4).tolist() == [[0.0]]

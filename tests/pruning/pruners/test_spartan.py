"""Hard forward, soft backward, a budget that falls and a β that rises."""

import pytest
import torch

from pruning.errors import PlanError
from pruning.masks import Sparse, keep, split
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured
from pruning.pruners.spartan import Spartan
from tests.pruning.small import survivors, weight

PATTERNS: tuple[Sparse, ...] = (Unstructured(0.7), NM(keep=1, group=4), Block(2, 2, 0.5), Kernel(0.6))


def spartan(pattern: Sparse, progress: float = 0.5, **settings: float) -> Spartan:
    pruner = Spartan(pattern, settings)
    pruner.progress = progress
    return pruner


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("absolute", [0, 1])
def test_soft_rows_spend_the_budget_and_hard_ones_keep_the_largest(pattern: Sparse, absolute: int) -> None:
    w = weight((6, 8, 2)).double()
    pruner = spartan(pattern, absolute=absolute)
    mass = pruner.relaxed(split(w, pattern)).sum(dim=1)
    assert torch.allclose(mass, torch.full_like(mass, keep(w.shape, pattern)), atol=1e-6)
    assert torch.equal(pruner.masked(w) != 0, survivors(w, pattern))
    assert torch.equal(pruner(w) != 0, survivors(w, pattern))


def test_the_mask_is_the_formula_of_the_paper() -> None:
    w, beta, kept = weight((1, 30)).double(), 4.0, 9
    low, high = -100.0, 100.0
    for _ in range(100):  # oracle: the multiplier of the budget, by bisection
        mu = (low + high) / 2
        low, high = (mu, high) if torch.sigmoid(beta * w.abs() - mu).sum() > kept else (low, mu)
    pruner = spartan(Unstructured(0.7), 0.8, beta=beta, absolute=1)
    assert torch.allclose(pruner.relaxed(w), torch.sigmoid(beta * w.abs() - mu), atol=1e-8)


def test_relative_beta_is_free_of_scale_and_absolute_beta_is_not() -> None:
    w = weight((1, 50))
    for absolute in (0, 1):
        pruner = spartan(Unstructured(0.8), absolute=absolute)
        assert torch.allclose(pruner.relaxed(w), pruner.relaxed(w / 64), atol=1e-5) != bool(absolute)


@pytest.mark.parametrize("pattern", [Unstructured(0.7), NM(keep=1, group=4)], ids=str)
def test_backward_is_the_gradient_of_the_soft_product_for_every_weight(pattern: Sparse) -> None:
    w, g = weight((4, 8)).double().requires_grad_(), weight((4, 8), seed=1).double()
    pruner = spartan(pattern, absolute=1)
    (pruner.masked(w) * g).sum().backward()
    table, wide = split(w.detach(), pattern), split(g, pattern)
    beta, m = pruner.beta, pruner.relaxed(table)
    a, upstream = m * (1 - m), wide * table
    kept = keep(w.shape, pattern)
    pull = (upstream * a).sum(1, keepdim=True) / (kept - m.square().sum(1, keepdim=True))
    closed = wide * m + beta * a * (upstream - pull) * table.sign()
    assert torch.allclose(split(w.grad, pattern), closed, atol=1e-7)
    assert (w.grad != 0).all()


def test_schedules() -> None:
    pruner = spartan(Unstructured(0.9), beta=10)
    anchors = {0.0: (0.0, 1.0), 0.1: (0.5, 2.125), 0.2: (1.0, 3.25), 0.4: (1.0, 5.5), 0.8: (1.0, 10.0)}
    for progress, expected in anchors.items():
        pruner.progress = progress
        assert (pruner.share(), pruner.beta) == pytest.approx(expected)
    assert pruner.hardens_at == 0.8
    pruner.progress = 0.1
    assert int((pruner.masked(weight((10, 10))) != 0).sum()) == 55


def test_the_last_mask_is_the_effective_weight_of_before_and_stays() -> None:
    w = weight((6, 8))
    pruner = spartan(Unstructured(0.5), 0.8)
    before = pruner.masked(w)
    pruner.advance(w, 0.8)
    assert torch.allclose(pruner.masked(w), before)
    assert pruner.gap == 0  # hardening changed nothing
    assert torch.equal(pruner(w) > 0, survivors(w, Unstructured(0.5)))
    assert torch.allclose(pruner.masked(-2 * w), -2 * before)


def test_channels_have_a_factor_with_a_soft_gradient() -> None:
    norms = weight((10,)).abs().requires_grad_()
    factor = spartan(Channel(0.5))(norms)
    assert torch.equal(factor != 0, survivors(norms.detach(), Channel(0.5)))
    (factor * weight((10,), seed=1)).sum().backward()
    assert (norms.grad != 0).all()


@pytest.mark.parametrize("settings", [{"beta": 0.5}, {"beta_start": 0.0}, {"warm_up": 0.9}, {"absolute": 2}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="spartan"):
        Spartan(Unstructured(0.5), settings)

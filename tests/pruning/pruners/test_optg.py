"""OptG: the sigmoid that is both schedule and learning rate, and scores that learn g W through the mask."""

import pytest
import torch

from pruning.errors import PlanError
from pruning.masks import Sparse
from pruning.patterns import NM, Unstructured
from pruning.pruners.optg import OptG
from tests.pruning.pruners.planted import learned
from tests.pruning.small import survivors, weight


@pytest.mark.parametrize(("epoch", "share"), [(0, 1.9e-22), (40, 4.54e-5), (50, 0.5), (51, 0.731), (60, 0.99995)])
def test_the_schedule_is_the_papers(epoch: int, share: float) -> None:
    pruner = OptG(Unstructured(0.9), {"steepness": 100.0, "harden": 1.0})
    pruner.progress = epoch / 100
    assert pruner.share() == pruner.rate() == pytest.approx(share, rel=0.02)
    assert pruner.quota(torch.ones(1, 10_000)) == pytest.approx(10_000 * (1 - 0.9 * share), abs=1)


def test_hardening_ends_the_schedule_at_the_plan() -> None:
    w = weight((10, 10))
    pruner = OptG(Unstructured(0.9), {"steepness": 1.0, "harden": 0.6})
    pruner.advance(w, 0.59)
    assert int(pruner(w).sum()) == 52  # 1 - 0.9 σ(0.09)
    pruner.advance(w, 0.6)
    assert int(pruner(w).sum()) == 10 and pruner.share() == 1


@pytest.mark.parametrize("pattern", [Unstructured(0.8), NM(keep=1, group=4)], ids=str)
@pytest.mark.parametrize("progress", [0.45, 0.5, 0.7])
def test_scores_learn_g_w_times_the_sigmoid_and_weights_g_m(pattern: Sparse, progress: float) -> None:
    w, g = weight((4, 8)).double().requires_grad_(), weight((4, 8), seed=1).double()
    pruner = OptG(pattern)
    pruner.advance(w, 0.0)
    pruner.advance(w, progress)
    out = pruner.masked(w)
    (out * g).sum().backward()
    mask = out.detach() != 0
    assert torch.equal(out, w * mask)
    assert torch.equal(w.grad, g * mask)
    rate = 1 / (1 + torch.tensor(-20 * (progress - 0.5), dtype=torch.float64).exp())
    assert torch.allclose(pruner.learned.grad.reshape(4, 8), rate * g * w.detach(), atol=1e-12)


def test_a_gradient_times_the_sigmoid_is_a_rate_times_the_sigmoid() -> None:
    w, gradients = weight((6, 6)), [weight((6, 6), seed=seed) for seed in range(1, 9)]
    pruner = OptG(Unstructured(0.5))
    pruner.advance(w, 0.0)
    expected = pruner.learned.detach().clone()
    optimizer = torch.optim.SGD(pruner.parameters(), lr=0.1)
    for step, gradient in enumerate(gradients):
        pruner.advance(w, 0.3 + step / 20)
        optimizer.zero_grad()
        (pruner.masked(w) * gradient).sum().backward()
        optimizer.step()
        expected -= 0.1 * pruner.rate() * (gradient * w).reshape(1, -1)
    assert torch.allclose(pruner.learned, expected, atol=1e-7)
    pruner.advance(w, 0.8)
    assert torch.equal(pruner(w), survivors((expected - expected.min()).reshape(6, 6), Unstructured(0.5)))


def test_a_pruned_weight_comes_back_when_its_score_asks_for_it() -> None:
    w = torch.tensor([[3.0, 2.0, 1.0, 0.5]])
    pruner = OptG(Unstructured(0.5))
    pruner.advance(w, 0.0)
    pruner.advance(w, 0.75)
    assert pruner(w).detach().tolist() == [[1, 1, 0, 0]]
    (pruner.masked(w) * torch.tensor([[1.0, 1.0, 1.0, -10.0]])).sum().backward()
    torch.optim.SGD(pruner.parameters(), lr=1.0).step()
    assert pruner(w).detach().tolist() == [[0, 0, 1, 1]]  # -1 and +5 beat -3 and -2


def test_it_finds_a_planted_sparse_layer() -> None:
    assert learned("optg") < 0.5


@pytest.mark.parametrize("settings", [{"steepness": 0.5}, {"steepness": 1e4}, {"harden": 0.5}, {"harden": 1.5}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=f"optg setting {next(iter(settings))}"):
        OptG(Unstructured(0.5), settings)

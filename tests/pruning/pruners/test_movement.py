"""Movement: scores learn g W, the cubic, what moves towards zero goes; the soft variant's threshold and penalty."""

import pytest
import torch
from torch import Tensor

from pruning.errors import PlanError
from pruning.masks import Sparse, join, split
from pruning.patterns import NM, Block, Kernel, Unstructured
from pruning.pruners.movement import Movement, SoftMovement
from tests.pruning.pruners.planted import learned
from tests.pruning.small import survivors, weight

PATTERNS: tuple[Sparse, ...] = (Unstructured(0.5), NM(keep=2, group=4), Block(2, 4, 0.5), Kernel(0.5))
SHAPE = (4, 8, 3)


def sums(values: Tensor, pattern: Sparse) -> Tensor:
    """Sums of values over each unit: the gradient of spreading a table over them."""
    table = torch.zeros_like(split(values, pattern), requires_grad=True)
    (join(table, values.shape, pattern) * values).sum().backward()
    assert table.grad is not None
    return table.grad


def trained(pruner: Movement, w: Tensor, gradient: Tensor, rate: float, steps: int = 5) -> Tensor:
    """The mask after its scores have seen one constant gradient of the effective weight."""
    pruner.advance(w, 0.0)
    optimizer = torch.optim.SGD(pruner.parameters(), lr=rate, momentum=0.9)
    for step in range(steps):
        pruner.advance(w, 0.7 * (step + 1) / steps)
        optimizer.zero_grad()
        (pruner.masked(w) * gradient).sum().backward()
        optimizer.step()
    return pruner.kept(w)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_scores_learn_g_w_and_weights_g_m(pattern: Sparse) -> None:
    w, g = weight(SHAPE).double().requires_grad_(), weight(SHAPE, seed=1).double()
    pruner = Movement(pattern)
    pruner.advance(w, 0.0)
    pruner.advance(w, 0.7)
    out = pruner.masked(w)
    (out * g).sum().backward()
    mask = survivors(w.detach(), pattern)  # no score has been trained: magnitude decides
    assert torch.equal(out, w * mask)
    assert torch.equal(w.grad, g * mask)
    assert torch.allclose(pruner.learned.grad, sums(w.detach() * g, pattern), atol=1e-12)


def test_the_share_is_the_cubic_between_its_ends() -> None:
    w = weight((50, 20))
    pruner = Movement(Unstructured(0.8), {"begin": 0.1, "end": 0.8, "harden": 1.0})
    for progress, share in ((0.0, 0.0), (0.1, 0.0), (0.45, 0.875), (0.8, 1.0), (0.9, 1.0)):
        pruner.advance(w, progress)
        assert pruner.share() == pytest.approx(share)
        assert int(pruner(w).sum()) == 1000 - round(800 * share)
    assert pruner.fixed is None


def test_a_large_weight_on_its_way_to_zero_goes_and_a_small_one_that_grows_stays() -> None:
    w = torch.tensor([[5.0, -4.0, 0.2, -0.1]])
    gradient = torch.tensor([[1.0, -1.0, -1.0, 1.0]])  # descent shrinks the large two and grows the small two
    assert trained(Movement(Unstructured(0.5)), w, gradient, rate=0.1).tolist() == [[False, False, True, True]]


def test_the_learning_rate_of_the_scores_is_without_effect() -> None:
    w, gradient = weight((8, 8)), weight((8, 8), seed=1)
    masks = [trained(Movement(NM(keep=1, group=4)), w, gradient, rate) for rate in (1e-2, 1.0, 100.0)]
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_soft_scores_learn_n_g_w_and_the_penaltys_slope(pattern: Sparse) -> None:
    w, g = weight(SHAPE).double(), weight(SHAPE, seed=1).double()
    pruner = SoftMovement(pattern, {"penalty": 3.0, "begin": 0.0, "end": 0.5})
    pruner.advance(w, 0.0)
    with torch.no_grad():
        pruner.learned.copy_(weight(tuple(pruner.learned.shape), seed=2))
    pruner.advance(w, 0.25)
    ((pruner.masked(w) * g).sum() + pruner.penalty()).backward()
    s = torch.sigmoid(pruner.learned.detach())
    n = pruner.learned.numel()
    closed = n * sums(w * g, pattern) + 3.0 * 0.875 * s * (1 - s)
    assert torch.allclose(pruner.learned.grad, closed, atol=1e-10)


def test_the_soft_mask_is_the_threshold_but_never_below_the_plan() -> None:
    w = weight((1, 6))
    pruner = SoftMovement(Unstructured(0.5), {"begin": 0.0, "end": 0.5, "threshold": 0.2})
    pruner.advance(w, 0.0)
    assert pruner(w).min() == 1 and pruner.penalty().item() == 0
    for chance, kept in (
        ([0.9, 0.5, 0.3, 0.21, 0.19, 0.1], [1, 1, 1, 1, 0, 0]),
        ([0.9, 0.1, 0.03, 0.02, 0.05, 0.01], [1, 1, 0, 0, 1, 0]),
    ):
        with torch.no_grad():
            pruner.learned.copy_(torch.logit(torch.tensor([chance])))
        pruner.advance(w, 0.5)
        assert pruner(w).tolist() == [kept]
    with torch.no_grad():
        pruner.learned.copy_(torch.logit(torch.tensor([[0.1, 0.9, 0.8, 0.7, 0.6, 0.5]])))
    pruner.advance(w, 0.8)
    assert pruner(w).tolist() == [[False, True, True, True, False, False]]
    assert pruner.sharp == pytest.approx(1 / 3) and "penalty" in pruner.warnings[0]


@pytest.mark.parametrize("name", ["movement", "movement-soft"])
def test_it_finds_a_planted_sparse_layer(name: str) -> None:
    assert learned(name) < 0.5


@pytest.mark.parametrize("settings", [{"begin": 0.6}, {"end": 0.9}, {"harden": 1.5}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="movement needs 0 <= begin < end <= harden <= 1"):
        Movement(Unstructured(0.5), settings)


@pytest.mark.parametrize("settings", [{"threshold": 0.5}, {"threshold": 0.0}, {"penalty": -1.0}])
def test_soft_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=f"movement-soft setting {next(iter(settings))}"):
        SoftMovement(Unstructured(0.5), settings)

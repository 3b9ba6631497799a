"""The properties of PDP: m(|w| = t) = 1/2, the gradient's closed form, the limit of hard top-k, the ramp."""

import math

import pytest
import torch
from torch import Tensor

from pruning.errors import PlanError
from pruning.masks import Sparse, keep, split
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured
from pruning.pruners.pdp import PDP, midpoint
from tests.pruning.small import survivors, weight

PATTERNS: tuple[Sparse, ...] = (Unstructured(0.7), NM(keep=2, group=4), NM(keep=1, group=4))


def soft(pattern: Sparse, progress: float = 0.6, **settings: float) -> PDP:
    """A pruner at full sparsity and still soft."""
    pruner = PDP(pattern, settings)
    pruner.progress = progress
    return pruner


def thresholds(w: Tensor, pattern: Sparse) -> Tensor:
    """t of each weight's row, by plain sorting; shaped like the table."""
    table = split(w.abs(), pattern)
    ranked = table.sort(dim=1, descending=True).values
    kept = keep(w.shape, pattern)
    return (0.5 * (ranked[:, kept - 1] + ranked[:, kept]))[:, None].expand_as(table)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("settings", [{"tau": 0.05}, {"tau": 0.3}, {"tau_absolute": 0.04}], ids=str)
def test_mask_and_gradient_are_the_closed_forms(pattern: Sparse, settings: dict[str, float]) -> None:
    w = weight((6, 8, 3)).double().requires_grad_()
    upstream = weight((6, 8, 3), seed=1).double()
    mask = soft(pattern, **settings)(w)
    (mask * w * upstream).sum().backward()

    table, t, g = split(w.detach(), pattern), thresholds(w.detach(), pattern), split(upstream, pattern)
    tau = settings.get("tau_absolute") or settings["tau"] * t.square()
    m = 1 / (1 + torch.exp(-(table.square() - t.square()) / tau))
    assert torch.allclose(split(mask.detach(), pattern), m, atol=1e-12)
    closed = g * (m + 2 * table.square() / tau * m * (1 - m))
    assert torch.allclose(split(w.grad, pattern), closed, atol=1e-10)


@pytest.mark.parametrize("tau", [0.05, 0.25, 1.0])
def test_a_weight_at_the_threshold_is_half_kept_and_gains_t2_over_2_tau(tau: float) -> None:
    w = torch.tensor([[2.0, 1.0, 1.0, 0.5]], requires_grad=True)  # the second and third tie, so t = 1 is theirs
    mask = soft(Unstructured(0.5), tau_absolute=tau)(w)
    (mask * w).sum().backward()
    assert mask.tolist()[0][1:3] == [0.5, 0.5]
    assert w.grad[0, 1:3].tolist() == pytest.approx([0.5 + 1 / (2 * tau)] * 2)
    pruner = PDP(Unstructured(0.5))
    pruner.advance(w, 1.0)
    assert pruner(w).tolist() == [[True, True, False, False]]  # hardening breaks the tie by index


def test_the_threshold_is_midway_and_constant_for_the_step() -> None:
    w = torch.tensor([[3.0, 2.0, 1.0, 0.5]], requires_grad=True)
    assert midpoint(w.detach(), 2).tolist() == [[1.5]]
    soft(Unstructured(0.5), tau=2.0)(w)[0, 0].backward()
    assert w.grad[0, 0] != 0
    assert (w.grad[0, 1:] == 0).all()  # nothing flows through t into the weights that set it


@pytest.mark.parametrize("pattern", [Unstructured(0.7), Channel(0.7)], ids=str)
def test_the_mask_grows_with_magnitude_and_counts_exactly(pattern: Sparse) -> None:
    w = weight((40,)).abs() if isinstance(pattern, Channel) else weight((5, 8))
    mask = soft(pattern)(w).flatten()
    order = w.abs().flatten().argsort()
    assert (mask[order].diff() >= 0).all()
    assert torch.equal(soft(pattern)(-w).flatten(), mask)
    assert int((mask >= 0.5).sum()) == int(survivors(w, pattern).sum()) == 12


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_vanishing_temperature_is_hard_top_k(pattern: Sparse) -> None:
    w = weight((6, 10))
    assert torch.allclose(soft(pattern, tau=1e-5)(w), survivors(w, pattern).float(), atol=1e-6)


def test_relative_tau_makes_the_mask_independent_of_scale_and_absolute_tau_does_not() -> None:
    w = weight((16, 16))
    assert torch.allclose(soft(Unstructured(0.8))(w), soft(Unstructured(0.8))(w / 64), atol=1e-6)
    masses = [float(soft(Unstructured(0.85), tau_absolute=1e-4)(weight((200, 200)) * s).mean()) for s in (0.1, 0.005)]
    assert masses == pytest.approx([0.150, 0.433], abs=0.01)  # the trap: a wide layer stays far from binary


@pytest.mark.parametrize(("candidates", "count"), [(4, 1), (64, 20), (65, 20), (900, 1), (900, 899)])
def test_the_midpoint_of_long_and_short_rows_is_that_of_sorting(candidates: int, count: int) -> None:
    table = weight((3, candidates)).abs()
    ranked = table.sort(dim=1, descending=True).values
    assert torch.equal(midpoint(table, count)[:, 0], (ranked[:, count - 1] + ranked[:, count]) / 2)


def test_without_recovery_it_is_magnitude_pruning() -> None:
    w = weight((6, 9, 3))
    for pattern in PATTERNS:
        pruner = PDP(pattern)
        pruner.advance(w, 1.0)
        assert torch.equal(pruner(w), survivors(w, pattern))


def test_every_dropped_weight_has_a_gradient() -> None:
    w = weight((8, 8)).requires_grad_()
    (soft(Unstructured(0.9), tau=1.0)(w) * w).sum().backward()
    assert (w.grad != 0).all()


def test_a_tail_no_longer_than_keep_is_kept_whole() -> None:
    w = weight((3, 6))
    mask = soft(NM(keep=2, group=4))(w)
    assert torch.equal(mask[:, 4:], torch.ones(3, 2))
    assert (mask[:, :4] < 1).any()


@pytest.mark.parametrize(("epoch", "share"), [(0, 0.0135), (33, 0.459), (66, 0.9), (99, 0.9)])
def test_the_ramp_is_the_papers(epoch: int, share: float) -> None:
    epsilon, epochs = 0.015, 100
    pruner = PDP(Unstructured(0.9), {"ramp": 1 / (epsilon * epochs), "harden": 1.0})
    pruner.progress = (epoch + 1) / epochs
    assert 0.9 * pruner.share() == pytest.approx(share)
    assert pruner.quota(torch.ones(1, 10**6)) == pytest.approx(10**6 * (1 - share), abs=1)


def test_masks_start_dense_and_a_group_pattern_fades_in() -> None:
    w = weight((8, 8))
    for pattern in (Unstructured(0.9), Channel(0.9), NM(keep=1, group=4)):
        assert torch.equal(soft(pattern, progress=0.0)(w), torch.ones(8, 8))
    quarter, full = soft(NM(keep=1, group=4), progress=0.025)(w), soft(NM(keep=1, group=4))(w)
    assert torch.allclose(1 - quarter, 0.25 * (1 - full), atol=1e-6)


def test_the_gap_of_hardening_is_the_relative_change_of_the_weights() -> None:
    w = weight((32, 32))
    soft_mask = soft(Unstructured(0.8), progress=0.75, tau=0.2)(w)
    pruner = PDP(Unstructured(0.8), {"tau": 0.2})
    pruner.advance(w, 0.75)
    hard = survivors(w, Unstructured(0.8)).float()
    assert pruner.gap == pytest.approx(float(((soft_mask - hard) * w).norm() / (hard * w).norm()), rel=1e-5)
    assert 0.01 < pruner.gap < 1


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"tau": 0.0}, "tau"),
        ({"tau": math.nan}, "tau"),
        ({"tau_absolute": -1.0}, "tau_absolute"),
        ({"ramp": 0.9, "harden": 0.5}, "ramp <= harden"),
        ({"harden": 1.5}, "harden <= 1"),
        ({"tau": "hot"}, "not a number"),
    ],
)
def test_settings_out_of_range_are_refused_with_the_range(settings: dict[str, float], complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        PDP(Unstructured(0.5), settings)


@pytest.mark.parametrize("pattern", [Unstructured(0.8), NM(keep=2, group=4), Block(2, 2, 0.5), Kernel(0.5)], ids=str)
def test_sharpness_is_t2_over_tau_and_a_mask_far_from_binary_is_warned_about(pattern: Sparse) -> None:
    w = weight((8, 8, 3, 3))
    table = split(w, pattern)
    t2 = midpoint(table.abs(), keep(w.shape, pattern)).square().median()
    for wanted in (2.0, 50.0):
        pruner = PDP(pattern, {"tau_absolute": float(t2) / wanted})
        pruner.advance(w, 0.3)
        assert pruner.sharp is None
        pruner.advance(w, 0.5)
        assert pruner.sharp == pytest.approx(wanted, rel=1e-5)
        assert bool(pruner.warnings) == (wanted < 10)
        assert all(f"t²/τ is {wanted:.3g}, below 10" in text for text in pruner.warnings)


def test_relative_tau_says_its_own_sharpness_and_the_default_is_just_sharp_enough() -> None:
    pruner = PDP(Unstructured(0.5))
    pruner.advance(weight((8, 8)), 1.0)
    assert (pruner.sharp, pruner.warnings) == (10.0, ())
    dense = PDP(Unstructured(0.0), {"tau": 5.0})
    dense.advance(weight((8, 8)), 1.0)
    assert (dense.sharp, dense.warnings) == (None, ())

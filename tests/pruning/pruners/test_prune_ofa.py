"""Prune Once for All, downstream: the weights' own zeros stay, and weights without them are spoken about."""

import pytest
import torch
from torch import nn

from pruning.errors import PlanError
from pruning.masked import MaskedWeight, attach, bake
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Kernel, Unstructured
from pruning.pruners.prune_ofa import PruneOFA
from pruning.recover import RecoveryConfig, recover
from tests.pruning.pruners.planted import PATTERN, by_chance, final_loss
from tests.pruning.small import survivors, weight

PATTERNS: tuple[Sparse, ...] = (Unstructured(0.7), NM(keep=1, group=4), Block(2, 2, 0.5), Kernel(0.5))


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_the_weights_own_zeros_are_locked_from_the_start(pattern: Sparse) -> None:
    w = weight((6, 8, 3))
    own = survivors(weight((6, 8, 3), seed=1), pattern)  # not those that magnitude would choose
    pruner = PruneOFA(pattern, {"tolerance": 0.0})
    pruner.advance(w * own, 0.0)
    assert torch.equal(pruner(w), own)
    assert pruner.gap == 0 and not pruner.warnings


def test_training_moves_the_others_and_no_zero() -> None:
    layer = nn.Linear(8, 4, bias=False)
    own = survivors(weight((4, 8)), Unstructured(0.5))
    with torch.no_grad():
        layer.weight.mul_(own)
    before = layer.weight.detach().clone()
    attach(layer, {"weight": MaskedWeight(PruneOFA(Unstructured(0.5)))})
    batch = (weight((16, 8), seed=2), weight((16, 4), seed=3))
    list(recover(layer, [batch], RecoveryConfig(steps=3, weight_decay=0.1), nn.functional.mse_loss))
    bake(layer)
    assert torch.equal(layer.weight != before, own)
    assert torch.equal(layer.weight != 0, own)


def test_weights_that_are_not_sparse_are_cut_by_magnitude_and_warned_about_or_refused() -> None:
    w = torch.tensor([[4.0, 3.0, 0.0, 0.0], [0.0, 0.0, 4.0, 3.0]])
    pruner = PruneOFA(NM(keep=1, group=4))
    pruner.advance(w, 0.0)
    assert pruner(w).tolist() == [[True, False, False, False], [False, False, True, False]]
    assert pruner.gap == pytest.approx(0.75)
    assert "changed them by 75%" in pruner.warnings[0]
    with pytest.raises(PlanError, match=r"60\.0% of the norm of these lies outside keep1of4"):
        PruneOFA(NM(keep=1, group=4), {"tolerance": 0.59}).advance(w, 0.0)
    PruneOFA(NM(keep=1, group=4), {"tolerance": 0.61}).advance(w, 0.0)


def test_it_keeps_a_planted_sparse_layer() -> None:
    assert final_loss(PruneOFA(PATTERN), dense=False) < 0.1 * by_chance()


@pytest.mark.parametrize("tolerance", [-0.1, 1.1, float("nan")])
def test_settings_out_of_range_are_refused(tolerance: float) -> None:
    with pytest.raises(PlanError, match="prune_ofa setting tolerance"):
        PruneOFA(Unstructured(0.5), {"tolerance": tolerance})

"""The cubic, in steps; between steps, and after them, the mask holds."""

import pytest
import torch

from pruning.errors import PlanError
from pruning.masks import split
from pruning.patterns import NM, Channel, Unstructured
from pruning.pruners.gmp import GMP
from pruning.pruners.ramps import cubic, linear, stairs
from tests.pruning.small import survivors, weight


def test_the_ramps_are_their_formulas() -> None:
    assert [linear(p, 0.2, 0.6) for p in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx([0, 0, 0.5, 1, 1])
    assert linear(0.0, 0.0, 0.0) == 1.0
    assert [cubic(p, 0.0, 0.5) for p in (0.0, 0.25, 0.5)] == pytest.approx([0, 0.875, 1])
    assert [stairs(p / 10, 0.2, 0.7, 5) for p in range(11)] == [0, 0, 0, 1, 2, 3, 4, 5, 5, 5, 5]


def test_sparsity_follows_the_cubic_at_every_update() -> None:
    w = weight((50, 20))
    pruner = GMP(Unstructured(0.9), {"begin": 0.0, "end": 0.5, "updates": 10})
    for step in range(11):
        pruner.advance(w, step / 20)
        share = 1 - (1 - step / 10) ** 3
        assert int(pruner(w).sum()) == pytest.approx(1000 * (1 - 0.9 * share), abs=1)
    assert torch.equal(pruner(w), survivors(w, Unstructured(0.9)))


def test_between_updates_the_mask_holds_and_pruned_weights_stay_where_they_are() -> None:
    w = weight((8, 8)).requires_grad_()
    pruner = GMP(Unstructured(0.5), {"end": 1.0, "updates": 4})
    pruner.advance(w, 0.25)
    before = pruner(w)
    pruner.advance(-w.flip(0), 0.49)
    assert torch.equal(pruner(w), before)
    pruner.masked(w).sum().backward()
    assert torch.equal(w.grad, before.detach())
    pruner.advance(w, 0.5)
    assert int(pruner(w).sum()) < int(before.sum())


def test_groups_lose_one_at_a_time() -> None:
    w = weight((4, 8))
    pruner = GMP(NM(keep=1, group=4), {"end": 1.0, "updates": 100})
    counts = []
    for step in range(101):
        pruner.advance(w, step / 100)
        rows = split(pruner(w).float(), pruner.pattern).sum(dim=1)
        assert rows.min() == rows.max()
        counts.append(int(rows[0]))
    assert sorted(set(counts)) == [1, 2, 3, 4] and counts == sorted(counts, reverse=True)


def test_channels_too() -> None:
    norms = weight((10,)).abs()
    pruner = GMP(Channel(0.5))
    pruner.advance(norms, 1.0)
    assert torch.equal(pruner(norms), survivors(norms, Channel(0.5)))


@pytest.mark.parametrize("settings", [{"begin": 0.5, "end": 0.5}, {"end": 1.5}, {"updates": 0}, {"updates": 2.5}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="gmp"):
        GMP(Unstructured(0.5), settings)

"""Drop and grow against an oracle that sorts in plain Python; the cosine; grown weights start at zero."""

import pytest
import torch
from torch import Tensor, nn

from pruning.errors import PlanError
from pruning.masked import MaskedWeight, attach, find_tensor, set_progress
from pruning.masks import Sparse, split
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured
from pruning.pruners import make
from pruning.pruners.rigl import RigL
from pruning.recover import RecoveryConfig, recover
from tests.pruning.pruners.planted import teacher
from tests.pruning.small import small, survivors, weight


def replaced(w: Tensor, mask: Tensor, gradient: Tensor, count: int) -> Tensor:
    """Oracle: tables after one update."""
    active = sorted((float(w[p].abs()), p) for p in map(tuple, mask.nonzero().tolist()))
    left = mask.clone()
    for _, p in active[:count]:
        left[p] = False
    for row in range(len(mask)):
        free = [c for c in range(mask.shape[1]) if not left[row, c]]
        lost = int(mask[row].sum() - left[row].sum())
        for column in sorted(free, key=lambda c: -float(gradient[row, c]))[:lost]:
            left[row, column] = True
    return left


@pytest.mark.parametrize("pattern", [Unstructured(0.7), NM(keep=2, group=4), Block(2, 2, 0.5), Kernel(0.5)], ids=str)
def test_an_update_is_the_papers(pattern: Sparse) -> None:
    w, gradient = weight((8, 8, 2)), weight((8, 8, 2), seed=1)
    pruner = RigL(pattern, {"updates": 3, "harden": 0.75, "fraction": 0.5})
    pruner.advance(w, 0.0)
    first = pruner.mask.clone()
    assert torch.equal(pruner(w).bool(), survivors(w, pattern))
    pruner.advance(w, 0.25, gradient)
    count = round(0.5 / 2 * (1 + 0.5) * int(first.sum()))  # a third of the way: cos 60°
    expected = replaced(split(w, pattern), first, split(gradient, pattern).abs(), count)
    assert torch.equal(pruner.mask, expected)
    assert count > 0 and not torch.equal(first, expected)
    assert torch.equal(pruner.erased, expected & ~first)


def test_the_fraction_falls_as_a_cosine_until_the_mask_is_fixed() -> None:
    pruner = RigL(Unstructured(0.5))
    for progress, expected in {0.0: 0.3, 0.25: 0.225, 0.375: 0.15, 0.5: 0.075, 0.75: 0.0}.items():
        pruner.progress = progress
        assert pruner.fraction == pytest.approx(expected)
    assert pruner.hardens_at == 0.75
    assert pruner.share() == 1.0


def test_between_updates_the_mask_holds_and_only_updates_use_the_gradient() -> None:
    w = weight((10, 10))
    pruner = RigL(Unstructured(0.8), {"updates": 4, "harden": 1.0})
    seen = []
    for step in range(20):
        pruner.advance(w, step / 20, weight((10, 10), seed=step + 1))
        seen.append(pruner(w))
        assert int(seen[-1].sum()) == 20
    changes = [i for i in range(1, 20) if not torch.equal(seen[i], seen[i - 1])]
    assert changes == [5, 10, 15]


@pytest.mark.parametrize("pattern", [Unstructured(0.5), NM(keep=2, group=4)], ids=str)
def test_grown_weights_start_at_zero_in_the_model_and_dropped_ones_are_out_of_it(pattern: Sparse) -> None:
    net = small()
    pruner = RigL(pattern, {"updates": 2, "harden": 1.0, "fraction": 1.0})
    attach(net, {"body.weight": MaskedWeight(pruner)})
    before = pruner.kept(find_tensor(net, "body.weight"))
    (net.body.weight * weight((6, 8, 3, 3), seed=4)).sum().backward()
    set_progress(net, 0.5)
    stored = find_tensor(net, "body.weight").detach()
    grown = pruner.kept(stored) & ~before
    assert grown.any()
    assert torch.equal(stored == 0, grown)
    assert not net.body.weight[~pruner.kept(stored)].any()
    assert net.body.weight[pruner.kept(stored) & before].all()


def test_where_nothing_has_a_gradient_what_is_dropped_comes_back_as_it_was() -> None:
    w, gradient = weight((4, 8)), torch.zeros(4, 8)
    gradient[3, 7] = gradient[3, 6] = 1e-20
    pruner = RigL(NM(keep=2, group=4), {"updates": 4, "harden": 1.0, "fraction": 1.0})
    pruner.advance(w, 0.0)
    first = pruner.kept(w)
    pruner.advance(w, 0.25, gradient)
    assert torch.equal(pruner.kept(w)[:3], first[:3])
    assert pruner.kept(w)[3, 6:].all()  # but any gradient is preferred to none


@pytest.mark.parametrize("name", ["rigl", "granet", "ac_dc"])
@pytest.mark.parametrize("pattern", [Unstructured(0.75), NM(keep=1, group=4)], ids=str)
def test_what_comes_back_from_zero_trains(name: str, pattern: Sparse) -> None:
    net, batches = teacher()
    pruner = make(name, pattern, {})
    attach(net, {"0.weight": MaskedWeight(pruner)})
    first = pruner.kept(find_tensor(net, "0.weight"))
    erased = 0
    for _ in recover(net, batches, RecoveryConfig(steps=60, learning_rate=0.05), nn.functional.mse_loss):
        erased += 0 if pruner.erased is None else int(pruner.erased.sum())
    set_progress(net, 1.0)
    kept = pruner.kept(find_tensor(net, "0.weight"))
    assert erased > 0 and (name != "rigl" or (kept & ~first).any())
    assert float((net[0].weight[kept] != 0).float().mean()) >= 0.95


def test_from_scratch_the_first_mask_is_random_exact_and_the_seeds() -> None:
    w = weight((40, 25))
    masks = []
    for seed in (1, 1, 2):
        pruner = RigL(Unstructured(0.8), {"from_scratch": 1})
        pruner.begin(w, torch.Generator().manual_seed(seed))
        masks.append(pruner.mask)
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])
    assert int(masks[0].sum()) == int(masks[2].sum()) == 200
    assert int((masks[0].reshape(40, 25) & survivors(w, Unstructured(0.8))).sum()) < 80  # 40 by chance, 200 by size


def test_without_gradients_and_without_recovery_it_is_magnitude_pruning() -> None:
    w, norms = weight((6, 8)), weight((9,)).abs()
    for values, pattern in ((w, Unstructured(0.7)), (w, NM(keep=1, group=4)), (norms, Channel(0.5))):
        pruner = RigL(pattern)
        for progress in (0.0, 0.4, 1.0):
            pruner.advance(values, progress)
        assert torch.equal(pruner(values), survivors(values, pattern))


@pytest.mark.parametrize(
    "settings", [{"updates": 0}, {"updates": 1.5}, {"harden": 0.0}, {"from_scratch": 2}, {"fraction": 1.5}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=next(iter(settings))):
        RigL(Unstructured(0.5), settings)

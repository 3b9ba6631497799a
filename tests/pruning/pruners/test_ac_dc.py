"""AC/DC: the published phases, masks that hold for one, and weights that come back from zero."""

import pytest
import torch
from torch import Tensor, nn

from pruning.errors import PlanError
from pruning.masked import MaskedWeight, attach, find_tensor, set_progress
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Unstructured
from pruning.pruners.ac_dc import ACDC
from tests.pruning.pruners.planted import learned
from tests.pruning.small import survivors, weight


def phases(pruner: ACDC, values: Tensor, epochs: int = 100) -> list[bool]:
    """Whether each epoch is compressed."""
    found = []
    for epoch in range(epochs):
        pruner.advance(values, epoch / epochs)
        found.append(bool((pruner(values) == 0).any()))
    return found


def test_the_defaults_are_the_published_epochs() -> None:
    compressed = phases(ACDC(Unstructured(0.9)), weight((10, 10)))
    changes = [epoch for epoch in range(1, 100) if compressed[epoch] != compressed[epoch - 1]]
    assert changes == [10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 85]
    assert not compressed[0] and compressed[99]


def test_without_cycles_there_is_one_compression_at_the_end() -> None:
    compressed = phases(ACDC(Unstructured(0.9), {"cycles": 0, "end": 0.5}), weight((10, 10)))
    assert compressed == [False] * 50 + [True] * 50


@pytest.mark.parametrize("pattern", [Unstructured(0.6), NM(keep=1, group=4), Block(2, 2, 0.5)], ids=str)
def test_a_phase_holds_the_mask_of_its_beginning_and_the_next_one_chooses_anew(pattern: Sparse) -> None:
    w, later = weight((4, 8)), weight((4, 8), seed=1)
    pruner = ACDC(pattern)
    pruner.advance(w, 0.05)
    pruner.advance(w, 0.10)
    assert torch.equal(pruner(w) != 0, survivors(w, pattern))
    pruner.advance(later, 0.14)
    assert torch.equal(pruner(later) != 0, survivors(w, pattern)) and pruner.erased is None
    pruner.advance(later, 0.15)
    assert pruner(later).min() == 1
    pruner.advance(later, 0.20)
    assert torch.equal(pruner(later) != 0, survivors(later, pattern))


def test_weights_come_back_from_zero_whatever_moved_them_under_the_mask() -> None:
    layer = nn.Linear(8, 4, bias=False)
    before = layer.weight.detach().clone()
    stays = survivors(before, Unstructured(0.5))
    attach(layer, {"weight": MaskedWeight(ACDC(Unstructured(0.5)))})
    set_progress(layer, 0.10)
    layer.weight.sum().backward()
    stored = find_tensor(layer, "weight")
    assert torch.equal(stored.grad, stays.float())  # nothing reaches what is masked
    with torch.no_grad():
        stored.add_(0.1)  # as momentum would
    set_progress(layer, 0.15)
    assert torch.equal(layer.weight, (before + 0.1) * stays)
    layer.weight.sum().backward()
    assert torch.equal(stored.grad, stays + torch.ones(4, 8))  # now everything trains


def test_steps_longer_than_a_phase_never_choose_what_was_just_erased() -> None:
    layer = nn.Linear(8, 4, bias=False)
    stays = survivors(layer.weight.detach(), Unstructured(0.5))
    attach(layer, {"weight": MaskedWeight(ACDC(Unstructured(0.5)))})
    for progress in (0.10, 0.21, 0.95):
        set_progress(layer, progress)
        with torch.no_grad():
            find_tensor(layer, "weight").add_(5.0 * ~stays)
        assert torch.equal(layer.weight != 0, stays)


def test_it_finds_a_planted_sparse_layer() -> None:
    assert learned("ac_dc") < 0.5


@pytest.mark.parametrize("settings", [{"begin": 0.9}, {"end": 1.5}, {"cycles": -1}, {"cycles": 1.5}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="ac_dc"):
        ACDC(Unstructured(0.5), settings)

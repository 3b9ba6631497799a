"""The cubic from dense, or from a first density; a fraction replaced at each update, also after the target."""

import pytest
import torch

from pruning.errors import PlanError
from pruning.patterns import NM, Channel, Unstructured
from pruning.pruners.granet import GraNet
from tests.pruning.small import survivors, weight


@pytest.mark.parametrize("initial", [1.0, 0.5])
def test_sparsity_follows_the_cubic_in_steps_and_ends_at_the_target(initial: float) -> None:
    w = weight((50, 20))
    pruner = GraNet(Unstructured(0.9), {"updates": 18, "harden": 0.9, "end": 0.5, "initial_density": initial})
    for step in range(19):
        pruner.advance(w, step / 20, weight((50, 20), seed=step + 1))
        x = min(1.0, step / 10)
        sparsity = 0.9 - (0.9 - (1 - initial)) * (1 - x) ** 3
        assert int(pruner(w).sum()) == pytest.approx(1000 * (1 - sparsity), abs=1)
    assert pruner.fixed is not None


def test_the_replaced_fraction_falls_as_a_cosine_over_the_whole_recovery() -> None:
    pruner = GraNet(Unstructured(0.5))
    for progress, expected in {0.0: 0.5, 0.5: 0.2525, 1.0: 0.005}.items():
        pruner.progress = progress
        assert pruner.fraction == pytest.approx(expected)


def test_an_update_prunes_first_and_then_replaces_the_fraction_of_what_is_left() -> None:
    w, gradient = weight((1, 100)), weight((1, 100), seed=1)
    pruner = GraNet(Unstructured(0.8), {"updates": 2, "harden": 1.0, "end": 0.5, "regrow": 0.5})
    pruner.advance(w, 0.0)
    pruner.advance(w, 0.5, gradient)  # at the target: 20 are left, of which round(0.2525 · 20) = 5 are replaced
    largest = w.abs()[0].argsort(descending=True).tolist()
    staying = largest[:15]
    growing = [i for i in gradient.abs()[0].argsort(descending=True).tolist() if i not in staying][:5]
    assert sorted(pruner(w)[0].nonzero().flatten().tolist()) == sorted(staying + growing)
    assert not pruner.erased.any()  # everything had been active: nothing starts anew


def test_replacing_goes_on_after_the_target_is_reached() -> None:
    w = weight((10, 10))
    pruner = GraNet(Unstructured(0.8), {"updates": 18, "end": 0.3})
    pruner.advance(w, 0.5, weight((10, 10), seed=1))
    before = pruner(w)
    pruner.advance(w, 0.55, weight((10, 10), seed=2))
    assert int(before.sum()) == int(pruner(w).sum()) == 20
    assert not torch.equal(before, pruner(w))
    assert torch.equal(pruner.erased.reshape(10, 10), (pruner(w) > before))


def test_without_gradients_it_is_gradual_magnitude_pruning() -> None:
    for values, pattern in ((weight((6, 8)), NM(keep=1, group=4)), (weight((9,)).abs(), Channel(0.5))):
        pruner = GraNet(pattern)
        for step in range(11):
            pruner.advance(values, step / 10)
        assert torch.equal(pruner(values), survivors(values, pattern))


def test_a_first_density_below_the_target_is_the_target() -> None:
    w = weight((10, 10))
    pruner = GraNet(Unstructured(0.5), {"initial_density": 0.2})
    pruner.advance(w, 0.0)
    assert int(pruner(w).sum()) == 50


@pytest.mark.parametrize("settings", [{"end": 0.95}, {"regrow": 0.0}, {"initial_density": 0.0}, {"updates": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=next(iter(settings))):
        GraNet(Unstructured(0.5), settings)

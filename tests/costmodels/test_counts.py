"""Multiply-adds and weights that a plan leaves, against counting by hand."""

from math import prod

import pytest

from costmodels.counts import kept_macs, kept_weights, network_count
from pruning.layers import LayerSpec
from pruning.patterns import NM, Block, Channel, Dense, Kernel, Pattern, Unstructured
from pruning.plan import PruningPlan
from tests.costmodels.models import chain, conv, linear, resnet18


@pytest.mark.parametrize(
    ("layer", "pattern", "kept"),
    [
        (conv("a", 16, 32), Dense(), 16 * 32 * 9),
        (conv("a", 16, 32), Unstructured(0.9), 460),  # floor(0.1 x 4608)
        (conv("a", 16, 32), NM(1, 4), 4 * 32 * 9),
        (conv("a", 6, 32), NM(2, 4), 4 * 32 * 9),  # a tail of two is kept whole
        (conv("a", 7, 32), NM(2, 4), 4 * 32 * 9),  # two of the tail's three
        (conv("a", 16, 32), Kernel(0.75), 128 * 9),
        (conv("a", 16, 32), Block(4, 4, 0.5), 16 * 32 * 9 // 2),
        (linear("a", 10, 6), Block(4, 4, 0.5), 30),  # 3 of 2 x 3 tiles, of average size
    ],
)
def test_weights_that_survive(layer: LayerSpec, pattern: Pattern, kept: int) -> None:
    assert kept_weights(layer, pattern) == kept
    assert kept_macs(layer, pattern) == kept * prod(layer.output_size or (1,))


def test_channels_count_on_both_sides() -> None:
    model = chain((16, 16), size=8)
    plan = PruningPlan(pruner="", patterns={"c0": Channel(0.5), "c1": Unstructured(0.5)})
    found = network_count(model, plan, kept_macs)
    assert found.layers == {"c0": 3 * 8 * 9 * 64, "c1": 8 * 16 * 9 * 64 // 2, "c2": 16 * 10 * 9 * 64}
    assert found.total == sum(found.layers.values())


def test_the_dense_network_is_all_of_itself() -> None:
    found = network_count(resnet18(), PruningPlan(pruner=""), kept_macs)
    assert (found.total, found.share) == (1_814_073_344, 1.0)
    assert network_count(resnet18(), PruningPlan(pruner=""), kept_weights).total == 11_678_912

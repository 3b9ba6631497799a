"""Every model of the zoo takes every hop, or the hop that fails names the layer."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.pruning.zoo.entries import SMALLEST, ZOO
from tests.pruning.zoo.hops import ALL_HOPS, HOPS, travel

# What is known to fail, where, and what the reason must name. No more than one model in twenty may stand here.
KNOWN: dict[str, tuple[str, str]] = {
    "torch decoder": ("macs", "layer.multihead_attn.in_proj_weight: aten.split_with_sizes at"),
    "temporal": ("macs", "first.parametrizations.weight.original1: aten._weight_norm at"),
}


def test_the_zoo_is_large_and_nearly_all_of_it_is_supported() -> None:
    assert len(ZOO) >= 30 and len(KNOWN) <= 0.05 * len(ZOO)
    assert set(KNOWN) | set(SMALLEST) <= set(ZOO) and not set(KNOWN) & set(SMALLEST)


@pytest.mark.parametrize("name", SMALLEST)
def test_a_small_model_takes_every_hop(name: str, tmp_path: Path) -> None:
    way = travel(ZOO[name], tmp_path)
    assert not way.failed, f"{way.failed}: {way.reason}"
    assert tuple(way.found) == HOPS


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ZOO if name not in SMALLEST])
def test_a_model_takes_every_hop(name: str, tmp_path: Path) -> None:
    way = travel(ZOO[name], tmp_path, ALL_HOPS if find_spec("onnxruntime") else HOPS)
    failed, named = KNOWN.get(name, ("", ""))
    assert way.failed == failed, f"{way.failed}: {way.reason}"
    assert named in way.reason

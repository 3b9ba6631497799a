"""Multiply-adds of full-size networks, from the traced graph and from a hook, against what was published."""

from pathlib import Path
from typing import Any

import pytest
import torch

from costmodels.macs import hooked_macs
from pruning.architectures import build, example, read_config
from pruning.layers import ModelSpec
from pruning.trace import trace
from tests.pruning.graphs import load_net

# Published: ResNets as torchvision's documentation gives them (arXiv 1512.03385 says 1.8e9; for 50 layers 3.8e9, of
# bottlenecks that stride in their first convolution); MobileNets in arXiv 1704.04861 table 4 and 1801.04381 table 4.
PUBLISHED: dict[str, tuple[str, dict[str, Any], float]] = {
    "ResNet-18": ("resnet", {"depth": 18}, 1.814e9),
    "ResNet-50": ("resnet", {"depth": 50}, 4.09e9),
    "MobileNet v1": ("mobilenet_v1", {}, 0.569e9),
    "MobileNet v2": ("mobilenet_v2", {}, 0.300e9),
}


def _traced(name: str, config: dict[str, Any], folder: Path) -> ModelSpec:
    return trace(load_net(build(name, config), example(read_config(name, config).inputs), folder))


def _hooked(name: str, config: dict[str, Any]) -> tuple[int, int]:
    """In layers and in attention; counted where tensors have no numbers."""
    inputs = tuple(value.to("meta") for value in example(read_config(name, config).inputs))
    counted = hooked_macs(build(name, config).to("meta"), inputs)
    return counted.total_macs, counted.attention_macs


@pytest.mark.slow
@pytest.mark.parametrize("network", PUBLISHED)
def test_layers_have_the_published_multiply_adds(network: str, tmp_path: Path) -> None:
    name, config, published = PUBLISHED[network]
    spec = _traced(name, config, tmp_path)
    assert spec.macs == pytest.approx(published, rel=0.005)
    assert _hooked(name, config) == (spec.macs, 0)


@pytest.mark.slow
def test_bert_base_has_the_multiply_adds_of_its_shapes(tmp_path: Path) -> None:
    depth, width, hidden, tokens, classes = 12, 768, 3072, 128, 2
    config = {"vocabulary": 64, "tokens": tokens, "depth": depth, "width": width, "heads": 12, "hidden": hidden}
    layers = depth * tokens * (4 * width**2 + 2 * width * hidden) + width**2 + width * classes
    attention = depth * 2 * tokens**2 * width
    assert layers + attention == pytest.approx(11.17e9, rel=0.005)
    spec = _traced("bert", config, tmp_path)
    assert spec.macs == layers
    assert _hooked("bert", config) == (layers, attention)


def test_hidden_sizes_scale_as_their_formula_says(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = {"features": 12, "hidden": [16, 8], "classes": 3}
    assert _traced("mlp", config, tmp_path).macs == 12 * 16 + 16 * 8 + 8 * 3 == _hooked("mlp", config)[0]

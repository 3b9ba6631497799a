"""Multiply-adds of full-size networks, from a hook and from the traced graph, against what was published."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from costmodels.macs import hooked_macs
from pruning.architectures import ARCHITECTURES, build, example, read_config
from pruning.layers import ModelSpec
from pruning.trace import trace
from tests.pruning.graphs import load_net
from tests.pruning.zoo.entries import ZOO

# Published: ResNets as torchvision's documentation gives them (arXiv 1512.03385 says 1.8e9; for 50 layers 3.8e9, of
# bottlenecks that stride in their first convolution); MobileNets in arXiv 1704.04861 table 4 and 1801.04381 table 4;
# BERT-base in the documentation of DeepSpeed's flops profiler: 43.5e9 in the layers, for 4 texts of 128 tokens.
BERT = {"vocabulary": 64, "tokens": 128, "depth": 12, "width": 768, "heads": 12, "hidden": 3072}
PUBLISHED: dict[str, tuple[str, dict[str, Any], float]] = {
    "ResNet-18": ("resnet", {"depth": 18}, 1.814e9),
    "ResNet-50": ("resnet", {"depth": 50}, 4.09e9),
    "MobileNet v1": ("mobilenet_v1", {}, 0.569e9),
    "MobileNet v2": ("mobilenet_v2", {}, 0.300e9),
    "BERT-base": ("bert", BERT, 43.5e9 / 4),
}


@cache
def _hooked(network: str) -> tuple[int, int]:
    """In layers and in attention; counted where tensors have no numbers."""
    name, config, _ = PUBLISHED[network]
    read = read_config(name, config)
    with torch.device("meta"):
        module = ARCHITECTURES[name].build(read).eval()
    counted = hooked_macs(module, tuple(value.to("meta") for value in example(read.inputs)))
    return counted.total_macs, counted.attention_macs


def _traced(name: str, config: dict[str, Any], folder: Path) -> ModelSpec:
    return trace(load_net(build(name, config), example(read_config(name, config).inputs), folder))


@pytest.mark.parametrize("network", PUBLISHED)
def test_networks_have_the_published_multiply_adds(network: str) -> None:
    assert _hooked(network)[0] == pytest.approx(PUBLISHED[network][2], rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("network", PUBLISHED)
def test_the_traced_graph_has_as_many(network: str, tmp_path: Path) -> None:
    name, config, _ = PUBLISHED[network]
    assert _traced(name, config, tmp_path).macs == _hooked(network)[0]


def test_bert_base_has_the_multiply_adds_of_its_shapes() -> None:
    depth, width, hidden, tokens, classes = 12, 768, 3072, 128, 2
    layers = depth * tokens * (4 * width**2 + 2 * width * hidden) + width**2 + width * classes
    attention = depth * 2 * tokens**2 * width
    assert layers + attention == pytest.approx(11.17e9, rel=0.005)
    assert _hooked("BERT-base") == (layers, attention)


def test_hidden_sizes_scale_as_their_formula_says(tmp_path: Path) -> None:
    spec = _traced("mlp", {"features": 12, "hidden": [16, 8], "classes": 3}, tmp_path)
    assert spec.macs == 12 * 16 + 16 * 8 + 8 * 3
    assert spec.activations == 16 + 8 + 3


@pytest.mark.parametrize("name", ["autoencoder", "generator", "looped", "text_cnn"])
def test_activations_are_those_that_the_layers_make(name: str, tmp_path: Path) -> None:
    """Counted by hooks on the modules; transposed convolutions and repeated layers among them."""
    module, inputs = ZOO[name].make().eval(), ZOO[name].inputs()
    spec = trace(load_net(module, inputs, tmp_path))
    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    names = {part: path for path, part in module.named_modules() if isinstance(part, kinds)}
    made = dict.fromkeys(names.values(), 0)

    def count(part: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
        made[names[part]] += output.numel() // len(inputs[0])

    for part in names:
        part.register_forward_hook(count)
    module(*inputs)
    assert {layer.name: layer.activations for layer in spec.layers} == made

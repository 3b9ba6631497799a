from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.errors import IntakeError
from pruning.intake.document import Input, Ref
from pruning.layers import ModelSpec
from pruning.trace import shapes, trace
from tests.pruning.graphs import Builder, load_net, stir


class Mixed(nn.Module):
    """Convolutions of every kind, a layer called twice, tokens, and what cannot be pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, (3, 1), stride=2, padding=(1, 0), dilation=(2, 1), bias=False)
        self.norm, self.act = nn.BatchNorm2d(6), nn.ReLU6()
        self.same = nn.Conv2d(6, 6, 4, padding="same")
        self.deep = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.wide = nn.Conv2d(6, 12, 1, groups=3)
        self.twice = nn.Conv1d(12, 12, 3, padding=1)
        self.up = nn.ConvTranspose1d(12, 8, 2, stride=2)
        self.places = nn.Parameter(torch.randn(1, 8, 1))
        self.tokens = nn.Linear(8, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(x)))
        x = self.wide(self.deep(self.same(x).relu()).sigmoid().tanh()).flatten(2)
        x = self.twice(self.twice(x).relu())
        x = self.tokens((self.up(x) + self.places).transpose(1, 2))
        return self.head(self.frozen(x.mean(1)))


@pytest.fixture(scope="module")
def module() -> Mixed:
    return stir(Mixed()).eval()


@pytest.fixture(scope="module")
def spec(module: Mixed, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    return trace(load_net(module, (torch.randn(2, 2, 9, 8),), tmp_path_factory.mktemp("net")))


def test_layers_are_the_trainable_ones_in_order(spec: ModelSpec) -> None:
    names = ["stem", "same", "deep", "wide", "twice", "tokens", "head"]
    assert [layer.name for layer in spec.layers] == names
    assert spec.input_shape == (2, 9, 8) and spec.output_shapes == ((3,),)


def test_specs_agree_with_the_modules(module: Mixed, spec: ModelSpec) -> None:
    """Hooks on the original are the oracle for sizes and multiply-adds."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for name, child in module.named_children():
        hook: Any = lambda _, given, result, name=name: seen.setdefault(name, []).append((given[0], result))  # noqa: E731
        child.register_forward_hook(hook)
    with torch.no_grad():
        module(torch.randn(1, 2, 9, 8))
    for layer in spec.layers:
        child, calls = getattr(module, layer.name), seen[layer.name]
        (given, result), rank = calls[0], len(layer.kernel)
        macs = sum(r.numel() * child.weight[0].numel() for _, r in calls)
        assert (layer.weights, layer.macs, layer.calls) == (child.weight.numel(), macs, len(calls))
        assert layer.has_bias == (child.bias is not None)
        assert layer.input_size == given.shape[given.ndim - rank :]
        assert layer.output_size == result.shape[result.ndim - rank :]
        if rank:
            assert (layer.in_channels, layer.out_channels) == (child.in_channels, child.out_channels)
            assert (layer.kernel, layer.stride, layer.dilation) == (child.kernel_size, child.stride, child.dilation)
            assert (layer.groups, layer.op) == (child.groups, f"conv{rank}d")
        else:
            assert (layer.in_channels, layer.out_channels) == (child.in_features, child.out_features)
            assert layer.positions == prod(result.shape[:-1])
    assert spec.layer("stem").padding == (1, 0) and spec.layer("same").padding == (2, 2)
    assert spec.parameter_count == sum(p.numel() for p in module.parameters())


def test_a_transposed_convolution_counts_its_input_positions() -> None:
    b = Builder(4, 5, 5)
    weight = b.parameter("up.weight", 4, 3, 2, 2)
    up = b.call("conv_transpose2d.input", "up", input=b.x, weight=weight, stride=(2, 2), groups=2)
    layer = trace(b.net(b.conv(up, "last", 6, 2))).layers[0]
    assert (layer.op, layer.transposed) == ("conv_transpose2d", True)
    assert (layer.in_channels, layer.out_channels, layer.groups, layer.kernel) == (4, 6, 2, (2, 2))
    assert (layer.weights, layer.positions, layer.input_size, layer.output_size) == (48, 25, (5, 5), (10, 10))
    assert layer.macs == 100 * 3 * 4  # each number of the input meets the outputs of its group at 2 x 2 places


def test_tails_are_what_only_the_layer_feeds(spec: ModelSpec) -> None:
    tails = {layer.name: layer.tail for layer in spec.layers if layer.tail}
    assert tails == {
        "stem": ("batch_norm", "hardtanh"),  # as relu6 is exported
        "same": ("relu",),
        "deep": ("sigmoid", "tanh"),
        "twice": ("relu",),
    }


def test_a_shared_value_ends_the_tail() -> None:
    b = Builder(3)
    value = b.linear(b.x, "first", 3, 3)
    total = b.call("add.Tensor", self=b.call("relu.default", self=value), other=value)
    assert trace(b.net(b.linear(total, "last", 3, 2))).layers[0].tail == ()


def test_what_cannot_be_pruned_is_told(spec: ModelSpec) -> None:
    reasons = {name: why for name, why in spec.unprunable.items() if not name.endswith("channels")}
    assert reasons == {
        "up": "a 1-D transposed convolution: not supported yet",
        "places": "it is read by aten.add at the top level, which is neither a convolution nor a linear layer",
        "frozen": "its weight was frozen when the model was exported; set requires_grad and export again",
    }
    groups = {name for name in spec.unprunable if name.endswith("channels")}
    assert groups == {g.name for g in spec.groups if not g.removable}
    # `deep` has the channels of `same`, and `twice` reads its own besides those of `wide`; `up` reads them
    assert groups == {"wide channels", "tokens channels", "head channels"}


def test_specs_survive_json(spec: ModelSpec) -> None:
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_equal_names_are_told_apart() -> None:
    b = Builder(3)
    value = b.linear(b.linear(b.x, "same", 3, 3), "same", 3, 2)
    assert [layer.name for layer in trace(b.net(value)).layers] == ["same", "same (p1)"]


def test_shapes_follow_the_batch_and_leave_the_net_alone() -> None:
    b = Builder(2, 4, 4)
    value = b.norm(b.conv(b.x, "first", 2, 6), "norm", 6)
    size = b.call("sym_size.int", self=value, dim=0)
    net = b.net(b.call("view.default", self=value, size=(size, 96))).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = shapes(net, 5)
    assert found["i0", 0] == (5, 2, 4, 4) and found["n1", 0] == (5, 6, 4, 4) and found["n3", 0] == (5, 96)
    assert found["n2", 0] == () and found["p0", 0] == (6, 2, 3, 3)
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_shapes_that_need_numbers_are_found_with_them() -> None:
    b = Builder(6)
    mask = b.call("gt.Scalar", self=b.parameter("mask", 6, kind="buffer"), other=0.0)
    count = int((b.tensors["p0"] > 0).sum())
    picked = b.call("index.Tensor", self=b.x, indices=(None, mask))
    assert shapes(b.net(picked), 3)["n1", 0] == (3, count)


def test_a_model_that_cannot_run_is_refused_by_place() -> None:
    b = Builder(3)
    net = b.net(b.call("view.default", "blocks.3", self=b.x, size=(2, 3)))
    with pytest.raises(IntakeError, match=r"batch of 13: .* \(while running aten\.view at blocks\.3\); export it"):
        trace(net)


def test_outputs_without_a_batch_are_refused() -> None:
    b = Builder(3)
    with pytest.raises(IntakeError, match="output 1 has no batch as its first dimension"):
        trace(b.net(b.x, b.call("sum.default", self=b.x)))


def test_inputs_that_vary_otherwise_are_refused() -> None:
    b = Builder(3)
    b.inputs = (Input(id="i0", name="text", shape=(None, None), dtype="int64"),)
    with pytest.raises(IntakeError, match="input 'text' varies in other dimensions than its batch"):
        trace(b.net(b.call("relu.default", self=Ref("i0"))))

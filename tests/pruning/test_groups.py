from collections.abc import Callable

import pytest
import torch

from pruning.export import cut_channels
from pruning.graphnet import GraphNet
from pruning.intake.document import Ref
from pruning.layers import ChannelGroup
from pruning.trace import trace
from tests.pruning.graphs import Builder, masked

Step = Callable[[Builder, Ref], Ref]  # from a map of 8 channels, 4x4, to any value with 128 numbers a sample


def net_with(step: Step) -> GraphNet:
    """A convolution whose channels go through `step` (at `block.1`) to a linear layer."""
    b = Builder(3, 4, 4)
    first = b.conv(b.x, "first", 3, 8)
    b.place = "block.1"
    flat = b.call("reshape.default", "flat", self=step(b, first), shape=(-1, 128))
    return b.net(b.linear(flat, "head", 128, 2))


def groups(net: GraphNet) -> dict[str, ChannelGroup]:
    """By first producer."""
    return {group.producers[0]: group for group in trace(net).groups}


def _halved(b: Builder, v: Ref) -> Ref:
    return b.call("max_pool2d.default", self=v, kernel_size=(2, 1))


def _heads(b: Builder, v: Ref) -> Ref:
    return b.call("view.default", self=v, size=(-1, 2, 4, 16))


REASONS: dict[str, tuple[Step, str]] = {
    "pad": (
        lambda b, v: b.call(
            "slice.Tensor",
            self=b.call("pad.default", self=v, pad=(0, 0, 0, 0, 4, 4)),
            dim=1,
            start=0,
            end=8,
        ),
        "the channels are padded by aten.pad at block.1, which shifts them",
    ),
    "constant pad": (
        lambda b, v: _halved(b, b.call("constant_pad_nd.default", "wide", self=v, pad=(0, 0, 0, 0, 4, 4))),
        "the channels are padded by aten.constant_pad_nd at wide, which shifts them",
    ),
    "heads": (
        _heads,
        "the channels go through aten.view at block.1, which splits them or merges them with other dimensions, "
        "as attention heads do",
    ),
    "group norm": (
        lambda b, v: b.call("group_norm.default", input=v, num_groups=2),
        "the channels go through aten.group_norm at block.1, which averages over groups of them",
    ),
    "layer norm": (
        lambda b, v: b.call("layer_norm.default", input=v, normalized_shape=(8, 4, 4)),
        "aten.layer_norm at block.1, which averages over all of them",
    ),
    "softmax": (
        lambda b, v: b.call("softmax.int", self=v, dim=1),
        "aten.softmax at block.1, which normalises over them",
    ),
    "mean": (
        lambda b, v: b.call(
            "expand.default", self=b.call("mean.dim", self=v, dim=(1,), keepdim=True), size=(-1, 8, 4, 4)
        ),
        "aten.mean at block.1, which mixes all of them",
    ),
    "split": (
        lambda b, v: b.call(
            "cat.default",
            tensors=tuple(
                Ref(b.call("chunk.default", self=v, chunks=2, dim=1, outputs=2).id, index) for index in (1, 0)
            ),
            dim=1,
        ),
        "aten.chunk at block.1, which splits them into parts",
    ),
    "slice": (
        lambda b, v: b.call(
            "repeat.default", self=b.call("slice.Tensor", self=v, dim=1, start=0, end=4), repeats=(1, 2, 1, 1)
        ),
        "aten.slice at block.1, which picks some of them",
    ),
    "shuffle": (
        lambda b, v: b.call("channel_shuffle.default", self=v, groups=2),
        "aten.channel_shuffle at block.1, which moves them",
    ),
    "pixels": (
        lambda b, v: b.call("pixel_shuffle.default", self=v, upscale_factor=2),
        "aten.pixel_shuffle at block.1, which moves them into space or back",
    ),
    "no rule": (
        lambda b, v: b.call("tile.default", self=v, dims=(1, 1, 1, 1)),
        "the channels go through aten.tile at block.1, which cannot be followed yet",
    ),
    "division": (
        lambda b, v: b.call("div.Tensor", self=b.conv(b.x, "second", 3, 8), other=v),
        "aten.div at block.1, which divides by them: a removed channel would be a division by zero",
    ),
    "division by a parameter": (
        lambda b, v: b.call("div.Tensor", self=v, other=b.parameter("scales", 8, 1, 1)),
        "aten.div at block.1, which divides by them: a removed channel would be a division by zero",
    ),
    "logarithm": (lambda b, v: b.call("log.default", self=v), "aten.log at block.1, which cannot be followed yet"),
    "square root": (
        lambda b, v: b.call("pow.Tensor_Scalar", self=v, exponent=0.5),
        "aten.pow at block.1, which has no slope or no value at zero",
    ),
    "grouped convolution": (
        lambda b, v: b.conv(v, "grouped", 8, 8, groups=2),
        "aten.conv2d at grouped, which is a grouped convolution whose groups must stay equal",
    ),
    "multiplied depthwise": (
        lambda b, v: b.call("max_pool2d.default", self=b.conv(v, "deep", 8, 32, groups=8), kernel_size=(2, 2)),
        "aten.conv2d at deep, which is a grouped convolution whose groups must stay equal",
    ),
    "permuted convolution": (
        lambda b, v: _halved(b, b.conv(b.call("permute.default", self=v, dims=(0, 2, 1, 3)), "odd", 4, 8)),
        "aten.conv2d at odd, which slides along them",
    ),
    "product": (
        lambda b, v: b.call("matmul.default", self=v, other=v),
        "aten.matmul at block.1, which mixes all of them",
    ),
    "frozen reader": (
        lambda b, v: b.call(
            "conv2d.default", input=v, weight=b.parameter("frozen.weight", 8, 8, 1, 1, trainable=False)
        ),
        "the channels belong to 'frozen.weight' as well, which cannot be pruned",
    ),
    "computed number": (
        lambda b, v: b.call("view.default", self=v, size=(-1, b.call("sym_size.int", self=v, dim=1), 16)),
        "aten.sym_size at block.1, which counts them",
    ),
    "constants": (
        lambda b, v: b.call(
            "add.Tensor", self=v, other=b.call("full.default", size=(8, 1, 1), fill_value=1.0, dtype=None)
        ),
        "aten.add at block.1, which combines them with values that no prunable layer makes",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_names_operator_and_place(name: str) -> None:
    step, reason = REASONS[name]
    net = net_with(step)
    found = groups(net)["first"]
    assert found.reason.startswith("the channels ") and found.reason.endswith(reason)
    assert not found.removable and trace(net).unprunable[found.name] == found.reason


def test_channels_of_the_outputs_stay() -> None:
    b = Builder(3, 4, 4)
    net = b.net(b.call("relu.default", self=b.conv(b.x, "only", 3, 8)))
    assert groups(net)["only"].reason == "the channels are the model's outputs"


def test_channels_added_to_the_inputs_stay() -> None:
    b = Builder(3, 4, 4)
    total = b.call("add.Tensor", "sum", self=b.conv(b.x, "first", 3, 3), other=b.x)
    reason = groups(b.net(b.conv(total, "last", 3, 2)))["first"].reason
    assert reason.endswith("aten.add at sum, which combines them with values that no prunable layer makes")


def test_the_reason_behind_a_lost_partner_is_told() -> None:
    b = Builder(3, 4, 4)
    wide = b.call("pad.default", "wide", self=b.conv(b.x, "first", 3, 4), pad=(0, 0, 0, 0, 2, 2))
    wide = b.call("relu.default", "after", self=wide)
    total = b.call("add.Tensor", "sum", self=b.conv(b.x, "second", 3, 8), other=wide)
    reason = groups(b.net(b.conv(total, "last", 8, 2)))["second"].reason
    assert reason.endswith("aten.add at sum, which combines them with the result of aten.pad at wide")


def test_channels_that_meet_in_another_order_stay() -> None:
    b = Builder(3, 4, 4)
    pair = b.call("cat.default", tensors=(b.conv(b.x, "left", 3, 4), b.conv(b.x, "right", 3, 4)), dim=1)
    total = b.call("add.Tensor", "sum", self=b.conv(b.x, "whole", 3, 8), other=pair)
    found = groups(b.net(b.conv(total, "last", 8, 2)))
    for name in ("left", "right", "whole"):
        assert found[name].reason == "the channels meet others in another order in aten.add at sum"


def test_a_weight_used_otherwise_holds_its_channels() -> None:
    b = Builder(4)
    hidden = b.linear(b.x, "first", 4, 6)
    weight = b.nodes[-1].args["weight"]
    norm = b.call("linalg_vector_norm.default", self=weight, dim=(0, 1), keepdim=False)
    net = b.net(b.linear(b.call("mul.Tensor", self=hidden, other=norm), "last", 6, 2))
    assert "'first.weight', which is used in another way" in groups(net)["first"].reason


def test_a_layer_called_on_the_inputs_and_on_channels_holds_them() -> None:
    b = Builder(4)
    hidden = b.linear(b.x, "first", 4, 4)
    again = b.call("linear.default", "again", input=hidden, weight=b.nodes[0].args["weight"])
    found = groups(b.net(b.linear(again, "last", 4, 2)))["first"]
    assert "'first.weight', which aten.linear at again uses otherwise" in found.reason


def test_a_layer_called_twice_on_the_same_channels_is_cut_on_both_sides() -> None:
    b = Builder(3)
    value = b.linear(b.x, "first", 3, 6)
    value = b.call("relu.default", self=b.linear(value, "loop", 6, 6))
    value = b.call("linear.default", "again", input=value, weight=b.nodes[1].args["weight"])
    net = b.net(b.linear(value, "last", 6, 2))
    found = groups(net)["first"]
    assert found.producers == ("first", "loop") and found.consumers == ("loop", "last")
    kept = {found.name: [1, 3, 4]}
    x = torch.randn(2, 3, dtype=torch.float64)
    with torch.no_grad():
        smaller = cut_channels(net, trace(net), kept)
        torch.testing.assert_close(smaller(x), masked(net, trace(net), kept)(x))


def test_a_computed_bias_holds_the_channels() -> None:
    b = Builder(3)
    weight = b.parameter("first.weight", 6, 3)
    bias = b.call("mul.Scalar", self=b.parameter("b", 6), other=2.0)
    hidden = b.call("linear.default", "first", input=b.x, weight=weight, bias=bias)
    reason = groups(b.net(b.linear(hidden, "last", 6, 2)))["first"].reason
    assert reason == "the channels meet a computed parameter in aten.linear at first"


def test_one_channel_cannot_go() -> None:
    b = Builder(3)
    assert groups(b.net(b.linear(b.linear(b.x, "first", 3, 1), "last", 1, 2)))["first"].reason == (
        "there is one channel only"
    )


PASSES: dict[str, Step] = {
    "nothing": lambda _, v: v,
    "dropout": lambda b, v: b.call("dropout.default", input=v, p=0.5, train=False),
    "spatial pad": lambda b, v: b.call(
        "avg_pool2d.default", self=b.call("pad.default", self=v, pad=(2, 2, 2, 2)), kernel_size=(2, 2)
    ),
    "channel pad of nothing": lambda b, v: b.call("pad.default", self=v, pad=(0, 0, 0, 0, 0, 0)),
    "spatial softmax": lambda b, v: b.call("softmax.int", self=v, dim=-1),
    "flatten and back": lambda b, v: b.call(
        "unflatten.int", self=b.call("flatten.using_ints", self=v, start_dim=1), dim=1, sizes=(8, 4, 4)
    ),
    "tokens": lambda b, v: b.call(
        "permute.default",
        self=b.call("transpose.int", self=b.call("view.default", self=v, size=(-1, 8, 16)), dim0=1, dim1=2),
        dims=(0, 2, 1),
    ),
    "moved": lambda b, v: b.call(
        "movedim.int", self=b.call("movedim.int", self=v, source=1, destination=-1), source=3, destination=1
    ),
    "moved together": lambda b, v: b.call(
        "movedim.intlist",
        self=b.call("movedim.intlist", self=v, source=(1, 2), destination=(2, 3)),
        source=(2, 3),
        destination=(1, 2),
    ),
    "squeezed": lambda b, v: b.call("squeeze.dim", self=b.call("unsqueeze.default", self=v, dim=1), dim=1),
    "expanded": lambda b, v: b.call(
        "expand.default", self=b.call("mean.dim", self=v, dim=(2, 3), keepdim=True), size=(-1, 8, 4, 4)
    ),
    "selected row": lambda b, v: b.call(
        "expand.default",
        self=b.call("unsqueeze.default", self=b.call("select.int", self=v, dim=2, index=1), dim=3),
        size=(-1, -1, 4, 4),
    ),
    "stacked rows": lambda b, v: b.call(
        "cat.default", tensors=tuple(b.call("slice.Tensor", self=v, dim=2, start=i, end=i + 2) for i in (2, 0)), dim=2
    ),
    "halves of a row": lambda b, v: b.call(
        "cat.default",
        tensors=tuple(Ref(b.call("chunk.default", self=v, chunks=2, dim=2, outputs=2).id, i) for i in (1, 0)),
        dim=2,
    ),
    "slopes": lambda b, v: b.call("prelu.default", self=v, weight=b.parameter("slopes", 8)),
    "one slope": lambda b, v: b.call("prelu.default", self=v, weight=b.parameter("slope", 1)),
    "instance norm": lambda b, v: b.call(
        "instance_norm.default",
        input=v,
        weight=b.parameter("n.weight", 8),
        bias=b.parameter("n.bias", 8),
        running_mean=None,
        running_var=None,
        use_input_stats=True,
        momentum=0.1,
        eps=1e-5,
        cudnn_enabled=False,
    ),
    "spatial layer norm": lambda b, v: b.call(
        "layer_norm.default", input=v, normalized_shape=(4, 4), weight=b.parameter("n.weight", 4, 4)
    ),
    "row scale": lambda b, v: b.call("mul.Tensor", self=v, other=b.parameter("rows", 4, 1)),
    "quotient": lambda b, v: b.call("div.Tensor", self=v, other=b.parameter("rows", 4, 1)),
    "choice": lambda b, v: b.call(
        "where.ScalarOther", condition=b.call("gt.Scalar", self=b.parameter("m", 4, 4), other=0.0), self=v, other=0.0
    ),
    "single gate": lambda b, v: b.call("mul.Tensor", self=v, other=b.conv(v, "gate", 8, 1)),
    "twice the same": lambda b, v: b.call(
        "adaptive_avg_pool2d.default",
        self=b.call("cat.default", tensors=(v, v), dim=1),
        output_size=(2, 4),
    ),
    "largest": lambda b, v: b.call(
        "expand.default",
        self=b.call("unsqueeze.default", self=Ref(b.call("max.dim", self=v, dim=2, outputs=2).id, 0), dim=2),
        size=(-1, 8, 4, 4),
    ),
    "spread": lambda b, v: b.call(
        "add.Tensor", self=v, other=b.call("var.correction", self=v, dim=(2, 3), keepdim=True)
    ),
    "bigger map": lambda b, v: b.call(
        "max_pool2d.default",
        self=b.call("upsample_nearest2d.vec", input=v, output_size=(8, 8), scale_factors=None),
        kernel_size=(2, 2),
    ),
}


@pytest.mark.parametrize("name", PASSES)
def test_channels_are_followed_and_cut_equals_masked(name: str) -> None:
    net = net_with(PASSES[name])
    spec = trace(net)
    assert spec.groups[0].reason == ""
    kept = {spec.groups[0].name: [0, 2, 3, 7]}
    smaller = cut_channels(net, spec, kept)
    x = torch.randn(3, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(smaller(x), masked(net, spec, kept)(x), rtol=1e-9, atol=1e-9)
    assert trace(smaller).layers == spec.shrunk({spec.groups[0].name: 4})

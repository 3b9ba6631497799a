from collections.abc import Callable

import pytest
import torch

from pruning.export import cut_channels
from pruning.graphnet import GraphNet
from pruning.intake.document import Node, Ref
from pruning.layers import ChannelGroup
from pruning.trace import trace
from tests.pruning.graphs import Builder, check_cut, half, masked

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


def _doubled(b: Builder, v: Ref) -> Ref:
    return b.call("repeat.default", self=v, repeats=(1, 2, 1, 1))


def _parts(v: Ref, count: int) -> tuple[Ref, ...]:
    return tuple(Ref(v.id, index) for index in reversed(range(count)))


def _tokens(b: Builder, v: Ref) -> Ref:
    """A map as 16 tokens in the last dimension."""
    return b.call("flatten.using_ints", self=v, start_dim=2)


def _attended(b: Builder, v: Ref, heads: int) -> Ref:
    """Attention of the map's channels with themselves: 16 tokens, so many heads."""
    split = b.call("view.default", self=_tokens(b, v), size=(-1, heads, 8 // heads, 16))
    value = b.call("transpose.int", self=split, dim0=2, dim1=3)
    out = b.call("scaled_dot_product_attention.default", query=value, key=value, value=value)
    return b.call("transpose.int", self=out, dim0=2, dim1=3)


REASONS: dict[str, tuple[Step, str]] = {
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
    "permuted convolution": (
        lambda b, v: _halved(b, b.conv(b.call("permute.default", self=v, dims=(0, 2, 1, 3)), "odd", 4, 8)),
        "aten.conv2d at odd, which slides along them",
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
    "group norm of one group": (
        lambda b, v: b.call("group_norm.default", input=v, num_groups=1),
        "the channels go through aten.group_norm at block.1, which averages over all of them",
    ),
    "pad by others": (
        lambda b, v: _halved(b, b.call("pad.default", self=v, pad=(0, 0, 0, 0, 4, 4), mode="circular")),
        "aten.pad at block.1, which pads them by others or takes some away",
    ),
    "negative pad": (
        lambda b, v: b.call("pad.default", self=v, pad=(4, 0, 0, 0, 0, -4)),
        "aten.pad at block.1, which pads them by others or takes some away",
    ),
    "every other": (
        lambda b, v: _doubled(b, b.call("slice.Tensor", self=v, dim=1, start=0, end=8, step=2)),
        "aten.slice at block.1, which picks some of them",
    ),
    "picked": (
        lambda b, v: b.call("index_select.default", self=v, dim=1, index=b.parameter("order", 8, kind="buffer")),
        "aten.index_select at block.1, which picks some of them",
    ),
    "ragged split": (
        lambda b, v: b.call(
            "cat.default", tensors=_parts(b.call("split.Tensor", self=v, split_size=3, dim=1, outputs=3), 3), dim=1
        ),
        "aten.split at block.1, which splits them into parts of different sizes",
    ),
    "one of them": (
        lambda b, v: b.call("expand.default", self=b.call("select.int", self=v, dim=1, index=1), size=(8, -1, -1, -1)),
        "aten.select at block.1, which picks them one by one",
    ),
    "flip": (
        lambda b, v: b.call("flip.default", self=v, dims=(1,)),
        "aten.flip at block.1, which moves them",
    ),
    "summed product": (
        lambda b, v: b.call("matmul.default", self=b.parameter("mixer", 8, 8), other=_tokens(b, v)),
        "aten.matmul at block.1, which mixes all of them",
    ),
    "one head": (
        lambda b, v: b.call("view.default", self=_attended(b, v, 1), size=(-1, 8, 4, 4)),
        "aten.scaled_dot_product_attention at block.1, which mixes all of them",
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
    wide = b.call("pad.default", "wide", self=b.conv(b.x, "first", 3, 4), pad=(0, 0, 0, 0, 2, 2), mode="circular")
    wide = b.call("relu.default", "after", self=wide)
    total = b.call("add.Tensor", "sum", self=b.conv(b.x, "second", 3, 8), other=wide)
    reason = groups(b.net(b.conv(total, "last", 8, 2)))["second"].reason
    assert reason.endswith("aten.add at sum, which combines them with the result of aten.pad at wide")


def test_channels_in_another_order_stay() -> None:
    b = Builder(3, 4, 4)
    first, second = b.conv(b.x, "first", 3, 3), b.conv(b.x, "second", 3, 4)
    parts = [b.call("slice.Tensor", self=first, dim=1, start=i, end=i + 1) for i in (2, 1, 0)]
    turned = b.call("cat.default", tensors=(*parts, second), dim=1)
    found = groups(b.net(b.conv(turned, "last", 7, 2)))
    assert found["first"].reason == "there is one channel only"  # in each slice
    assert found["second"].removable


def test_a_layer_whose_channels_go_with_two_others_has_two_groups() -> None:
    b = Builder(3, 4, 4)
    pair = b.call("cat.default", tensors=(b.conv(b.x, "left", 3, 4), b.conv(b.x, "right", 3, 5)), dim=1)
    total = b.call("add.Tensor", "sum", self=b.conv(b.x, "whole", 3, 9), other=pair)
    net = b.net(b.conv(total, "last", 9, 2))
    found = [(g.name, g.channels, g.producers) for g in trace(net).groups if g.removable]
    assert found == [("left channels", 4, ("left", "whole")), ("right channels", 5, ("right", "whole"))]
    spec = trace(net)
    kept = {"left channels": [1], "right channels": [0, 4]}
    check_cut(net, kept, torch.randn(2, 3, 4, 4, dtype=torch.float64), 1e-9)
    assert spec.shrunk({name: len(indices) for name, indices in kept.items()})[2].out_channels == 3


def test_parts_of_one_layer_that_go_apart_are_named_by_their_rows() -> None:
    b = Builder(3, 4, 4)
    value = b.conv(b.x, "first", 3, 8)
    parts = b.call("split_with_sizes.default", self=value, split_sizes=(3, 5), dim=1, outputs=2)
    heads = [b.conv(Ref(parts.id, i), f"head{i}", size, 2) for i, size in enumerate((3, 5))]
    net = b.net(b.call("add.Tensor", self=heads[0], other=heads[1]))
    names = [(g.name, g.channels, g.consumers) for g in trace(net).groups if g.removable]
    assert names == [("first channels 0-2", 3, ("head0",)), ("first channels 3-7", 5, ("head1",))]
    kept = {"first channels 0-2": [2], "first channels 3-7": [0, 3, 4]}
    check_cut(net, kept, torch.randn(2, 3, 4, 4, dtype=torch.float64), 1e-9)


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


def _computed(b: Builder, v: Ref) -> Ref:
    """Heads merged with the batch by a computed size, as torch's own attention does."""
    batch = b.call("sym_size.int", self=v, dim=0)
    tokens, count = _tokens(b, v), Ref(f"n{len(b.nodes)}")
    b.nodes.append(Node(id=count.id, op="int.mul", args={"a": batch, "b": 2}))
    merged = b.call("view.default", self=tokens, size=(count, 4, 16))
    product = b.call("bmm.default", self=b.call("transpose.int", self=merged, dim0=1, dim1=2), mat2=merged)
    mixed = b.call("bmm.default", self=merged, mat2=b.call("softmax.int", self=product, dim=-1))
    return b.call("view.default", self=mixed, size=(batch, 8, 16))


PASSES: dict[str, Step] = {
    "pad and slice": lambda b, v: b.call(
        "slice.Tensor", self=b.call("pad.default", self=v, pad=(0, 0, 0, 0, 4, 4)), dim=1, start=0, end=8
    ),
    "constant pad": lambda b, v: _halved(b, b.call("constant_pad_nd.default", self=v, pad=(0, 0, 0, 0, 4, 4))),
    "pad that meets a layer": lambda b, v: b.call(
        "slice.Tensor",
        self=b.call(
            "add.Tensor",
            self=b.call("constant_pad_nd.default", self=v, pad=(0, 0, 0, 0, 2, 2)),
            other=b.conv(b.x, "wide", 3, 12),
        ),
        dim=1,
        start=-10,
        end=-2,
    ),
    "narrow": lambda b, v: _doubled(b, b.call("narrow.default", self=v, dim=1, start=2, length=4)),
    "heads": lambda b, v: b.call("view.default", self=v, size=(-1, 2, 4, 16)),
    "attention": lambda b, v: _attended(b, v, 4),
    "attention with computed sizes": _computed,
    "group norm": lambda b, v: b.call(
        "group_norm.default", input=v, num_groups=4, weight=b.parameter("n.weight", 8), bias=b.parameter("n.bias", 8)
    ),
    "swapped halves": lambda b, v: b.call(
        "cat.default", tensors=_parts(b.call("chunk.default", self=v, chunks=2, dim=1, outputs=2), 2), dim=1
    ),
    "uneven parts": lambda b, v: b.call(
        "cat.default",
        tensors=_parts(b.call("split_with_sizes.default", self=v, split_sizes=(2, 6), dim=1, outputs=2), 2),
        dim=1,
    ),
    "gated": lambda b, v: _doubled(b, b.call("glu.default", self=v, dim=1)),
    "shuffle": lambda b, v: b.call("channel_shuffle.default", self=v, groups=2),
    "shuffle by views": lambda b, v: b.call(
        "reshape.default",
        self=b.call("transpose.int", self=b.call("view.default", self=v, size=(-1, 2, 4, 4, 4)), dim0=1, dim1=2),
        shape=(-1, 8, 4, 4),
    ),
    "pixels": lambda b, v: b.call("pixel_shuffle.default", self=v, upscale_factor=2),
    "pixels back": lambda b, v: b.call("pixel_unshuffle.default", self=v, downscale_factor=2),
    "tile": lambda b, v: _halved(b, b.call("tile.default", self=v, dims=(1, 2, 1, 1))),
    "each twice": lambda b, v: _halved(b, b.call("repeat_interleave.self_int", self=v, repeats=2, dim=1)),
    "stacked": lambda b, v: _halved(
        b, b.call("flatten.using_ints", self=b.call("stack.default", tensors=(v, v), dim=3), start_dim=2, end_dim=3)
    ),
    "grouped convolution": lambda b, v: b.conv(v, "grouped", 8, 8, groups=2),
    "multiplied depthwise": lambda b, v: b.call(
        "max_pool2d.default", self=b.conv(v, "deep", 8, 32, groups=8), kernel_size=(2, 2)
    ),
    "product": lambda b, v: b.call("matmul.default", self=v, other=v),
    "product in letters": lambda b, v: b.call("einsum.default", equation="b c i j, b c j k -> b c i k", tensors=(v, v)),
    "transposed convolution": lambda b, v: b.call(
        "conv_transpose2d.input", "up", input=v, weight=b.parameter("up.weight", 8, 8, 1, 1), bias=b.parameter("u", 8)
    ),
    "grouped transposed convolution": lambda b, v: b.call(
        "conv_transpose2d.input", "up", input=v, weight=b.parameter("up.weight", 8, 2, 1, 1), groups=4
    ),
    "depthwise transposed convolution": lambda b, v: _halved(
        b,
        b.call("conv_transpose2d.input", "up", input=v, weight=b.parameter("up.weight", 8, 2, 1, 1), groups=8),
    ),
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
    assert spec.groups[0].producers[0] == "first" and spec.groups[0].reason == ""
    x = torch.randn(3, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for seed in range(2):
        check_cut(net, half(spec, seed), x, 1e-9)

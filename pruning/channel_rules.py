"""How operators that compute carry channels: layers, norms, element-wise operators, reductions.

A rule proves where the channels go, or says why it cannot (`Walk.refuse`). `channel_table` lists them.
"""

from collections.abc import Callable
from math import prod

from pruning.calls import place
from pruning.channels import Layout, Segment, Walk
from pruning.intake.document import Node, Ref

Rule = Callable[[Walk, Node], Layout | None]
_DEFAULT_DIMS = {"aten.glu.default": -1} | {
    f"aten.{name}": 0
    for name in (
        "slice.Tensor",
        "chunk.default",
        "split.Tensor",
        "split_with_sizes.default",
        "tensor_split.sections",
        "unbind.int",
    )
}


def conv(walk: Walk, node: Node) -> Layout | None:
    """Reads channels along dimension 1 of its weight and makes those of dimension 0; depthwise keeps them."""
    value, weight = node.args["input"], node.args["weight"]
    shape = walk.shape(weight)
    if walk.parameter(weight) is None:
        walk.refuse(node, "has a computed weight")
        return None
    dim = len(walk.shape(value)) - len(shape) + 1
    layout = walk.layout(value)
    if layout and layout.dim != dim:
        walk.refuse(node, "slides along them")
        layout = None
    if node.args.get("groups", 1) != 1:
        return _grouped_conv(walk, node, layout, dim)
    walk.bind(node, weight, 1, layout.segments if layout else (), "consumer")
    return _produce(walk, node, dim)


def _grouped_conv(walk: Walk, node: Node, layout: Layout | None, dim: int) -> Layout | None:
    weight, groups = node.args["weight"], node.args["groups"]
    shape = walk.shape(weight)
    whole = layout is not None and len(layout.segments) == 1 and layout.segments[0].repeat == 1
    if layout is not None and whole and groups == shape[0] == layout.size:
        walk.bind(node, weight, 0, layout.segments, "producer")
        walk.bind(node, weight, 1, (), "consumer")
        _follow(walk, node, layout)
        walk.fix(layout, node.id, "groups", None)
        return layout
    walk.refuse(node, "is a grouped convolution whose groups must stay equal")
    walk.bind(node, weight, 1, (), "consumer")
    found = _produce(walk, node, dim)
    walk.spaces.spoil(found.segments, f"the channels come from the grouped convolution {place(node)}")
    return found


def linear(walk: Walk, node: Node) -> Layout | None:
    """Reads and makes channels in the last dimension."""
    value, weight = node.args["input"], node.args["weight"]
    if walk.parameter(weight) is None:
        walk.refuse(node, "has a computed weight")
        return None
    dim = len(walk.shape(value)) - 1
    layout = walk.layout(value)
    if layout and layout.dim != dim:
        walk.refuse(node, "works along another dimension")
        layout = None
    walk.bind(node, weight, 1, layout.segments if layout else (), "consumer")
    return _produce(walk, node, dim)


def _produce(walk: Walk, node: Node, dim: int) -> Layout:
    """The channels that a weight makes: always the same space for the same weight."""
    weight = node.args["weight"]
    name = walk.parameter(weight) or ""
    known = walk.sides.get((name, 0))
    fresh = known or (Segment(walk.spaces.new(), walk.shape(weight)[0]),)
    walk.bind(node, weight, 0, fresh, "producer")
    layout = Layout(dim, fresh)
    _follow(walk, node, layout)
    return layout


def _follow(walk: Walk, node: Node, layout: Layout | None) -> None:
    for name in ("bias", "weight", "running_mean", "running_var"):
        if name != "weight" or "norm" in node.op:
            walk.bind(node, node.args.get(name), 0, layout.segments if layout else (), "follower")


def channel_norm(walk: Walk, node: Node) -> Layout | None:
    """Batch and instance norm: each channel by itself, in dimension 1."""
    layout = walk.carried(node)
    if layout and layout.dim != 1:
        walk.refuse(node, "normalises another dimension")
        layout = None
    _follow(walk, node, layout)
    return layout


def trailing_norm(walk: Walk, node: Node) -> Layout | None:
    """Layer norm: channels pass only if it averages over other dimensions."""
    shape = node.args["normalized_shape"]
    covered = len(shape) if isinstance(shape, tuple) else 1
    return _outside(walk, node, walk.rank(node) - covered, "averages over all of them")


def prelu(walk: Walk, node: Node) -> Layout | None:
    """One slope, or one a channel."""
    layout, weight = walk.carried(node), node.args["weight"]
    if layout and prod(walk.shape(weight)) > 1:
        if layout.dim != 1:
            walk.refuse(node, "has slopes along another dimension")
            return None
        walk.bind(node, weight, 0, layout.segments, "follower")
    return layout


def _outside(walk: Walk, node: Node, first: int, why: str) -> Layout | None:
    """Channels pass if their dimension is before `first`."""
    layout = walk.carried(node)
    if layout and layout.dim >= first:
        walk.refuse(node, why)
        return None
    return layout


def spatial(count: int, walk: Walk, node: Node) -> Layout | None:
    """Pooling and resampling: the last `count` dimensions change."""
    return _outside(walk, node, walk.rank(node) - count, "works along them")


def pad(walk: Walk, node: Node) -> Layout | None:
    """Padding counts from the last dimension; channels pass if theirs is not padded."""
    amounts = node.args["pad"]
    pads = amounts if isinstance(amounts, tuple) else ()
    while len(pads) > 1 and pads[-1] == 0 and pads[-2] == 0:
        pads = pads[:-2]
    layout = walk.carried(node)
    if layout and layout.dim >= walk.rank(node) - len(pads) // 2:
        text = f"the channels are padded by {place(node)}, which shifts them"
        walk.spaces.spoil(layout.segments, text)
        walk.lost[node.id] = place(node)
        return None
    return layout


def broadcast(walk: Walk, node: Node) -> Layout | None:
    """Element-wise on several values: channels that meet become one space; parameters follow."""
    rank = len(walk.shape(Ref(node.id)))
    operands = [value for value in node.args.values() if isinstance(value, Ref)]
    tracked = [(value, layout) for value in operands if (layout := walk.layout(value))]
    if not tracked:
        return None
    single = [layout for _, layout in tracked if layout.size == 1]
    for layout in single:  # one channel that applies to all others; it could not go in any case
        walk.spaces.spoil(layout.segments, f"there is one channel only, which {place(node)} spreads")
    tracked = [(value, layout) for value, layout in tracked if layout.size > 1]
    placed = {(layout.dim - len(walk.shape(value)), layout.size) for value, layout in tracked}
    if len(placed) != 1:
        walk.refuse(node, "combines them with values of another shape")
        return None
    dim, _ = placed.pop()
    found = Layout(dim + rank, tracked[0][1].segments)
    for _, layout in tracked[1:]:
        text = f"the channels meet others in another order in {place(node)}"
        walk.spaces.match(found.segments, layout.segments, text)
    for value in operands:
        if walk.layout(value) is None:
            _meet(walk, node, value, found, dim)
    return found


def _meet(walk: Walk, node: Node, value: Ref, layout: Layout, dim: int) -> None:
    """A value without channels meets channels at `dim`, counted from the end."""
    shape = walk.shape(value)
    if len(shape) < -dim or shape[dim] == 1:
        return
    if walk.parameter(value) is None:
        lost = walk.lost.get(value.id)
        others = f"the result of {lost}" if lost else "values that no prunable layer makes"
        walk.refuse(node, f"combines them with {others}")
        return
    for index in range(len(shape)):
        whole = index == len(shape) + dim
        walk.bind(node, value, index, layout.segments if whole else (), "follower")


def quotient(walk: Walk, node: Node) -> Layout | None:
    """Channels may be divided, not divide; nor may a parameter that is cut with them, as it becomes zero."""
    layout, other = walk.carried(node), node.args.get("other")
    shape = walk.shape(other) if walk.parameter(other) else ()
    behind = walk.rank(node) - layout.dim if layout else 0  # the channels' dimension, from the end
    if walk.layout(other) or (0 < behind <= len(shape) and shape[-behind] > 1):
        walk.refuse(node, "divides by them: a removed channel would be a division by zero")
        return None
    return broadcast(walk, node)


def power(walk: Walk, node: Node) -> Layout | None:
    """A power that is defined and smooth at the zero of a removed channel."""
    exponent = node.args["exponent"]
    if not isinstance(exponent, int | float) or exponent < 1:
        walk.refuse(node, "has no slope or no value at zero")
        return None
    return walk.carried(node)


def along(why: str, walk: Walk, node: Node) -> Layout | None:
    """Operators along one dimension that keep the rank: channels pass if theirs is another."""
    layout = walk.carried(node)
    if layout and layout.dim in _dims(walk, node):
        walk.refuse(node, why)
        return None
    return layout


def reduce(why: str, walk: Walk, node: Node) -> Layout | None:
    """Operators that drop dimensions: channels pass if theirs stays."""
    layout = walk.carried(node)
    if layout is None:
        return None
    dims = _dims(walk, node) or set(range(walk.rank(node)))
    if layout.dim in dims:
        walk.refuse(node, why)
        return None
    if node.args.get("keepdim", False):
        return layout
    return Layout(layout.dim - sum(dim < layout.dim for dim in dims), layout.segments)


def _dims(walk: Walk, node: Node) -> set[int]:
    given = node.args.get("dim", _DEFAULT_DIMS.get(node.op))
    listed = given if isinstance(given, tuple) else (given,)
    rank = walk.rank(node)
    return {dim % rank for dim in listed if isinstance(dim, int)}


def counted(walk: Walk, node: Node) -> Layout | None:
    """A size read in the graph: a count of channels could go anywhere."""
    layout = walk.carried(node)
    if layout and layout.dim in _dims(walk, node):
        walk.refuse(node, "counts them")
    return None

"""How operators that compute carry channels: norms, element-wise operators, reductions, resampling.

A rule proves where the channels go, or says why it cannot (`Walk.refuse`). `channel_table` lists them; layers
with weights are in `channel_layers`, products and attention in `channel_products`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from pruning.calls import place
from pruning.channels import Fix, Ids, Layout, Shape, Walk, arranged, numbers
from pruning.intake.document import Node, Ref

Rule = Callable[[Walk, Node], Layout | tuple[Layout, ...] | None]
_DEFAULT_DIMS = {"aten.unbind.int": 0}


@dataclass(frozen=True)
class Operand:
    """A value that broadcasts against others; `shape` has 1 for a dimension that is summed over."""

    value: Ref
    layout: Layout | None
    shape: Shape

    def placed(self, rank: int) -> Layout:
        """Its layout in a result of that rank."""
        assert self.layout is not None
        return Layout(tuple(dim + rank - len(self.shape) for dim in self.layout.dims), self.layout.tags)


def follow(walk: Walk, node: Node, tags: Ids | None) -> None:
    """A node's bias, and a norm's other parameters, go with the channels."""
    for name in ("bias", "weight", "running_mean", "running_var"):
        value = node.args.get(name)
        if name == "weight" and "norm" not in node.op:
            continue
        if tags is not None:
            walk.bind(node, value, (0,), tags, "follower")
        elif held := walk.parameter(value):
            walk.hold(node, held, 0)


def channel_norm(walk: Walk, node: Node) -> Layout | None:
    """Batch and instance norm: each channel by itself, in dimension 1."""
    layout = walk.carried(node)
    if layout and layout.dims != (1,):
        walk.refuse(node, "normalises another dimension")
        layout = None
    follow(walk, node, layout.tags if layout else None)
    return layout


def group_norm(walk: Walk, node: Node) -> Layout | None:
    """Averages over runs of neighbouring channels: a run goes as a whole."""
    layout, groups = walk.carried(node), node.args["num_groups"]
    if layout is None or layout.dims != (1,) or not isinstance(groups, int) or groups == 1:
        walk.refuse(node, "averages over all of them")
        return None
    table = layout.tags.reshape(groups, -1)
    walk.tags.join(table, table[:, :1])
    walk.fixes.append(Fix(table[:, 0], 0, node.id, "num_groups"))
    follow(walk, node, layout.tags)
    return layout


def trailing_norm(walk: Walk, node: Node) -> Layout | None:
    """Layer norm: what it averages over goes together."""
    shape, rank = node.args["normalized_shape"], walk.rank(node)
    covered = len(shape) if isinstance(shape, tuple) else 1
    return walk.mix(node, walk.carried(node), set(range(rank - covered, rank)), "averages over all of them")


def prelu(walk: Walk, node: Node) -> Layout | None:
    """One slope, or one a channel."""
    layout, weight = walk.carried(node), node.args["weight"]
    if layout and prod(walk.shape(weight)) > 1:
        if layout.dims != (1,):
            walk.refuse(node, "has slopes along another dimension")
            return None
        walk.bind(node, weight, (0,), layout.tags, "follower")
    return layout


def spatial(count: int, walk: Walk, node: Node) -> Layout | None:
    """Pooling and resampling: the last `count` dimensions change."""
    layout = walk.carried(node)
    if layout and max(layout.dims) >= walk.rank(node) - count:
        walk.refuse(node, "works along them")
        return None
    return layout


def broadcast(walk: Walk, node: Node) -> Layout | None:
    """Element-wise on several values: channels that meet become one; parameters follow."""
    operands = []
    for value in node.args.values():
        if isinstance(value, Ref):
            operands.append(Operand(value, walk.layout(value), walk.shape(value)))
    for operand in operands:
        if operand.layout and operand.layout.size == 1:  # it applies to all others and could not go in any case
            text = f"there is one channel only, which {place(node)} spreads"
            walk.tags.spoil(operand.layout.tags, text)
    return meet(walk, node, operands)


def meet(walk: Walk, node: Node, operands: Sequence[Operand]) -> Layout | None:
    """The channels of values that broadcast against each other; those of one must cover all others'."""
    rank = len(walk.shape(Ref(node.id)))
    layouts = [operand.placed(rank) for operand in operands if operand.layout and operand.layout.size > 1]
    if not layouts:
        return None
    widest = max(layouts, key=lambda layout: layout.size)
    for layout in layouts:
        aligned = _aligned(layout, widest)
        if aligned is None:
            walk.refuse(node, "combines them with values of another shape")
            return None
        walk.tags.join(aligned, widest.tags)
    if not all(_met(walk, node, operand, widest) for operand in operands if operand.layout is None):
        return None
    return walk.slim(widest)


def _aligned(layout: Layout, widest: Layout) -> Ids | None:
    """The tags with an axis for each dimension of `widest`; None if they do not broadcast."""
    if not set(layout.dims) <= set(widest.dims):
        return None
    sizes = [layout.tags.shape[layout.axis(dim)] if dim in layout.dims else 1 for dim in widest.dims]
    fits = all(size in (1, full) for size, full in zip(sizes, widest.tags.shape, strict=True))
    return layout.tags.reshape(sizes) if fits else None


def _met(walk: Walk, node: Node, operand: Operand, layout: Layout) -> bool:
    """Whether a value without channels leaves these removable; a parameter is cut with them."""
    shift = len(walk.shape(Ref(node.id))) - len(operand.shape)
    dims = {dim for dim in layout.dims if dim >= shift and operand.shape[dim - shift] > 1}
    if not dims:
        return True
    name = walk.parameter(operand.value)
    whole = name is not None and layout.dims[0] in dims
    lost = walk.lost.get(operand.value.id)
    others = f"the result of {lost}" if lost else "values that no prunable layer makes"
    apart = set(layout.dims) - dims if whole else dims  # along these, slices cannot go one by one
    if walk.mix(node, layout, apart, f"combines them with {others}") is None:
        return False
    if whole:
        bound = layout.without(apart)
        walk.bind(node, operand.value, tuple(dim - shift for dim in bound.dims), bound.tags, "follower")
    for dim in range(len(operand.shape)):
        if name is not None and not (whole and dim + shift in dims):
            walk.hold(node, name, dim)
    return True


def quotient(walk: Walk, node: Node) -> Layout | None:
    """Channels may be divided, not divide; nor may a parameter that is cut with them, as it becomes zero."""
    layout, other = walk.carried(node), node.args.get("other")
    shape = walk.shape(other) if walk.parameter(other) else ()
    behind = [walk.rank(node) - dim for dim in layout.dims] if layout else []  # dimensions from the end
    if walk.layout(other) or any(back <= len(shape) and shape[-back] > 1 for back in behind):
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
    """Operators that mix along one dimension and keep the rank."""
    return walk.mix(node, walk.carried(node), _dims(walk, node), why)


def still(why: str, walk: Walk, node: Node) -> Layout | None:
    """Operators along one dimension, through which channels pass only if they stand along others."""
    layout = walk.carried(node)
    if layout and (_dims(walk, node) or set(layout.dims)) & set(layout.dims):
        walk.refuse(node, why)
        return None
    return layout


def reduce(why: str, walk: Walk, node: Node) -> Layout | None:
    """Operators that mix along dimensions and drop them."""
    dims = _dims(walk, node) or set(range(walk.rank(node)))
    layout = walk.mix(node, walk.carried(node), dims, why)
    if layout is None or node.args.get("keepdim", False):
        return layout
    return arranged([dim - sum(gone < dim for gone in dims) for dim in layout.dims], layout.tags)


def parts(why: str, walk: Walk, node: Node) -> Layout | tuple[Layout, ...] | None:
    """One result for each index of a dimension: their number must stay."""
    layout = reduce(why, walk, node)
    return layout and (layout,) * node.outputs


def counted(walk: Walk, node: Node) -> Layout | None:
    """A size read in the graph: a count of channels could go anywhere."""
    layout = walk.carried(node)
    if layout and _dims(walk, node) & set(layout.dims):
        walk.refuse(node, "counts them")
    return None


def _dims(walk: Walk, node: Node) -> set[int]:
    given = node.args.get("dim", node.args.get("dims", _DEFAULT_DIMS.get(node.op)))
    return set(numbers(given, walk.rank(node)))

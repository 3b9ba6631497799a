"""How channels move through operators that take some of them, add empty ones or change their order."""

import sys
from itertools import pairwise

import numpy as np

from pruning.channels import Fix, Ids, Layout, Walk, main, numbers
from pruning.intake.document import Node, Ref


def pad(walk: Walk, node: Node) -> Layout | None:
    """Constant channels beside the others: they are fewer where what they meet is removed."""
    layout, amounts, rank = walk.carried(node), node.args["pad"], walk.rank(node)
    if layout is None or not isinstance(amounts, tuple):
        return None
    padded = [axis for axis, dim in enumerate(layout.dims) if any(amounts[2 * (rank - 1 - dim) :][:2])]
    if not padded:
        return layout
    found = layout.tags
    for axis in padded:
        start = 2 * (rank - 1 - layout.dims[axis])
        sides = [amount for amount in amounts[start : start + 2] if isinstance(amount, int) and amount >= 0]
        if len(sides) < 2 or node.args.get("mode", "constant") != "constant":
            walk.refuse(node, "pads them by others or takes some away")
            return None
        around = [_empty(walk, found, axis, size) for size in sides]
        for side, tags in enumerate(around):
            if tags.size:
                walk.fixes.append(Fix(tags, axis, node.id, "pad", start + side))
        found = np.concatenate([around[0], found, around[1]], axis=axis)
    return Layout(layout.dims, found)


def _empty(walk: Walk, tags: Ids, axis: int, size: int) -> Ids:
    shape = (*tags.shape[:axis], size, *tags.shape[axis + 1 :])
    return walk.tags.new(int(np.prod(shape))).reshape(shape)


def piece(walk: Walk, node: Node) -> Layout | None:
    """`slice` and `narrow`: a run of channels, whose ends move when channels before them go."""
    layout, (dim,) = walk.carried(node), numbers(node.args.get("dim", 0), walk.rank(node))
    if layout is None or dim not in layout.dims:
        return layout
    axis = layout.axis(dim)
    size = layout.tags.shape[axis]
    start, step = node.args.get("start") or 0, node.args.get("step", 1)
    end = node.args.get("end")
    if "length" in node.args and isinstance(start, int):
        end = node.args["length"]
        end = start % size + end if isinstance(end, int) else end
    end = sys.maxsize if end is None else end
    if step != 1 or not isinstance(start, int) or not isinstance(end, int):
        walk.refuse(node, "picks some of them")
        return None
    _moves(walk, node, (layout.tags, axis), "start", start)
    low, high, _ = slice(start, end).indices(size)
    found = np.take(layout.tags, np.arange(low, high), axis=axis)
    if "length" in node.args:
        walk.fixes.append(Fix(found, axis, node.id, "length"))
    elif end < size:
        _moves(walk, node, (layout.tags, axis), "end", end)
    return Layout(layout.dims, found)


def _moves(walk: Walk, node: Node, where: tuple[Ids, int], argument: str, at: int) -> None:
    """A position counts the channels before it, or, if negative, those after it."""
    tags, axis = where
    size = tags.shape[axis]
    counted = range(at) if at >= 0 else range(max(size + at, 0), size)
    if counted and at < size:
        walk.fixes.append(Fix(np.take(tags, counted, axis=axis), axis, node.id, argument, None, 1 if at >= 0 else -1))


def parts(walk: Walk, node: Node) -> Layout | tuple[Layout, ...] | None:
    """`chunk` and `split`: parts that stay as many, and of equal size where their sizes are not listed."""
    layout, (dim,) = walk.carried(node), numbers(node.args.get("dim", 0), walk.rank(node))
    if layout is None or dim not in layout.dims:
        return layout
    axis = layout.axis(dim)
    ends = np.cumsum([0] + [walk.shape(Ref(node.id, index))[dim] for index in range(node.outputs)])
    found = [np.take(layout.tags, np.arange(low, high), axis=axis) for low, high in pairwise(ends)]
    if node.op == "aten.split_with_sizes.default":
        for index, tags in enumerate(found):
            walk.fixes.append(Fix(tags, axis, node.id, "split_sizes", index))
    elif len({tags.shape for tags in found}) > 1:
        walk.refuse(node, "splits them into parts of different sizes")
        return None
    else:
        for tags in found[1:]:
            walk.tags.join(tags, found[0])
        if node.op == "aten.split.Tensor":
            walk.fixes.append(Fix(found[0], axis, node.id, "split_size"))
    return tuple(Layout(layout.dims, tags) for tags in found)


def gated(walk: Walk, node: Node) -> Layout | None:
    """`glu`: the second half of the channels gates the first."""
    layout, (dim,) = walk.carried(node), numbers(node.args.get("dim", -1), walk.rank(node))
    if layout is None or dim not in layout.dims:
        return layout
    one, other = np.split(layout.tags, 2, axis=layout.axis(dim))
    walk.tags.join(one, other)
    return Layout(layout.dims, one)


def shuffle(walk: Walk, node: Node) -> Layout | None:
    """Channels dealt out in turn from groups, which stay equal: those of equal places go together."""
    layout, groups = walk.carried(node), node.args["groups"]
    if layout is None or layout.dims != (1,) or not isinstance(groups, int):
        walk.refuse(node, "moves them")
        return None
    table = layout.tags.reshape(groups, -1)
    walk.tags.join(table, table[:1])
    return Layout(layout.dims, table.T.reshape(-1))


def pixels(walk: Walk, node: Node) -> Layout | None:
    """`pixel_shuffle` makes one channel of a square of them; `pixel_unshuffle` the other way."""
    layout, dim = walk.carried(node), len(walk.shape(main(node))) - 3
    if layout is None or layout.dims != (dim,):
        walk.refuse(node, "moves them into space or back")
        return None
    after = walk.shape(Ref(node.id))[dim]
    if after > layout.size:
        return Layout(layout.dims, np.repeat(layout.tags, after // layout.size))
    table = layout.tags.reshape(after, -1)
    walk.tags.join(table, table[:, :1])
    return Layout(layout.dims, table[:, 0])


def looked_up(walk: Walk, node: Node) -> Layout | None:
    """Rows of a table by their numbers (`embedding`, `index` of a parameter): its columns go with what they meet."""
    table, numbers_of_rows = node.args.get("weight", node.args.get("self")), node.args["indices"]
    rows = numbers_of_rows if isinstance(numbers_of_rows, tuple) else (numbers_of_rows,)
    name = walk.parameter(table)
    if name is None or len(walk.shape(table)) != 2 or len(rows) != 1 or walk.layout(rows[0]):
        walk.refuse(node, "cannot be followed yet")
        return None
    known = walk.sides.get((name, (1,)))
    tags = walk.tags.new(walk.shape(table)[1]) if known is None else known
    walk.bind(node, table, (1,), tags, "follower")
    walk.hold(node, name, 0)
    return Layout((len(walk.shape(Ref(node.id))) - 1,), tags)

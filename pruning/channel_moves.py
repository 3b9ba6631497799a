"""How channels move through operators that only rearrange: reshapes, permutations, repeats, concatenation."""

from collections.abc import Iterator

import numpy as np

from pruning.calls import place
from pruning.channels import Fix, Ids, Layout, Shape, Walk, arranged, main, numbers
from pruning.intake.document import Argument, Node, Ref


def reshape(walk: Walk, node: Node) -> Layout | None:
    """Views: dimensions merge, and part again."""
    layout = walk.carried(node)
    if layout is None:
        return None
    moved = walk.slim(_regrouped(layout, walk.shape(main(node)), walk.shape(Ref(node.id))))
    if not _mend(walk, node, moved):
        walk.refuse(node, "sizes them by a computed number")
        return None
    return moved


def _regrouped(layout: Layout, before: Shape, after: Shape) -> Layout:
    """The tags in a view: only blocks of dimensions that hold tags are looked at, each in row-major order."""
    olds, news = [], []
    for old, new in _blocks(before, after):
        if set(old) & set(layout.dims):
            olds += old
            news += new
    laid = layout.tags.reshape([before[dim] if dim in layout.dims else 1 for dim in olds])
    whole = np.broadcast_to(laid, [before[dim] for dim in olds])
    return Layout(tuple(news), whole.reshape([after[dim] for dim in news]))


def _blocks(before: Shape, after: Shape) -> Iterator[tuple[list[int], list[int]]]:
    """The smallest runs of dimensions that hold as many numbers before as after."""
    old: list[int] = []
    new: list[int] = []
    left = right = 1
    olds, news = list(range(len(before))), list(range(len(after)))
    while olds or news:
        if olds and (left <= right or not news):
            old.append(olds.pop(0))
            left *= before[old[-1]]
        else:
            new.append(news.pop(0))
            right *= after[new[-1]]
        ones = not any(after[dim] != 1 for dim in news) if not olds else not any(before[dim] != 1 for dim in olds)
        if left == right and old and new and not (ones and (olds or news)):
            yield old, new
            old, new, left, right = [], [], 1, 1
    if old or new:
        yield old, new


def _mend(walk: Walk, node: Node, after: Layout) -> bool:
    """Note the sizes that are baked in; False if one is computed in a way that cannot be followed."""
    argument = next((name for name in ("size", "shape", "sizes") if name in node.args), "")
    sizes = node.args.get(argument)
    if not isinstance(sizes, tuple):
        return True  # flatten: nothing is baked
    first = numbers(node.args["dim"], walk.rank(node))[0] if argument == "sizes" else 0
    for axis, dim in enumerate(after.dims):
        index = dim - first
        if 0 <= index < len(sizes) and not sized(walk, node, after.tags, axis, (argument, index)):
            return False
    return True


def sized(walk: Walk, node: Node, tags: Ids, axis: int, where: tuple[str, int]) -> bool:
    """Note one size; False if it is computed by more than a product with a number."""
    argument, index = where
    sizes = node.args[argument]
    size = sizes[index] if isinstance(sizes, tuple) else sizes
    if isinstance(size, int):
        if size != -1:
            walk.fixes.append(Fix(tags, axis, node.id, argument, index))
        return True
    maker = walk.nodes[size.id] if isinstance(size, Ref) else node
    plain = [name for name in ("a", "b") if isinstance(maker.args.get(name), int)]
    if maker.op != "int.mul" or len(plain) != 1:
        return False
    factor = maker.args[plain[0]]
    assert isinstance(factor, int)
    if known := next((fix for fix in walk.fixes if fix.node == maker.id), None):  # several values of one size
        if known.tags.shape != tags.shape:
            return False
        walk.tags.join(known.tags, tags)
    else:
        walk.fixes.append(Fix(tags, axis, maker.id, plain[0], times=tags.shape[axis] // factor))
    walk.counts.add((maker.id, node.id))
    return True


def permute(walk: Walk, node: Node) -> Layout | None:
    """Any reordering of dimensions."""
    layout, rank = walk.carried(node), walk.rank(node)
    if layout is None:
        return None
    order = list(range(rank))
    if "dims" in node.args:
        order = numbers(node.args["dims"], rank)
    elif "dim0" in node.args:
        one, other = numbers((node.args["dim0"], node.args["dim1"]), rank)
        order[one], order[other] = order[other], order[one]
    elif "source" in node.args:
        order = _moved(numbers(node.args["source"], rank), numbers(node.args["destination"], rank), rank)
    else:  # t, numpy_T
        order.reverse()
    return arranged([order.index(dim) for dim in layout.dims], layout.tags)


def _moved(sources: list[int], targets: list[int], rank: int) -> list[int]:
    taken = dict(zip(targets, sources, strict=True))
    others = iter([dim for dim in range(rank) if dim not in sources])
    return [taken[dim] if dim in taken else next(others) for dim in range(rank)]


def squeeze(walk: Walk, node: Node) -> Layout | None:
    """Drop named dimensions of size one."""
    layout, shape = walk.carried(node), walk.shape(main(node))
    if layout is None:
        return None
    gone = {dim for dim in numbers(node.args.get("dim", ()), len(shape)) if shape[dim] == 1}
    if "dim" not in node.args or set(layout.dims) & set(numbers(node.args["dim"], len(shape))):
        walk.refuse(node, "drops dimensions by their size")
        return None
    return Layout(tuple(dim - sum(one < dim for one in gone) for dim in layout.dims), layout.tags)


def unsqueeze(walk: Walk, node: Node) -> Layout | None:
    """Insert a dimension of size one."""
    layout = walk.carried(node)
    if layout is None:
        return None
    (new,) = numbers(node.args["dim"], walk.rank(node) + 1)
    return Layout(tuple(dim + (new <= dim) for dim in layout.dims), layout.tags)


def expand(walk: Walk, node: Node) -> Layout | None:
    """Repeat dimensions of size one without copying."""
    layout, sizes = walk.carried(node), node.args["size"]
    if layout is None or not isinstance(sizes, tuple):
        return None
    if layout.size == 1:
        walk.refuse(node, "spreads a single channel")
        return None
    shift = len(sizes) - walk.rank(node)
    found = Layout(tuple(dim + shift for dim in layout.dims), layout.tags)
    if not all(sized(walk, node, found.tags, axis, ("size", dim)) for axis, dim in enumerate(found.dims)):
        walk.refuse(node, "sizes them by a computed number")
        return None
    return found


def repeat(walk: Walk, node: Node) -> Layout | None:
    """Copies of the whole, side by side."""
    layout, times = walk.carried(node), node.args.get("repeats", node.args.get("dims"))
    if layout is None:
        return None
    counts = times if isinstance(times, tuple) else ()
    shift = len(counts) - walk.rank(node)
    if shift < 0 or not all(isinstance(counts[dim + shift], int) for dim in layout.dims):
        walk.refuse(node, "repeats them a computed number of times")
        return None
    copies = [int(str(counts[dim + shift])) for dim in layout.dims]
    return Layout(tuple(dim + shift for dim in layout.dims), np.tile(layout.tags, copies))


def repeat_each(walk: Walk, node: Node) -> Layout | None:
    """Copies of each index, side by side."""
    layout, times = walk.carried(node), node.args["repeats"]
    dims = numbers(node.args.get("dim"), walk.rank(node))
    if layout is None or not set(dims) & set(layout.dims):
        return layout if dims else None
    if not isinstance(times, int) or node.args.get("output_size") is not None:
        walk.refuse(node, "repeats them a computed number of times")
        return None
    return Layout(layout.dims, np.repeat(layout.tags, times, axis=layout.axis(dims[0])))


def concatenate(walk: Walk, node: Node) -> Layout | None:
    """Side by side along the channels; along another dimension the channels of all parts become one."""
    given = node.args["tensors"]
    values = given if isinstance(given, tuple) else ()
    layouts = [layout for value in values if (layout := walk.layout(value))]
    if not layouts:
        return None
    rank = len(walk.shape(values[0]))
    dims, (dim,) = layouts[0].dims, numbers(node.args.get("dim", 0), rank)
    if any(layout.dims != dims for layout in layouts) or any(len(walk.shape(v)) != rank for v in values):
        walk.refuse(node, "puts them beside other dimensions")
        return None
    if dims == (dim,):
        return Layout(dims, np.concatenate([_tags(walk, node, value, dim) for value in values]))
    if len(layouts) < len(values):
        walk.refuse(node, "combines them with values that no prunable layer makes")
        return None
    if dim in dims:
        return Layout(dims, np.concatenate([x.tags for x in layouts], axis=layouts[0].axis(dim)))
    for other in layouts[1:]:
        walk.tags.join(layouts[0].tags, other.tags)
    return layouts[0]


def stack(walk: Walk, node: Node) -> Layout | None:
    """Side by side along a new dimension: the channels of all parts become one."""
    given = node.args["tensors"]
    values = given if isinstance(given, tuple) else ()
    layouts = [layout for value in values if (layout := walk.layout(value))]
    if not layouts:
        return None
    if len(layouts) < len(values) or any(layout.dims != layouts[0].dims for layout in layouts):
        walk.refuse(node, "combines them with values that no prunable layer makes")
        return None
    for other in layouts[1:]:
        walk.tags.join(layouts[0].tags, other.tags)
    (new,) = numbers(node.args.get("dim", 0), len(walk.shape(values[0])) + 1)
    return Layout(tuple(dim + (new <= dim) for dim in layouts[0].dims), layouts[0].tags)


def _tags(walk: Walk, node: Node, value: Argument, dim: int) -> Ids:
    """The channels of one part; those that no layer makes get tags that cannot be cut."""
    if layout := walk.layout(value):
        return layout.tags
    fresh = walk.tags.new(walk.shape(value)[dim])
    walk.tags.spoil(fresh, f"no prunable layer makes these channels of {place(node)}")
    return fresh

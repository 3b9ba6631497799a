"""How channels move through operators that only rearrange: reshapes, permutations, concatenation."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from pruning.calls import place
from pruning.channels import Layout, Segment, Shape, Walk, main
from pruning.intake.document import Argument, Node, Ref


def reshape(walk: Walk, node: Node) -> Layout | None:
    """Views: channels may merge with the dimensions after them (each then repeats), or part again."""
    layout = walk.carried(node)
    if layout is None:
        return None
    moved = _regrouped(layout, walk.shape(main(node)), walk.shape(Ref(node.id)))
    if moved is None:
        walk.refuse(node, "splits them or merges them with other dimensions, as attention heads do")
        return None
    if not _mend(walk, node, layout, moved):
        walk.refuse(node, "sizes them by a computed number")
        return None
    return moved


def _regrouped(layout: Layout, before: Shape, after: Shape) -> Layout | None:
    """Where row-major order puts the channels, None if they do not stay a run of indices of one dimension."""
    left, right = prod(before[: layout.dim]), prod(before[layout.dim + 1 :])
    for dim, size in enumerate(after):
        if prod(after[:dim]) != left or size == 1:
            continue
        rest = prod(after[dim + 1 :])
        if right % rest == 0:  # trailing dimensions merge into the channels' one
            factor = right // rest
            segments = tuple(replace(s, repeat=s.repeat * factor) for s in layout.segments)
        elif rest % right == 0 and all(s.repeat % (rest // right) == 0 for s in layout.segments):
            factor = rest // right  # and part from it again
            segments = tuple(replace(s, repeat=s.repeat // factor) for s in layout.segments)
        else:
            return None
        found = Layout(dim, segments)
        return found if found.size == size else None
    return None


def _mend(walk: Walk, node: Node, before: Layout, after: Layout) -> bool:
    """Note a baked size; False if the size is computed in the graph."""
    sizes, index = node.args.get("size", node.args.get("shape")), after.dim
    argument = "size" if "size" in node.args else "shape"
    if node.op == "aten.unflatten.int":
        sizes, argument = node.args["sizes"], "sizes"
        start = node.args["dim"]
        start = start % walk.rank(node) if isinstance(start, int) else 0
        if before.dim != start:
            return True
        index -= start
    if not isinstance(sizes, tuple):
        return True  # flatten: nothing is baked
    if isinstance(sizes[index], Ref):
        return False
    if sizes[index] != -1:
        walk.fix(after, node.id, argument, index)
    return True


def permute(walk: Walk, node: Node) -> Layout | None:
    """Any reordering of dimensions."""
    layout, rank = walk.carried(node), walk.rank(node)
    if layout is None:
        return None
    order = list(range(rank))
    if "dims" in node.args:
        order = _numbers(node.args["dims"], rank)
    elif "dim0" in node.args:
        one, other = _numbers((node.args["dim0"], node.args["dim1"]), rank)
        order[one], order[other] = order[other], order[one]
    elif "source" in node.args:
        order = _moved(_numbers(node.args["source"], rank), _numbers(node.args["destination"], rank), rank)
    else:  # t, numpy_T
        order.reverse()
    return Layout(order.index(layout.dim), layout.segments)


def _moved(sources: Sequence[int], targets: Sequence[int], rank: int) -> list[int]:
    taken = dict(zip(targets, sources, strict=True))
    others = iter([dim for dim in range(rank) if dim not in sources])
    return [taken[dim] if dim in taken else next(others) for dim in range(rank)]


def squeeze(walk: Walk, node: Node) -> Layout | None:
    """Drop named dimensions of size one."""
    layout, shape = walk.carried(node), walk.shape(main(node))
    if layout is None:
        return None
    gone = {dim for dim in _numbers(node.args.get("dim", ()), len(shape)) if shape[dim] == 1}
    if "dim" not in node.args or layout.dim in _numbers(node.args["dim"], len(shape)):
        walk.refuse(node, "drops dimensions by their size")
        return None
    return Layout(layout.dim - sum(dim < layout.dim for dim in gone), layout.segments)


def unsqueeze(walk: Walk, node: Node) -> Layout | None:
    """Insert a dimension of size one."""
    layout = walk.carried(node)
    if layout is None:
        return None
    (new,) = _numbers(node.args["dim"], walk.rank(node) + 1)
    return Layout(layout.dim + (new <= layout.dim), layout.segments)


def expand(walk: Walk, node: Node) -> Layout | None:
    """Repeat dimensions of size one without copying."""
    layout, sizes = walk.carried(node), node.args["size"]
    if layout is None or not isinstance(sizes, tuple):
        return None
    if layout.size == 1:
        walk.refuse(node, "spreads a single channel")
        return None
    dim = layout.dim + len(sizes) - walk.rank(node)
    if isinstance(sizes[dim], Ref):
        walk.refuse(node, "sizes them by a computed number")
        return None
    found = Layout(dim, layout.segments)
    if sizes[dim] != -1:
        walk.fix(found, node.id, "size", dim)
    return found


def concatenate(walk: Walk, node: Node) -> Layout | None:
    """Side by side along the channels; along another dimension the channels of all parts become one space."""
    given = node.args["tensors"]
    parts = given if isinstance(given, tuple) else ()
    layouts = [layout for part in parts if (layout := walk.layout(part))]
    if not layouts:
        return None
    rank = len(walk.shape(parts[0]))
    (dim,) = _numbers(node.args.get("dim", 0), rank)
    if len({layout.dim for layout in layouts}) > 1 or any(len(walk.shape(p)) != rank for p in parts):
        walk.refuse(node, "puts them beside other dimensions")
        return None
    if dim == layouts[0].dim:
        return Layout(dim, tuple(s for part in parts for s in _segments(walk, node, part, dim)))
    if len(layouts) < len(parts):
        walk.refuse(node, "combines them with values that no prunable layer makes")
        return None
    for other in layouts[1:]:
        text = f"the channels meet others in another order in {place(node)}"
        walk.spaces.match(layouts[0].segments, other.segments, text)
    return layouts[0]


def _segments(walk: Walk, node: Node, part: Argument, dim: int) -> tuple[Segment, ...]:
    """The channels of one part; those that no layer makes get a space that cannot be cut."""
    if layout := walk.layout(part):
        return layout.segments
    unknown = Segment(walk.spaces.new(), walk.shape(part)[dim])
    walk.spaces.spoil([unknown], f"no prunable layer makes these channels of {place(node)}")
    return (unknown,)


def _numbers(value: Argument, rank: int) -> list[int]:
    listed = value if isinstance(value, tuple) else (value,)
    return [dim % rank for dim in listed if isinstance(dim, int)]

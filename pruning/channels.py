"""Channel bookkeeping for `groups`: tags joined by union-find, layouts of values, and sides of parameters.

Every channel that a layer makes gets a tag; tags that are joined go together. A layout says which tag each
index of some dimensions of a value carries, so that reshapes, slices and concatenations are the same moves on
small arrays of tags. A value with tags along several dimensions (heads and their width) can only lose whole
slices along one of them: `settle` finds which.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pruning.calls import place
from pruning.intake.document import Argument, GraphDocument, Node, Ref

Shape = tuple[int, ...]
Ids = NDArray[np.int64]
Role = Literal["producer", "consumer", "follower"]


@dataclass(frozen=True, eq=False)
class Layout:
    """The tag of each index of dimensions `dims` (ascending) of a value: `tags[i, j, ...]`."""

    dims: tuple[int, ...]
    tags: Ids

    @property
    def size(self) -> int:
        """Indices that it covers."""
        return self.tags.size

    def axis(self, dim: int) -> int:
        """Which axis of `tags` runs along dimension `dim`."""
        return self.dims.index(dim)

    def without(self, dims: set[int]) -> "Layout":
        """Only the first index along `dims`, which it then no longer covers."""
        index = tuple(0 if dim in dims else slice(None) for dim in self.dims)
        return Layout(tuple(dim for dim in self.dims if dim not in dims), self.tags[index])


@dataclass(frozen=True, eq=False)
class Fix:
    """A number in a node's arguments that counts the slices of `tags` along `axis`.

    `times` is what else the number is multiplied by before it becomes the size (a batch), or -1 for a number
    that counts from the end.
    """

    tags: Ids
    axis: int
    node: str
    argument: str
    index: int | None = None
    times: int = 1


class Tags:
    """Union-find over tags. The first reason given against a tag stays with it through every union."""

    def __init__(self) -> None:
        self.parents: Ids = np.zeros(0, dtype=np.int64)
        self.reasons: dict[int, str] = {}

    def new(self, count: int) -> Ids:
        """Tags of their own."""
        fresh = np.arange(len(self.parents), len(self.parents) + count)
        self.parents = np.concatenate([self.parents, fresh])
        return fresh

    def find(self, tags: Ids) -> Ids:
        """The representatives of tags."""
        roots = self.parents[tags]
        while not np.array_equal(above := self.parents[roots], roots):
            roots = above
        self.parents[tags] = roots
        return roots

    def join(self, one: Ids, other: Ids) -> None:
        """Make tags one, pair by pair; the arrays broadcast."""
        pairs = np.stack(np.broadcast_arrays(self.find(one), self.find(other))).reshape(2, -1)
        for pair in np.unique(pairs[:, pairs[0] != pairs[1]], axis=1).T:
            low, high = sorted(int(root) for root in self.find(pair))
            if low != high:
                self.parents[high] = low
                if reason := self.reasons.pop(high, ""):
                    self.reasons.setdefault(low, reason)

    def spoil(self, tags: Ids, reason: str) -> None:
        """State why these channels cannot be removed."""
        for root in np.unique(self.find(tags)):
            self.reasons.setdefault(int(root), reason)

    def line(self, tags: Ids, axis: int) -> Ids | None:
        """The representatives along one axis, None if they differ along others."""
        found = np.moveaxis(self.find(tags), axis, -1).reshape(-1, tags.shape[axis])
        return found[0] if (found == found[:1]).all() else None

    def settle(self, tags: Ids) -> None:
        """Make slices along one axis go together: the one the unions ask for, else the longest."""
        if all(self.line(tags, axis) is None for axis in range(tags.ndim)):
            lines = np.moveaxis(tags, int(np.argmax(tags.shape)), -1)
            self.join(lines, lines[(0,) * (tags.ndim - 1)])


class Walk:
    """What is known while the nodes are visited in order. `shapes` are those of some batch."""

    def __init__(self, document: GraphDocument, shapes: Mapping[tuple[str, int], Shape]) -> None:
        self.tags = Tags()
        self.shapes = shapes
        self.parameters = {p.id: p for p in document.parameters}
        self.nodes = {node.id: node for node in document.nodes}
        self.layouts: dict[tuple[str, int], Layout] = {}
        self.sides: dict[tuple[str, tuple[int, ...]], Ids] = {}
        self.roles: dict[tuple[str, tuple[int, ...]], Role] = {}
        self.held: set[tuple[str, int]] = set()  # dimensions of parameters that must stay as they are
        self.fixes: list[Fix] = []
        self.counts: set[tuple[str, str]] = set()  # (computed size, its user) that `fixes` account for
        self.heads: list[Ids] = []  # tags that attention tells apart
        self.lost: dict[str, str] = {}  # node -> the place where the channels that it reads got lost
        self.bound: set[str] = set()  # parameters that the current node's rule has accounted for

    def layout(self, value: Argument) -> Layout | None:
        """The layout of a value, None if it carries no channels of a layer."""
        return self.layouts.get((value.id, value.index)) if isinstance(value, Ref) else None

    def shape(self, value: Argument) -> Shape:
        """The shape of a value or parameter, () for a number."""
        if not isinstance(value, Ref):
            return ()
        if value.id in self.parameters:
            return self.parameters[value.id].shape
        return self.shapes.get((value.id, value.index), ())

    def parameter(self, value: Argument) -> str | None:
        """The identifier of a parameter, None for any other value."""
        return value.id if isinstance(value, Ref) and value.id in self.parameters else None

    def bind(self, node: Node, value: Argument, dims: tuple[int, ...], tags: Ids, role: Role) -> None:
        """Lay tags along dimensions of a parameter."""
        name = self.parameter(value)
        if name is None:
            if isinstance(value, Ref):
                self.tags.spoil(tags, f"the channels meet a computed parameter in {place(node)}")
            return
        self.bound.add(name)
        text = self.name(name)
        if tags.shape != tuple(self.parameters[name].shape[dim] for dim in dims):
            self.tags.spoil(tags, f"the channels do not fill {text}")
            return
        overlaps = any(other == name and set(dims) & set(at) and at != dims for other, at in self.sides)
        if overlaps or any((name, dim) in self.held for dim in dims):
            self.tags.spoil(tags, f"the channels share {text}, which {place(node)} uses otherwise")
        self.tags.join(self.sides.setdefault((name, dims), tags), tags)
        self.roles.setdefault((name, dims), role)

    def hold(self, node: Node | None, name: str, dim: int) -> None:
        """One dimension of a parameter must stay as it is; without a node, because of uses that no rule knows."""
        self.bound.add(name)
        self.held.add((name, dim))
        how = f"{place(node)} uses otherwise" if node else "is used in another way as well"
        for (other, dims), tags in self.sides.items():
            if other == name and dim in dims:
                self.tags.spoil(tags, f"the channels share {self.name(name)}, which {how}")

    def name(self, parameter: str) -> str:
        """A parameter's name for people."""
        return repr(self.parameters[parameter].name[:80])

    def refuse(self, node: Node, why: str) -> None:
        """The channels that `node` reads cannot be followed through it."""
        for ref in node.refs():
            if layout := self.layout(ref):
                self.tags.spoil(layout.tags, f"the channels go through {place(node)}, which {why}")
                self.lost[node.id] = place(node)

    def mix(self, node: Node, layout: Layout | None, dims: set[int], why: str) -> Layout | None:
        """`node` mixes all that stands along `dims`: what differs only there goes together.

        None, and refused, if the channels stand along nothing else.
        """
        if layout is None or not (mixed := dims & set(layout.dims)):
            return layout
        if mixed == set(layout.dims):
            self.refuse(node, why)
            return None
        found = layout.without(mixed)
        kept = tuple(0 if dim in mixed else slice(None) for dim in layout.dims)
        wide = np.expand_dims(layout.tags[kept], tuple(layout.axis(dim) for dim in sorted(mixed)))
        self.tags.join(layout.tags, wide)
        return found

    def slim(self, layout: Layout) -> Layout:
        """Without the dimensions along which the tags do not differ; one dimension stays."""
        for dim in reversed(layout.dims):
            found = self.tags.find(layout.tags)
            first = np.take(found, [0], axis=layout.axis(dim))
            if len(layout.dims) > 1 and (found == first).all():
                layout = layout.without({dim})
        return layout

    def carried(self, node: Node) -> Layout | None:
        """The layout of the value that `node` works on."""
        return self.layout(main(node))

    def rank(self, node: Node) -> int:
        """The number of dimensions of the value that `node` works on."""
        return len(self.shape(main(node)))


def main(node: Node) -> Argument:
    """The value that a node works on: its first tensor, by the names that the schemas use."""
    return node.args.get("self", node.args.get("input", node.args.get("query")))


def arranged(dims: Sequence[int], tags: Ids) -> Layout:
    """A layout from tags whose axes run along `dims` in any order."""
    order = sorted(range(len(dims)), key=lambda axis: dims[axis])
    return Layout(tuple(dims[axis] for axis in order), tags.transpose(order))


def numbers(value: Argument, rank: int) -> list[int]:
    """The dimensions that an argument lists, counted from the front."""
    listed = value if isinstance(value, tuple) else (value,)
    return [dim % rank for dim in listed if isinstance(dim, int)]

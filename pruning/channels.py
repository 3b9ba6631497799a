"""Channel bookkeeping for `groups`: spaces joined by union-find, layouts of values, and sides of parameters.

A space is a set of channels that must go together. A layout says which dimension of a value is made of which
spaces, and how often each channel repeats there (flattening a map of `h x w` repeats each `h*w` times).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pruning.calls import place
from pruning.intake.document import Argument, GraphDocument, Node, Ref
from pruning.layers import Cut, SizeFix

Shape = tuple[int, ...]
Role = Literal["producer", "consumer", "follower"]


@dataclass(frozen=True)
class Segment:
    """A run of `channels * repeat` indices that belongs to one space."""

    space: int
    channels: int
    repeat: int = 1

    @property
    def size(self) -> int:
        """Indices that it covers."""
        return self.channels * self.repeat


@dataclass(frozen=True)
class Layout:
    """What dimension `dim` of a value is made of."""

    dim: int
    segments: tuple[Segment, ...]

    @property
    def size(self) -> int:
        """Size of the dimension."""
        return sum(segment.size for segment in self.segments)


@dataclass
class Spaces:
    """Union-find over spaces. The first reason given against a space stays with it through every union."""

    parents: list[int] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)

    def new(self) -> int:
        """A space of its own."""
        self.parents.append(len(self.parents))
        return self.parents[-1]

    def find(self, space: int) -> int:
        """The representative of a space."""
        while self.parents[space] != space:
            self.parents[space] = self.parents[self.parents[space]]
            space = self.parents[space]
        return space

    def join(self, one: int, other: int) -> None:
        """Make two spaces one."""
        low, high = sorted((self.find(one), self.find(other)))
        if low != high:
            self.parents[high] = low
            if reason := self.reasons.pop(high, ""):
                self.reasons.setdefault(low, reason)

    def spoil(self, segments: Sequence[Segment], reason: str) -> None:
        """State why these channels cannot be removed."""
        for segment in segments:
            self.reasons.setdefault(self.find(segment.space), reason)

    def match(self, one: Sequence[Segment], other: Sequence[Segment], reason: str) -> None:
        """Two layouts of one dimension: join them run by run, or spoil both if their runs differ."""
        if [(s.channels, s.repeat) for s in one] != [(s.channels, s.repeat) for s in other]:
            self.spoil([*one, *other], reason)
            return
        for a, b in zip(one, other, strict=True):
            self.join(a.space, b.space)


class Walk:
    """What is known while the nodes are visited in order. `shapes` are those of some batch."""

    def __init__(self, document: GraphDocument, shapes: Mapping[tuple[str, int], Shape]) -> None:
        self.spaces = Spaces()
        self.shapes = shapes
        self.parameters = {p.id: p for p in document.parameters}
        self.layouts: dict[tuple[str, int], Layout] = {}
        self.sides: dict[tuple[str, int], tuple[Segment, ...]] = {}  # () for one that must stay as it is
        self.roles: dict[tuple[str, int], Role] = {}
        self.fixes: list[tuple[int, SizeFix]] = []
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

    def bind(self, node: Node, value: Argument, dim: int, segments: Sequence[Segment], role: Role) -> None:
        """Lay `segments` along `dim` of a parameter; with none, that side of it must stay as it is."""
        name = self.parameter(value)
        if name is None:
            if isinstance(value, Ref):
                self.spaces.spoil(segments, f"the channels meet a computed parameter in {place(node)}")
            return
        self.bound.add(name)
        known = self.sides.setdefault((name, dim), tuple(segments))
        self.roles.setdefault((name, dim), role)
        text = f"the channels share {self.parameters[name].name[:80]!r}, which {place(node)} uses otherwise"
        self.spaces.match(known, segments, text)
        if segments and sum(s.size for s in segments) != self.parameters[name].shape[dim]:
            self.spaces.spoil(segments, f"the channels do not fill {self.parameters[name].name[:80]!r}")

    def fix(self, layout: Layout, node: str, argument: str, index: int | None) -> None:
        """Note a size in a node's arguments that counts the channels of `layout`."""
        for s in layout.segments:
            self.fixes.append((s.space, SizeFix(node=node, argument=argument, index=index, repeat=s.repeat)))

    def refuse(self, node: Node, why: str) -> None:
        """The channels that `node` reads cannot be followed through it."""
        for ref in node.refs():
            if layout := self.layout(ref):
                self.spaces.spoil(layout.segments, f"the channels go through {place(node)}, which {why}")
                self.lost[node.id] = place(node)

    def carried(self, node: Node) -> Layout | None:
        """The layout of the value that `node` works on."""
        return self.layout(main(node))

    def rank(self, node: Node) -> int:
        """The number of dimensions of the value that `node` works on."""
        return len(self.shape(main(node)))

    def cuts(self, space: int) -> tuple[Cut, ...]:
        """Where the channels of a space live in the parameters."""
        found = []
        for (name, dim), segments in self.sides.items():
            offset = 0
            for s in segments:
                if self.spaces.find(s.space) == space:
                    role = self.roles[name, dim]
                    found.append(Cut(parameter=name, dim=dim, role=role, repeat=s.repeat, offset=offset))
                offset += s.size
        return tuple(found)


def main(node: Node) -> Argument:
    """The value that a node works on: its first tensor, by the names that the schemas use."""
    return node.args.get("self", node.args.get("input"))

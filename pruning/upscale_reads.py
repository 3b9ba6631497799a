"""Where in a graph each reader's channels are picked: as early as a value is that reader's alone.

Behind a concatenation, a norm and an activation that only one layer reads, the picking moves before them: the
parts of a concatenation are copied in any case, so picking from them costs nothing where it is a run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pruning.channel_table import PASSING
from pruning.channels import Walk, main, numbers
from pruning.intake.document import GraphDocument, Node, Ref


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One use of a value: `argument[index]` of `node` is `value`, the reader's channels from `start` to `end`."""

    node: str
    argument: str
    index: int | None
    value: Ref
    dim: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A call of a layer: where it picks its channels, and which parameters on the way are its alone.

    `own` has the channels' start and end for each parameter.
    """

    node: str
    weight: str
    side: int  # the weight's dimension that reads
    edges: tuple[Edge, ...]
    own: Mapping[str, tuple[int, int]]


class Finder:
    """Finds readers in a graph whose channels have been followed. `whole` are runs that must not be parted."""

    def __init__(self, document: GraphDocument, walk: Walk, whole: Mapping[tuple[str, int], Sequence[tuple[int, int]]]):
        self.walk = walk
        self.whole = whole
        self.uses: dict[tuple[str, int], int] = {}
        for ref in [*(ref for node in document.nodes for ref in node.refs()), *document.outputs]:
            self.uses[ref.id, ref.index] = self.uses.get((ref.id, ref.index), 0) + 1

    def reader(self, node: Node, side: int) -> Reader | None:
        """How a layer's call reads; None if its channels are not known."""
        value, weight = node.args["input"], node.args["weight"]
        layout = self.walk.layout(value)
        if layout is None or not isinstance(value, Ref) or not isinstance(weight, Ref) or len(layout.dims) > 1:
            return None
        own: dict[str, tuple[int, int]] = {}
        edge = Edge(
            node=node.id, argument="input", index=None, value=value, dim=layout.dims[0], start=0, end=layout.size
        )
        cuts = self.whole.get((weight.id, side), ())
        return Reader(node=node.id, weight=weight.id, side=side, edges=tuple(self._up(edge, own, cuts)), own=own)

    def _up(self, edge: Edge, own: dict[str, tuple[int, int]], cuts: Sequence[tuple[int, int]]) -> Iterator[Edge]:
        """The edge itself, or those before the node that makes its value."""
        maker = self.walk.nodes.get(edge.value.id)
        if maker is None or self.uses[edge.value.id, edge.value.index] > 1:
            yield edge
        elif maker.op in PASSING and self._same(maker, edge.value):
            parameters = [ref for ref in maker.refs() if self.walk.parameter(ref)]
            if any(self.uses[ref.id, 0] > 1 or ref.id in own for ref in parameters):
                yield edge
                return
            own.update({ref.id: (edge.start, edge.end) for ref in parameters})
            argument, value = ("self" if "self" in maker.args else "input"), main(maker)
            assert isinstance(value, Ref)
            earlier = replace(edge, node=maker.id, argument=argument, index=None, value=value)
            yield from self._up(earlier, own, cuts)
        elif maker.op == "aten.cat.default":
            parts = list(self._parts(edge, maker))
            inner = [part.start for part in parts[1:]]
            if parts and not any(start < place < end for start, end in cuts for place in inner):
                for part in parts:
                    yield from self._up(part, own, cuts)
            else:
                yield edge
        else:
            yield edge

    def _same(self, maker: Node, value: Ref) -> bool:
        """Whether a node's result carries just what it reads."""
        before, after = self.walk.carried(maker), self.walk.layout(value)
        if before is None or after is None or before.dims != after.dims:
            return False
        return np.array_equal(self.walk.tags.find(before.tags), self.walk.tags.find(after.tags))

    def _parts(self, edge: Edge, maker: Node) -> Iterator[Edge]:
        """The parts of a concatenation along the channels."""
        given, start = maker.args["tensors"], edge.start
        values = [value for value in given if isinstance(value, Ref)] if isinstance(given, tuple) else []
        if numbers(maker.args.get("dim", 0), len(self.walk.shape(edge.value))) != [edge.dim]:
            return
        for index, value in enumerate(values):
            end = start + self.walk.shape(value)[edge.dim]
            yield replace(edge, node=maker.id, argument="tensors", index=index, value=value, start=start, end=end)
            start = end

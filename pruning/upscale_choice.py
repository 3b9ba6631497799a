"""Which channels each layer reads, in which order the producers make them, and what reading then costs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pruning.errors import GroupError
from pruning.graphnet import GraphNet
from pruning.intake.document import Ref
from pruning.layers import Cut, LayerSpec, ModelSpec
from pruning.trace import follow_channels
from pruning.upscale_order import Wanted, order
from pruning.upscale_reads import Edge, Finder, Reader

Side = tuple[str, int]  # a parameter and one of its dimensions
Orders = Mapping[str, Sequence[int]]  # the channels that a group keeps, in their new order, by its name


@dataclass(frozen=True, kw_only=True)
class Read:
    """How a layer gets some of its inputs: all there are, a run of them (a view), or scattered ones (a copy)."""

    layer: str
    kind: Literal["whole", "view", "copy"]
    channels: int


class Choice:
    """The inputs that layers keep, by name, laid over the graph.

    Raises:
        GroupError: a layer that is unknown or cannot choose its inputs, or indices that are none of them.
    """

    def __init__(self, net: GraphNet, spec: ModelSpec, inputs: Mapping[str, Sequence[int]]) -> None:
        self.sizes = {entry.id: entry.shape for entry in net.document.parameters}
        self.groups = {group.name: group for group in spec.groups if group.removable}
        self.sides: dict[Side, list[tuple[Cut, str]]] = {}
        for group in self.groups.values():
            for cut in group.cuts:
                self.sides.setdefault((cut.parameter, cut.dim), []).append((cut, group.name))
        layers = {layer.name: layer for layer in spec.layers}
        self.kept = {_side(layers, name): _kept(layers[name], found) for name, found in inputs.items()}
        self.names = {layer.parameter: layer.name for layer in spec.layers}
        self.readers = tuple(self._readers(net))
        self.own: dict[str, tuple[Side, tuple[int, int]]] = {}
        for reader in self.readers:
            for name, ends in reader.own.items():
                self.own[name] = ((reader.weight, reader.side), ends)

    def _readers(self, net: GraphNet) -> Iterator[Reader]:
        whole = {
            side: [(cut.offset, cut.offset + self.groups[group].channels * cut.repeat) for cut, group in cuts]
            for side, cuts in self.sides.items()
        }
        finder = Finder(net.document, follow_channels(net), whole)
        chosen = dict(self.kept.keys())  # the dimension that reads, by weight
        for node in net.document.nodes:
            weight = node.args.get("weight")
            if not isinstance(weight, Ref) or weight.id not in chosen:
                continue
            reader = finder.reader(node, chosen[weight.id])
            if reader is None:
                name = self.names[weight.id]
                raise GroupError(f"layer {name!r} reads values that no prunable layer makes: all of them go in")
            yield reader

    def wanted(self) -> dict[str, list[Wanted]]:
        """What each reader of a group wants of it."""
        found: dict[str, list[Wanted]] = {name: [] for name in self.groups}
        for side, cuts in self.sides.items():
            for cut, name in cuts:
                if cut.role == "consumer":
                    found[name].append(self._of(side, cut, self.groups[name].channels))
        return found

    def _of(self, side: Side, cut: Cut, channels: int) -> Wanted:
        kept = self.kept.get(side)
        if kept is None:
            return frozenset(range(channels))
        units = [range(cut.offset + c * cut.repeat, cut.offset + (c + 1) * cut.repeat) for c in range(channels)]
        if parted := [c for c, unit in enumerate(units) if 0 < len(kept & set(unit)) < len(unit)]:
            raise GroupError(
                f"layer {self.names[side[0]]!r} keeps only some of the {cut.repeat} inputs that channel {parted[0]} "
                f"makes ({units[parted[0]]}): keep all of them or none"
            )
        return frozenset(c for c, unit in enumerate(units) if kept >= set(unit))

    def orders(self) -> tuple[Orders, Orders]:
        """The producers' own order of what anybody wants, and one that needs fewer copies, or as many."""
        wanted = self.wanted()
        unions = {name: sorted(frozenset().union(*sets)) or [0] for name, sets in wanted.items()}
        plain: dict[str, Sequence[int]] = {
            name: kept if wanted[name] else range(self.groups[name].channels) for name, kept in unions.items()
        }
        best = dict(plain)
        for name, kept in plain.items():
            better = best | {name: order(kept, [channels for channels in wanted[name] if len(channels) < len(kept)])}
            if self.copies(better) <= self.copies(best):
                best = better
        return plain, best

    def copies(self, orders: Orders) -> int:
        """Reads that gather."""
        return sum(read.kind == "copy" for _, read, _ in self.reads(orders))

    def indices(self, side: Side, orders: Orders) -> list[int]:
        """The old indices of a parameter's dimension, in their new order."""
        name, dim = side
        found: list[int] = []
        place = 0
        for cut, group in sorted(self.sides.get(side, ()), key=lambda entry: entry[0].offset):
            found += range(place, cut.offset)
            for channel in orders[group]:
                found += range(cut.offset + channel * cut.repeat, cut.offset + (channel + 1) * cut.repeat)
            place = cut.offset + self.groups[group].channels * cut.repeat
        return [*found, *range(place, self.sizes[name][dim])]

    def remaining(self, side: Side, orders: Orders) -> list[int]:
        """`indices`, less what the only layer that reads them does not want."""
        found = self.indices(side, orders)
        if side in self.kept:
            return [index for index in found if index in self.kept[side]]
        if side[0] in self.own:
            reading, (start, _) = self.own[side[0]]
            return [index for index in found if start + index in self.kept[reading]]
        return found

    def reads(self, orders: Orders) -> Iterator[tuple[Edge, Read, list[int]]]:
        """Each place where channels are picked, and which of those that arrive there."""
        for reader in self.readers:
            side = (reader.weight, reader.side)
            line = self.indices(side, orders)
            for edge in reader.edges:
                arriving = [index for index in line if edge.start <= index < edge.end]
                places = [place for place, index in enumerate(arriving) if index in self.kept[side]]
                run = not places or places[-1] - places[0] + 1 == len(places)
                kind: Literal["whole", "view", "copy"] = "view" if run else "copy"
                if len(places) == len(arriving):
                    kind = "whole"
                yield edge, Read(layer=self.names[reader.weight], kind=kind, channels=len(places)), places


def _side(layers: Mapping[str, LayerSpec], name: str) -> Side:
    layer = layers.get(name)
    if layer is None:
        raise GroupError(f"{name[:80]!r} is no layer; the layers are {list(layers)[:8]}")
    if layer.groups > 1:
        raise GroupError(f"layer {name[:80]!r} is a grouped convolution, which reads its inputs in equal groups")
    return layer.parameter, layer.input_dim


def _kept(layer: LayerSpec, inputs: Sequence[int]) -> frozenset[int]:
    kept = frozenset(int(index) for index in inputs)
    if not kept or not kept <= set(range(layer.in_channels)):
        raise GroupError(
            f"layer {layer.name[:80]!r} must keep between 1 and {layer.in_channels} inputs, numbered from 0 to "
            f"{layer.in_channels - 1}, not {sorted(kept)[:8]}"
        )
    return kept

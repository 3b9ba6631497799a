"""What a layer costs by two sides: what is done to it, and how wide what it reads still is.

Shapes are kept as shifts, the channels that go: what several units take from one layer adds up.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from app.search.solve.coupled import TwoSided
from app.search.solve.values import Floats
from app.search.space.options import Space
from app.search.space.price import Remembered
from costmodels.base import CostModel
from costmodels.network import inside
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Channel, Dense, Pattern

Shift = tuple[int, int]  # input and output channels that go
_NOTHING: Shift = (0, 0)


@dataclass
class Tables:
    """The two-sided tables of layers, filled one at a time."""

    model: ModelSpec
    space: Space
    cost_model: CostModel
    estimated: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cost_model = Remembered(self.cost_model)
        self._home = {layer: number for number, unit in enumerate(self.space.units) for layer in unit.layers}
        self._families = [self.model.family_of(unit.layers[0]) for unit in self.space.units]

    def of(self, layer: LayerSpec, *, floor: bool) -> Iterator[TwoSided]:
        """The tables whose sum is the layer's price, or with `floor` never above it."""
        home = self._home[layer.name]
        readers = {n: levels for n in range(len(self.space.units)) if n != home and (levels := self._levels(n, layer))}
        states, writes = self._states(layer)
        hidden, ignored = self._grouped(layer)
        if hidden:
            return

        def price(pattern: Pattern, shift: Shift) -> float:
            now = layer.resized(layer.in_channels - shift[0], layer.out_channels - shift[1])
            found = self.cost_model.cost(layer, now, pattern).latency_ms
            return min(found, self.cost_model.cost(layer, now, Dense()).latency_ms) if ignored and floor else found

        main = max(readers, key=lambda n: max(shift[0] for shift in readers[n]), default=None)
        others = {n: levels for n, levels in readers.items() if n != main}
        if others:
            self.estimated[layer.name] = f"it reads what {len(readers)} units decide"
        reached = _sums(others.values()) if floor else {_NOTHING}
        columns = [_NOTHING] if main is None else readers[main]
        rows = [
            [min(price(pattern, _sum(own, column, other)) for other in reached) for column in columns]
            for pattern, own in states
        ]
        reads = None if main is None else shared(main)
        yield table(f"cost {layer.name}", rows, writes=writes, reads=reads)
        for number, levels in {} if floor else others.items():
            gained = [[price(Dense(), shift) - price(Dense(), _NOTHING) for shift in levels]]
            yield table(f"gain {layer.name} {number}", gained, reads=shared(number))

    def _states(self, layer: LayerSpec) -> tuple[list[tuple[Pattern, Shift]], str]:
        """What may be done to a layer, by width of the group that decides it, and that group."""
        number = self._home[layer.name]
        unit = self.space.units[number]
        apart = unit.combinable and len(unit.own(layer.name)) > 1
        indices = [*(unit.own(layer.name) if apart else [0]), *unit.joint]
        if not unit.combinable:
            indices = list(range(len(unit.options)))
        patterns = [unit.options[index].patterns.get(layer.name, Dense()) for index in indices]
        states = [(inside(pattern), self._shift(number, pattern, layer)) for pattern in patterns]
        return states, alone(number, layer.name) if apart else shared(number)

    def _levels(self, number: int, layer: LayerSpec) -> list[Shift]:
        """What a layer loses by width of a unit's group; nothing at all where the unit never touches it."""
        unit = self.space.units[number]
        indices = (0, *unit.joint) if unit.combinable else range(len(unit.options))
        patterns = [unit.options[index].patterns.get(unit.layers[0], Dense()) for index in indices]
        shifts = [self._shift(number, pattern, layer) for pattern in patterns]
        return shifts if any(shift != _NOTHING for shift in shifts) else []

    def _shift(self, number: int, pattern: Pattern, layer: LayerSpec) -> Shift:
        if not isinstance(pattern, Channel):
            return _NOTHING
        cuts = [group for group in self._families[number] if any(c.parameter == layer.parameter for c in group.cuts)]
        by_itself = replace(self.model, layers=(layer,), groups=tuple(cuts))
        now = by_itself.shrunk({group.name: pattern.kept(group.channels) for group in cuts})[0]
        return layer.in_channels - now.in_channels, layer.out_channels - now.out_channels

    def _grouped(self, layer: LayerSpec) -> tuple[bool, bool]:
        """Whether a slower layer hides this one, as far as the dense model says; and whether its zeros may not count.

        What runs beside each other costs at least what the layer costs that is the slowest when dense.
        """
        hidden, ignored = False, False
        for group in self.cost_model.groups:
            if layer.name not in group.layers:
                continue
            members = [self.model.layer(name) for name in group.layers]
            self.estimated[layer.name] = (
                "its price depends on other layers" if len(members) > 1 else "its zeros count late"
            )
            ignored |= group.rule == "cluster_threshold"
            if group.rule == "parallel_max":
                slowest = max(members, key=lambda one: self.cost_model.cost(one, one, Dense()).latency_ms)
                hidden |= slowest.name != layer.name
        return hidden, ignored


def shared(unit: int) -> str:
    """The group of a unit."""
    return f"unit {unit}"


def alone(unit: int, layer: str) -> str:
    """The group of one layer of a unit."""
    return f"unit {unit}: {layer}"


def table(
    name: str, costs: Sequence[Sequence[float]] | Floats, *, writes: str | None = None, reads: str | None = None
) -> TwoSided:
    """A layer of one resource that loses nothing itself."""
    found = np.array(costs, dtype=np.float64)[None]
    return TwoSided(name=name, costs=found, errors=np.zeros((1, 1)), reads=reads, writes=writes)


def _sums(sides: Iterable[Sequence[Shift]]) -> set[Shift]:
    """All that several units can take away together."""
    reached = {_NOTHING}
    for levels in sides:
        reached = {_sum(before, level) for before in reached for level in set(levels)}
    return reached


def _sum(*shifts: Shift) -> Shift:
    return sum(shift[0] for shift in shifts), sum(shift[1] for shift in shifts)

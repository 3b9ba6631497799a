"""From a space to coupled widths: a layer costs what its own option and the width of what it reads make it cost.

The additive table (`price`) books what a layer gains from losing inputs on whoever loses them; here it stays where it
is, in a table of two sides. A unit is a group, its options are the widths. Where the layers of a unit can be pruned
each in its own way, the group has the unit's channel options alone; such a layer has a group of its own, and a tie that
makes a disagreement dearer than any network. So every choice of the space is there, none is thinned.

Exact, with two kinds of exceptions, which `estimated` names: layers that read what several units decide (a concat),
and layers whose prices a device does not add up. For these `problem` has an estimate that is exact where one unit is
pruned and the others are dense, and `floor` has what no choice goes below: of all other sides the cheapest.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from app.search.branches import TIE, in_blocks
from app.search.options import Choice, Space
from app.search.price import Remembered
from app.search.solve.coupled import CoupledProblem, Group, TwoSided
from app.search.solve.values import Floats
from costmodels.base import CostModel
from costmodels.network import inside
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Channel, Dense, Pattern

Shift = tuple[int, int]  # input and output channels that go
_NOTHING: Shift = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Coupling:
    """A space on one device as coupled widths. `estimated` says why the price of a layer may be off, by layer."""

    space: Space
    problem: CoupledProblem
    floor: CoupledProblem
    estimated: Mapping[str, str]

    @property
    def exact(self) -> bool:
        """Whether `problem` has the network function's price for every choice; then `floor` is the same."""
        return not self.estimated

    def trusting(self, errors: Sequence[Floats]) -> "Coupling":
        """The same prices with another error table: per unit, `options` errors."""
        lost = _errors(self.space, errors)
        problem, floor = (
            replace(known, groups=[replace(group, errors=lost[group.name]) for group in known.groups])
            for known in (self.problem, self.floor)
        )
        return replace(self, problem=problem, floor=floor)

    def choices(self, widths: Mapping[str, int]) -> list[Choice]:
        """The choice of every unit that a width of every group stands for."""
        found: list[Choice] = []
        for number, unit in enumerate(self.space.units):
            width = widths[_shared(number)]
            if not unit.combinable or width:
                found.append((0, *unit.joint)[width] if unit.combinable else width)
                continue
            own = [unit.own(la)[widths[_alone(number, la)]] for la in unit.layers if len(unit.own(la)) > 1]
            found.append(tuple(index for index in own if index) or 0)
        return found

    def widths(self, choices: Sequence[Choice]) -> dict[str, int]:
        """The width of every group that stands for a choice of every unit."""
        found: dict[str, int] = {}
        for number, (unit, choice) in enumerate(zip(self.space.units, choices, strict=True)):
            chosen = {choice} if isinstance(choice, int) else {*choice} or {0}
            if not unit.combinable:
                found[_shared(number)] = max(chosen)
                continue
            level = next((width for width, index in enumerate((0, *unit.joint)) if width and index in chosen), 0)
            found[_shared(number)] = level
            for layer in unit.layers:
                own = unit.own(layer)
                if len(own) > 1:
                    alone = next((width for width, index in enumerate(own) if index and index in chosen), 0)
                    found[_alone(number, layer)] = len(own) - 1 + level if level else alone
        return found


def coupled(space: Space) -> bool:
    """Whether a channel option is in the space, so that prices of units hang together."""
    options = (option for unit in space.units for option in unit.options)
    return any(isinstance(pattern, Channel) for option in options for pattern in option.patterns.values())


def coupling(model: ModelSpec, space: Space, cost_model: CostModel, errors: Sequence[Floats]) -> Coupling:
    """The coupled problem of a space on one device.

    Args:
        model: what is pruned.
        space: its units and options.
        cost_model: the device.
        errors: per unit, `options` errors; those of own options of different layers add up.
    """
    tables = _Tables(model, space, cost_model)
    lost = _errors(space, errors)
    groups = [Group(name=name, widths=len(error), errors=error) for name, error in lost.items()]
    estimate, floor = ([one for layer in model.layers for one in tables.of(layer, floor=low)] for low in (False, True))
    most = sum(float(one.costs.max()) for one in estimate)
    ties = list(_ties(space, penalty=2.0 * most))
    fixed = (cost_model.overhead_ms,)
    problem, lowest = (
        in_blocks(CoupledProblem(groups=groups, layers=[*layers, *ties], fixed=fixed)) for layers in (estimate, floor)
    )
    return Coupling(
        space=space,
        problem=problem,
        floor=lowest if tables.estimated else problem,
        estimated=dict(tables.estimated),
    )


@dataclass
class _Tables:
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
        reads = None if main is None else _shared(main)
        yield _table(f"cost {layer.name}", rows, writes=writes, reads=reads)
        for number, levels in {} if floor else others.items():
            gained = [[price(Dense(), shift) - price(Dense(), _NOTHING) for shift in levels]]
            yield _table(f"gain {layer.name} {number}", gained, reads=_shared(number))

    def _states(self, layer: LayerSpec) -> tuple[list[tuple[Pattern, Shift]], str]:
        """What may be done to a layer, by width of the group that decides it, and that group."""
        number = self._home[layer.name]
        unit = self.space.units[number]
        alone = unit.combinable and len(unit.own(layer.name)) > 1
        indices = [*(unit.own(layer.name) if alone else [0]), *unit.joint]
        if not unit.combinable:
            indices = list(range(len(unit.options)))
        patterns = [unit.options[index].patterns.get(layer.name, Dense()) for index in indices]
        states = [(inside(pattern), self._shift(number, pattern, layer)) for pattern in patterns]
        return states, _alone(number, layer.name) if alone else _shared(number)

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
        alone = replace(self.model, layers=(layer,), groups=tuple(cuts))
        now = alone.shrunk({group.name: pattern.kept(group.channels) for group in cuts})[0]
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


def _errors(space: Space, errors: Sequence[Floats]) -> dict[str, Floats]:
    """What each width of each group loses."""
    found: dict[str, Floats] = {}
    for number, (unit, error) in enumerate(zip(space.units, errors, strict=True)):
        if not unit.combinable:
            found[_shared(number)] = np.asarray(error, dtype=np.float64)
            continue
        found[_shared(number)] = np.array([error[index] for index in (0, *unit.joint)], dtype=np.float64)
        for layer in unit.layers:
            own = unit.own(layer)
            if len(own) > 1:
                lost = [float(error[index] - error[0]) for index in own]
                found[_alone(number, layer)] = np.array([*lost, *[0.0] * len(unit.joint)])
    return found


def _ties(space: Space, penalty: float) -> Iterator[TwoSided]:
    """Tables that cost nothing where a layer's own group agrees with its unit's, else more than everything."""
    for number, unit in enumerate(space.units):
        for layer in unit.layers if unit.combinable else ():
            own, joint = len(unit.own(layer)), len(unit.joint)
            if own < 2:
                continue
            disagree = np.full((own + joint, 1 + joint), penalty)
            disagree[:own, 0] = 0.0
            disagree[own:, 1:][np.eye(joint, dtype=np.bool_)] = 0.0
            yield _table(f"{TIE}{layer}", disagree, writes=_alone(number, layer), reads=_shared(number))


def _table(
    name: str, costs: Sequence[Sequence[float]] | Floats, *, writes: str | None = None, reads: str | None = None
) -> TwoSided:
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


def _shared(unit: int) -> str:
    return f"unit {unit}"


def _alone(unit: int, layer: str) -> str:
    return f"unit {unit}: {layer}"

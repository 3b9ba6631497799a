"""From a space to coupled widths: a layer costs what its own option and the width of what it reads make it cost.

The additive table (`price`) books what a layer gains from losing inputs on whoever loses them; here it stays where it
is, in a table of two sides. A unit is a group, its options are the widths. Where the layers of a unit can be pruned
each in its own way, the group has the unit's channel options alone; such a layer has a group of its own, and a tie that
makes a disagreement dearer than any network. So every choice of the space is there, none is thinned.

Exact, with two kinds of exceptions, which `estimated` names: layers that read what several units decide (a concat),
and layers whose prices a device does not add up. For these `problem` has an estimate that is exact where one unit is
pruned and the others are dense, and `floor` has what no choice goes below: of all other sides the cheapest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.search.solve.coupled import CoupledProblem, Group, TwoSided
from app.search.solve.values import Floats
from app.search.space.branches import TIE, in_blocks
from app.search.space.options import Choice, Space
from app.search.space.two_sided import Tables, alone, shared, table
from costmodels.base import CostModel
from pruning.layers import ModelSpec
from pruning.patterns import Channel


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
            width = widths[shared(number)]
            if not unit.combinable or width:
                found.append((0, *unit.joint)[width] if unit.combinable else width)
                continue
            own = [unit.own(la)[widths[alone(number, la)]] for la in unit.layers if len(unit.own(la)) > 1]
            found.append(tuple(index for index in own if index) or 0)
        return found

    def widths(self, choices: Sequence[Choice]) -> dict[str, int]:
        """The width of every group that stands for a choice of every unit."""
        found: dict[str, int] = {}
        for number, (unit, choice) in enumerate(zip(self.space.units, choices, strict=True)):
            chosen = {choice} if isinstance(choice, int) else {*choice} or {0}
            if not unit.combinable:
                found[shared(number)] = max(chosen)
                continue
            level = next((width for width, index in enumerate((0, *unit.joint)) if width and index in chosen), 0)
            found[shared(number)] = level
            for layer in unit.layers:
                own = unit.own(layer)
                if len(own) > 1:
                    apart = next((width for width, index in enumerate(own) if index and index in chosen), 0)
                    found[alone(number, layer)] = len(own) - 1 + level if level else apart
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
    tables = Tables(model, space, cost_model)
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


def _errors(space: Space, errors: Sequence[Floats]) -> dict[str, Floats]:
    """What each width of each group loses."""
    found: dict[str, Floats] = {}
    for number, (unit, error) in enumerate(zip(space.units, errors, strict=True)):
        if not unit.combinable:
            found[shared(number)] = np.asarray(error, dtype=np.float64)
            continue
        found[shared(number)] = np.array([error[index] for index in (0, *unit.joint)], dtype=np.float64)
        for layer in unit.layers:
            own = unit.own(layer)
            if len(own) > 1:
                lost = [float(error[index] - error[0]) for index in own]
                found[alone(number, layer)] = np.array([*lost, *[0.0] * len(unit.joint)])
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
            yield table(f"{TIE}{layer}", disagree, writes=alone(number, layer), reads=shared(number))

"""From units to what the additive solver takes: for each unit a list of choices, each with its cost and its error.

A unit of one layer offers its options. A group with several producers offers its joint channel options and, if the
layers' own options can be combined, the front over all combinations, which the solver itself finds: so the outer
problem stays one choice a unit and stays exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.search.options import Choice, Space, Unit
from app.search.price import CostTable
from app.search.solve import Solutions, solve

Floats = npt.NDArray[np.float64]
_COMBINATIONS = 64  # of a group's own options; a front of more points than this is thinned evenly


@dataclass(frozen=True)
class Candidates:
    """The choices of every unit, with costs and errors, ready to be solved."""

    choices: tuple[tuple[Choice, ...], ...]
    costs: tuple[Floats, ...]
    errors: tuple[Floats, ...]

    def solve(self) -> Solutions:
        """The whole additive front."""
        return solve(self.costs, self.errors)

    def picked(self, row: Sequence[int] | npt.NDArray[np.intp]) -> list[Choice]:
        """The choices behind one solution."""
        return [options[index] for options, index in zip(self.choices, row, strict=True)]


def candidates(space: Space, costs: Sequence[Floats], errors: Sequence[Floats]) -> Candidates:
    """The choices of a space.

    Args:
        space: its units and options.
        costs: per unit, `options` costs; see `weighted`.
        errors: per unit, `options` errors; those of own options of different layers add up.
    """
    found = [_of_unit(*each) for each in zip(space.units, costs, errors, strict=True)]
    return Candidates(
        choices=tuple(choices for choices, _, _ in found),
        costs=tuple(cost for _, cost, _ in found),
        errors=tuple(error for _, _, error in found),
    )


def weighted(table: CostTable, weights: Mapping[str, float]) -> list[Floats]:
    """Per unit, `options` costs: the weighted sum over devices, named by their profiles."""
    vector = np.array([weights.get(profile, 0.0) for profile in table.profiles])
    return [unit_ms @ vector for unit_ms in table.units_ms]


def _of_unit(unit: Unit, cost: Floats, error: Floats) -> tuple[tuple[Choice, ...], Floats, Floats]:
    if not unit.combinable:
        return tuple(range(len(unit.options))), cost, error
    own = [np.array(unit.own(layer)) for layer in unit.layers]
    inner = solve([cost[o] - cost[0] for o in own], [error[o] - error[0] for o in own])
    rows = np.unique(np.linspace(0, len(inner) - 1, min(len(inner), _COMBINATIONS)).round().astype(int))
    combined: list[Choice] = []
    for row in inner.choices[rows]:
        taken = tuple(int(o[i]) for o, i in zip(own, row, strict=True) if o[i])
        combined.append(taken or 0)
    joint = list(unit.joint)
    costs = np.concatenate([inner.costs[rows] + cost[0], cost[joint]])
    errors = np.concatenate([inner.errors[rows] + error[0], error[joint]])
    return (*combined, *joint), costs, errors

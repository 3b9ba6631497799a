"""From units to what the additive solver takes: for each unit a list of choices, each with its cost and its error.

A unit of one layer offers its options. A group with several producers offers its joint channel options and, if the
layers' own options can be combined, the front over all combinations, which the solver itself finds: so the outer
problem stays one choice a unit. A front of many points is thinned; its supported points always stay, so the outer
supported points, and with them the bound's lines, are those of all combinations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.search.solve import Solutions, pareto_front_2d, solve
from app.search.solve.bound import Bound, bound_of, floor_of
from app.search.space.options import Choice, Space, Unit
from app.search.space.price import CostTable

Floats = npt.NDArray[np.float64]
_COMBINATIONS = 64  # of a group's own options; of a front of more points, beside the supported ones, this many stay


@dataclass(frozen=True)
class Candidates:
    """The choices of every unit, with costs and errors, ready to be solved."""

    choices: tuple[tuple[Choice, ...], ...]
    costs: tuple[Floats, ...]
    errors: tuple[Floats, ...]
    coarse: tuple[tuple[Floats, Floats], ...]  # as costs and errors, with nothing thinned: no choice is below these

    def solve(self) -> Solutions:
        """The whole additive front."""
        return solve(self.costs, self.errors)

    def bound(self, fixed: float = 0.0) -> Bound:
        """What no plan is predicted to beat; `fixed` is what every plan costs besides."""
        coarse = tuple(zip(*self.coarse, strict=True))
        whole = all(loose is cost for (loose, _), cost in zip(self.coarse, self.costs, strict=True))
        return bound_of(self.costs, self.errors, fixed=fixed, coarse=None if whole else (coarse[0], coarse[1]))

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
        choices=tuple(choices for choices, *_ in found),
        costs=tuple(cost for _, cost, *_ in found),
        errors=tuple(error for _, _, error, _ in found),
        coarse=tuple(coarse for *_, coarse in found),
    )


def weighted(table: CostTable, weights: Mapping[str, float]) -> list[Floats]:
    """Per unit, `options` costs: the weighted sum over devices, named by their profiles."""
    vector = np.array([weights.get(profile, 0.0) for profile in table.profiles])
    return [unit_ms @ vector for unit_ms in table.units_ms]


def _of_unit(
    unit: Unit, cost: Floats, error: Floats
) -> tuple[tuple[Choice, ...], Floats, Floats, tuple[Floats, Floats]]:
    if not unit.combinable:
        return tuple(range(len(unit.options))), cost, error, (cost, error)
    own = [np.array(unit.own(layer)) for layer in unit.layers]
    tables = [cost[o] - cost[0] for o in own], [error[o] - error[0] for o in own]
    rows = _thinned(solve(*tables), solve(*tables, buckets=0))
    combined: list[Choice] = []
    for row in rows.choices:
        taken = tuple(int(o[i]) for o, i in zip(own, row, strict=True) if o[i])
        combined.append(taken or 0)
    joint = list(unit.joint)
    low_costs, low_errors = floor_of(*tables)
    return (
        (*combined, *joint),
        np.concatenate([rows.costs + cost[0], cost[joint]]),
        np.concatenate([rows.errors + error[0], error[joint]]),
        (np.concatenate([low_costs + cost[0], cost[joint]]), np.concatenate([low_errors + error[0], error[joint]])),
    )


def _thinned(front: Solutions, supported: Solutions) -> Solutions:
    """The supported points, and evenly taken others, cheapest first."""
    taken = np.unique(np.linspace(0, len(front) - 1, min(len(front), _COMBINATIONS)).round().astype(int))
    choices = np.concatenate([supported.choices, front.choices[taken]])
    costs = np.concatenate([supported.costs, front.costs[taken]])
    errors = np.concatenate([supported.errors, front.errors[taken]])
    kept = pareto_front_2d(costs, errors)
    return Solutions(choices=choices[kept], costs=costs[kept], errors=errors[kept])

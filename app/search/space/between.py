"""Plans between the fronts of several devices: each front is good for its own device alone, limits bind on all.

The plan of least error within all limits, on latency and on what else is taken, is found by an exact integer program on
additive prices: one choice a unit, or one a layer where own options of several layers combine. Where its exact price
breaks a limit, for the sums promised too little, that limit is lowered by as much, and it is solved again.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from app.search.solve.resources import solve_resources
from app.search.solve.values import Indices, SolveError, Unreachable
from app.search.space.candidates import weighted
from app.search.space.options import Choice, Space
from app.search.space.price import CostTable, Floats
from app.search.space.resources import Key, Resources
from app.search.trial import TrialCost

_SLACK = 1e-9  # of a limit: sums of floats in another order
_REPAIRS = 8  # of limits, and plans offered, in all
_STEP = 1e-6  # of a price, by which the next plan must be cheaper


@dataclass(frozen=True, kw_only=True)
class Additive:
    """The prices of a space as sums over units, under limits: latency from the cost table, further resources beside it.

    `limits` are by (profile, resource); at least one.
    """

    space: Space
    table: CostTable
    resources: Resources
    limits: Mapping[Key, float]

    @property
    def keys(self) -> list[Key]:
        """Of the limits: latency in the table's order, then the others in theirs."""
        timed: list[Key] = [(profile, "latency_ms") for profile in self.table.profiles]
        return [key for key in timed if key in self.limits] + [key for key in self.limits if key[1] != "latency_ms"]

    def shares(self) -> list[Floats]:
        """Per unit, what its `options` take of all limits together, each limit counting 1."""
        timed = {profile: 1.0 / most for (profile, resource), most in self.limits.items() if resource == "latency_ms"}
        found = weighted(self.table, timed)
        for key, column in self._further().items():
            found = [sums + unit / self.limits[key] for sums, unit in zip(found, column, strict=True)]
        return found

    def columns(self) -> list[Floats]:
        """Per unit, what its options take: `options x keys`."""
        timed = [self.table.profiles.index(profile) for profile, resource in self.keys if resource == "latency_ms"]
        further = self._further().values()
        return [
            np.column_stack([unit_ms[:, timed], *(column[unit] for column in further)])
            for unit, unit_ms in enumerate(self.table.units_ms)
        ]

    @property
    def fixed(self) -> list[float]:
        """What every plan takes, by key: a device's overhead is time alone."""
        overhead = dict(zip(self.table.profiles, self.table.overhead_ms.tolist(), strict=True))
        return [overhead[profile] if resource == "latency_ms" else 0.0 for profile, resource in self.keys]

    def _further(self) -> dict[Key, list[Floats]]:
        return {
            key: _finite(self.resources.column(key), most)
            for key, most in self.limits.items()
            if key[1] != "latency_ms"
        }


def within(
    prices: Additive, errors: Sequence[Floats], exact: Callable[[Sequence[Choice]], Sequence[TrialCost]]
) -> Iterator[list[Choice]]:
    """Choices that keep every limit at their exact prices, from the least error up; each cheaper than the one before.

    Args:
        prices: of the space, and the limits.
        errors: per unit, `options`.
        exact: the exact prices of choices.
    """
    keys = prices.keys
    parts, apart = list(_parts(prices.space)), _apart(prices.space)
    costs, part_errors = _costs(prices, parts, apart), [part.of(errors[part.unit]) for part in parts]
    fixed, ends = [*prices.fixed, *[0.0] * len(apart)], list(apart.values())
    asked = np.array([prices.limits[key] for key in keys])
    most = asked.copy()
    for _ in range(_REPAIRS):
        try:
            solution = solve_resources(costs, part_errors, [*most.tolist(), *ends], fixed=fixed)
        except SolveError as refusal:
            if isinstance(refusal, Unreachable) or refusal.code == "solve_unfinished":
                return
            raise
        choices, taken = _picked(prices.space, parts, solution.choices), solution.costs[: len(keys)]
        over = _amounts(exact(choices), keys) / asked
        if np.all(over <= 1 + _SLACK):
            yield choices
            most = np.minimum(most, taken) * (1 - _STEP)
        else:
            most = np.where(over > 1.0, most / over * (1 - _STEP), most)
            most = np.where(np.isnan(over), np.minimum(most, taken) * (1 - _STEP), most)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What is chosen by itself: a unit, or one layer of a unit whose layers' own options can be combined.

    The first part of such a unit also has its joint options, and takes what the unit takes when it is dense.
    """

    unit: int
    options: tuple[int, ...]
    first: bool = True

    def of(self, table: Floats) -> Floats:
        """What its options add, of a table by option of its unit."""
        found: Floats = table[list(self.options)]
        return found if self.first else found - table[0]


def _parts(space: Space) -> Iterator[_Part]:
    for number, unit in enumerate(space.units):
        if not unit.combinable:
            yield _Part(unit=number, options=tuple(range(len(unit.options))))
            continue
        for place, layer in enumerate(unit.layers):
            joint = () if place else unit.joint
            yield _Part(unit=number, options=(*unit.own(layer), *joint), first=not place)


def _apart(space: Space) -> dict[int, float]:
    """Of units where a joint option, which counts as all other parts, must stand alone: how much their parts may count.

    A limit half way between what is allowed and one more, so that no rounding decides.
    """
    found = {number: unit for number, unit in enumerate(space.units) if unit.combinable and unit.joint}
    return {number: len(unit.layers) - 0.5 for number, unit in found.items()}


def _costs(prices: Additive, parts: Sequence[_Part], apart: Collection[int]) -> list[Floats]:
    """Per part, `options x (keys, then units whose joint options stand alone)`."""
    columns = prices.columns()
    return [
        np.column_stack([part.of(columns[part.unit]), *(_counts(prices.space, part, number) for number in apart)])
        for part in parts
    ]


def _counts(space: Space, part: _Part, number: int) -> list[int]:
    """By option of a part, how much it counts of what keeps the joint options of that unit alone."""
    unit = space.units[number]
    if part.unit != number:
        return [0] * len(part.options)
    if part.first:
        return [len(unit.layers) - 1 if option in unit.joint else 0 for option in part.options]
    return [int(option > 0) for option in part.options]


def _picked(space: Space, parts: Sequence[_Part], row: Indices) -> list[Choice]:
    """The choices behind one solution."""
    taken: list[list[int]] = [[] for _ in space.units]
    for part, index in zip(parts, row, strict=True):
        if option := part.options[index]:
            taken[part.unit].append(option)
    return [tuple(options) if len(options) > 1 else options[0] if options else 0 for options in taken]


def _amounts(costs: Sequence[TrialCost], keys: Sequence[Key]) -> Floats:
    """What a plan takes, by key; NaN where it is not known, as of shapes that a profile has no figure for."""
    by_profile = {cost.profile: cost for cost in costs}
    found = [getattr(by_profile[profile], resource) for profile, resource in keys]
    return np.array([nan if amount is None else amount for amount in found])


def _finite(column: Sequence[Floats], most: float) -> list[Floats]:
    """With so much in place of what is not known that it breaks the limit, whatever else is taken."""
    above = 2.0 * (most + sum(float(np.nanmax(np.abs(unit))) for unit in column))
    return [np.where(np.isnan(unit), above, unit) for unit in column]

"""Plans between the fronts of several devices: each front is good for its own device alone, limits bind on all.

The plan of least error within all limits, on latency and on what else is taken, is found by an exact integer program on
additive prices. Where its exact price breaks a limit, for the sums promised too little, that limit is lowered by as
much, and it is solved again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from app.search.candidates import candidates, weighted
from app.search.options import Choice, Space
from app.search.price import CostTable, Floats
from app.search.resources import Key, Resources, chosen
from app.search.solve.resources import solve_resources
from app.search.solve.values import SolveError, Unreachable
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

    def costs(self, choices: Sequence[Sequence[Choice]]) -> list[Floats]:
        """Per unit, what its choices take: `choices x keys`."""
        timed = [self.table.profiles.index(profile) for profile, resource in self.keys if resource == "latency_ms"]
        further = self._further().values()
        found = []
        for unit, offered in enumerate(choices):
            latencies_ms = np.array([self.table.choice_ms(unit, choice)[timed] for choice in offered])
            others = [[chosen(column[unit], choice) for choice in offered] for column in further]
            found.append(np.column_stack([latencies_ms, *others]) if others else latencies_ms)
        return found

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
    found = candidates(prices.space, prices.shares(), errors)
    costs, fixed = prices.costs(found.choices), prices.fixed
    names = [profile if resource == "latency_ms" else f"{profile} {resource}" for profile, resource in keys]
    asked = np.array([prices.limits[key] for key in keys])
    most = asked.copy()
    for _ in range(_REPAIRS):
        try:
            solution = solve_resources(costs, found.errors, most.tolist(), fixed=fixed, names=names)
        except SolveError as refusal:
            if isinstance(refusal, Unreachable) or refusal.code == "solve_unfinished":
                return
            raise
        choices = found.picked(solution.choices)
        over = _amounts(exact(choices), keys) / asked
        if np.all(over <= 1 + _SLACK):
            yield choices
            most = np.minimum(most, solution.costs) * (1 - _STEP)
        else:
            most = np.where(over > 1.0, most / over * (1 - _STEP), most)
            most = np.where(np.isnan(over), np.minimum(most, solution.costs) * (1 - _STEP), most)


def _amounts(costs: Sequence[TrialCost], keys: Sequence[Key]) -> Floats:
    """What a plan takes, by key; NaN where it is not known, as of shapes that a profile has no figure for."""
    by_profile = {cost.profile: cost for cost in costs}
    found = [getattr(by_profile[profile], resource) for profile, resource in keys]
    return np.array([nan if amount is None else amount for amount in found])


def _finite(column: Sequence[Floats], most: float) -> list[Floats]:
    """With so much in place of what is not known that it breaks the limit, whatever else is taken."""
    above = 2.0 * (most + sum(float(np.nanmax(np.abs(unit))) for unit in column))
    return [np.where(np.isnan(unit), above, unit) for unit in column]

"""Plans between the fronts of several devices: each front is good for its own device alone, limits bind on all.

The plan of least error within all limits is found by an exact integer program on additive prices. Where its exact price
breaks a limit, for the sums promised too little, that limit is lowered by as much, and it is solved again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from app.search.candidates import candidates, weighted
from app.search.options import Choice, Space
from app.search.price import CostTable, Floats
from app.search.solve.resources import solve_resources
from app.search.solve.values import SolveError, Unreachable

_SLACK = 1e-9  # of a limit: sums of floats in another order
_REPAIRS = 8  # of limits, and plans offered, in all
_STEP = 1e-6  # of a price, by which the next plan must be cheaper


def within(
    space: Space,
    table: CostTable,
    errors: Sequence[Floats],
    limits_ms: Mapping[str, float],
    exact_ms: Callable[[Sequence[Choice]], Mapping[str, float]],
) -> Iterator[list[Choice]]:
    """Choices that keep every limit at their exact prices, from the least error up; each cheaper than the one before.

    Args:
        space: of the search.
        table: its additive prices.
        errors: per unit, `options`.
        limits_ms: by profile; at least one.
        exact_ms: the exact prices of choices, by profile.
    """
    names = [name for name in table.profiles if name in limits_ms]
    columns = [table.profiles.index(name) for name in names]
    found = candidates(space, weighted(table, {name: 1.0 / limits_ms[name] for name in names}), errors)
    costs = [
        np.array([table.choice_ms(unit, choice)[columns] for choice in choices])
        for unit, choices in enumerate(found.choices)
    ]
    fixed_ms = table.overhead_ms[columns].tolist()
    asked_ms = np.array([limits_ms[name] for name in names])
    most_ms = asked_ms.copy()
    for _ in range(_REPAIRS):
        try:
            solution = solve_resources(costs, found.errors, most_ms.tolist(), fixed=fixed_ms, names=names)
        except SolveError as refusal:
            if isinstance(refusal, Unreachable) or refusal.code == "solve_unfinished":
                return
            raise
        choices = found.picked(solution.choices)
        latency_ms = exact_ms(choices)
        over = np.array([latency_ms[name] for name in names]) / asked_ms
        if np.all(over <= 1 + _SLACK):
            yield choices
            most_ms = np.minimum(most_ms, solution.costs) * (1 - _STEP)
        else:
            most_ms = np.where(over > 1.0, most_ms / over * (1 - _STEP), most_ms)

"""Points that nothing else beats, of two objectives, and the front that found choices make. numpy only."""

from collections.abc import Sequence

import numpy as np

from app.search.solve.values import Floats, Indices, Solutions


def pareto_front_2d(costs: Floats, errors: Floats) -> Indices:
    """Indices of the non-dominated points in two dimensions, cheapest first, in O(n log n)."""
    order = np.lexsort((errors, costs))
    sinking = errors[order]
    before = np.concatenate([[np.inf], np.minimum.accumulate(sinking)[:-1]])
    return order[sinking < before]


def front_of(
    choices: Indices, costs: Sequence[Floats], errors: Sequence[Floats], *, fixed: float, exact: bool
) -> Solutions:
    """The front of rows of choices, with their true sums."""
    total_cost = sum((c[choices[:, unit]] for unit, c in enumerate(costs)), np.full(len(choices), fixed))
    total_error = sum((e[choices[:, unit]] for unit, e in enumerate(errors)), np.zeros(len(choices)))
    kept = pareto_front_2d(total_cost, total_error)
    return Solutions(choices=choices[kept], costs=total_cost[kept], errors=total_error[kept], exact=exact)

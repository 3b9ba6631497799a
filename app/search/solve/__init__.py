"""The additive problem, solved for every budget at once: one option a unit, least error at every cost.

Minimise sum e[unit, option] subject to sum c[unit, option] <= budget: a multiple-choice knapsack. Two exact pieces are
joined: all supported points (`hull`), and a dynamic program over the cost axis (`knapsack`) that fills in between.
Where costs are whole numbers of one grain, the program is exact and is the whole front; else it rounds costs up
relative to each unit's cheapest option, so that no budget is overshot, while the hull keeps the lowest reachable cost.

The rooms beside: `resources` (several limits at once), `coupled` (two-sided tables, shared widths, droppable blocks),
`diverse` (other choices nearly as good) and `bound` (what nothing goes below). Loading this package loads no scipy.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.search.solve.front import front_of, pareto_front_2d
from app.search.solve.hull import hull_walk
from app.search.solve.knapsack import Grid, knapsack
from app.search.solve.values import Floats, Indices, Solution, Solutions, SolveError, checked_pair

__all__ = ["Floats", "Indices", "Solution", "Solutions", "SolveError", "pareto_front_2d", "solve"]


def solve(
    costs: Sequence[npt.ArrayLike], errors: Sequence[npt.ArrayLike], *, buckets: int = 2000, fixed: float = 0.0
) -> Solutions:
    """The whole front of the additive problem.

    Args:
        costs: per unit, `options` costs in any unit of measure; they may be negative, and need not fall with error.
        errors: per unit, `options` errors.
        buckets: resolution of the dynamic program over the range of costs where they are not whole; 0 leaves the
            supported points alone.
        fixed: what every choice costs besides.

    Returns:
        Non-dominated choices, from the cheapest reachable to the least error.

    Raises:
        SolveError: no units, a unit without options, or a number that is not finite; names unit and option.
    """
    known_costs, known_errors = checked_pair(costs, errors)
    if buckets < 0 or not np.isfinite(fixed):
        raise SolveError.refused(f"expected buckets >= 0 and a finite fixed cost, got {buckets} and {fixed}")
    alive = [pareto_front_2d(c, e) for c, e in zip(known_costs, known_errors, strict=True)]
    thin_costs = [c[keep] for c, keep in zip(known_costs, alive, strict=True)]
    thin_errors = [e[keep] for e, keep in zip(known_errors, alive, strict=True)]
    grid = Grid.of(thin_costs, buckets) if buckets else None
    found = [] if grid is not None and grid.exact else [hull_walk(thin_costs, thin_errors)]
    if grid is not None:
        found.append(knapsack(grid, thin_errors).choices())
    thin = np.concatenate(found)
    choices = np.stack([keep[thin[:, unit]] for unit, keep in enumerate(alive)], axis=1)
    return front_of(choices, known_costs, known_errors, fixed=fixed, exact=grid is not None and grid.exact)

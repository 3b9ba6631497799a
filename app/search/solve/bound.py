"""What nothing in a space is predicted to beat: the least error at any cost, never above the true optimum.

The larger of two bounds, both on costs as they are. Straight lines between supported points are the linear relaxation
(`hull`); a dynamic program whose costs are rounded *down* sees every choice as no dearer than it is (`knapsack`). Where
the table's costs are whole numbers of one grain, the second is the true optimum itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.search.solve.front import pareto_front_2d
from app.search.solve.hull import hull_walk
from app.search.solve.knapsack import Grid, knapsack
from app.search.solve.values import Floats, Indices, SolveError, checked_pair

_SLACK = 1e-12  # of a cost: sums of floats in another order
_NEAR = 1e-6  # of a step: sums of floats fall short of whole steps
Tables = tuple[Sequence[npt.ArrayLike], Sequence[npt.ArrayLike]]


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The least error at every cost: lines through (`costs`, `errors`), and `steps` of `grain` from `base` up."""

    costs: Floats
    errors: Floats
    base: float
    grain: float
    steps: Floats
    exact: bool

    def at(self, cost: npt.ArrayLike) -> Floats:
        """The error that no choice of at most this cost goes below; infinite where nothing is as cheap."""
        room = np.asarray(cost, dtype=np.float64)
        slack = _SLACK * max(abs(self.costs[0]), abs(self.costs[-1]))
        step = np.clip((room + slack - self.base) / self.grain + _NEAR, 0, len(self.steps) - 1).astype(np.intp)
        lines = np.interp(room + slack, self.costs, self.errors)
        lower: Floats = self.steps[step] if self.exact else np.maximum(lines, self.steps[step])
        return np.where(room + slack < self.costs[0], np.inf, lower)


def bound_of(
    costs: Sequence[npt.ArrayLike],
    errors: Sequence[npt.ArrayLike],
    *,
    buckets: int = 2000,
    fixed: float = 0.0,
    coarse: Tables | None = None,
) -> Bound:
    """The bound of an additive problem.

    Args:
        costs: per unit, `options` costs.
        errors: per unit, `options` errors.
        buckets: resolution of the rounded-down program where costs are not whole.
        fixed: what every choice costs besides.
        coarse: costs and errors for the program, where a unit's list leaves out some of what it may choose: for every
            choice left out it has one no dearer and no worse. The list itself must have all that are supported.

    Raises:
        SolveError: tables that are none.
    """
    if buckets < 1 or not np.isfinite(fixed):
        raise SolveError.refused(f"expected buckets >= 1 and a finite fixed cost, got {buckets} and {fixed}")
    sharp_costs, sharp_errors = _useful(costs, errors)
    walked = hull_walk(sharp_costs, sharp_errors)
    step_costs, step_errors = (sharp_costs, sharp_errors) if coarse is None else _useful(*coarse)
    grid = Grid.of(step_costs, buckets, down=True)
    return Bound(
        costs=_sums(sharp_costs, walked) + fixed,
        errors=_sums(sharp_errors, walked),
        base=sum(float(cost[0]) for cost in step_costs) + fixed,
        grain=grid.grain,
        steps=knapsack(grid, step_errors).best,
        exact=grid.exact and coarse is None,
    )


def floor_of(
    costs: Sequence[npt.ArrayLike], errors: Sequence[npt.ArrayLike], *, buckets: int = 256
) -> tuple[Floats, Floats]:
    """Costs and errors of points such that every choice has one that is no dearer and no worse."""
    useful_costs, useful_errors = _useful(costs, errors)
    grid = Grid.of(useful_costs, buckets, down=True)
    best = knapsack(grid, useful_errors).best
    falls = np.nonzero(np.diff(best, prepend=np.inf) < 0)[0]
    base = sum(float(cost[0]) for cost in useful_costs)
    return (base + grid.grain * falls).astype(np.float64), best[falls]


def _useful(costs: Sequence[npt.ArrayLike], errors: Sequence[npt.ArrayLike]) -> tuple[list[Floats], list[Floats]]:
    """Each unit's own Pareto set, cheapest first."""
    known = list(zip(*checked_pair(costs, errors), strict=True))
    alive = [pareto_front_2d(c, e) for c, e in known]
    kept = list(zip(known, alive, strict=True))
    return [c[keep] for (c, _), keep in kept], [e[keep] for (_, e), keep in kept]


def _sums(tables: Sequence[Floats], choices: Indices) -> Floats:
    return sum((table[choices[:, unit]] for unit, table in enumerate(tables)), np.zeros(len(choices)))

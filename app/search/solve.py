"""The additive problem, solved for every budget at once: one option a unit, least error at every cost.

Minimise sum e[unit, option] subject to sum c[unit, option] <= budget: a multiple-choice knapsack. Two exact pieces are
joined. The lower convex hull of each unit, poured into one list sorted by error per cost, walks all *supported* points
in O(n log n) (Sinha and Zoltners 1979). A dynamic program over rounded costs fills in between; costs are rounded *up*,
so no budget is overshot, and relative to each unit's cheapest option, so the lowest reachable cost stays reachable. The
union of both, filtered, is returned. numpy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Solutions:
    """A front of choices: `choices[i, unit]` is an option index; costs ascend, errors descend."""

    choices: Indices
    costs: Floats
    errors: Floats

    def __len__(self) -> int:
        return len(self.costs)

    def cheapest_within(self, error: float) -> int | None:
        """Index of the cheapest solution with at most that error."""
        within = np.nonzero(self.errors <= error)[0]
        return int(within[0]) if len(within) else None

    def best_within(self, cost: float) -> int | None:
        """Index of the solution of least error that costs at most `cost`."""
        within = np.nonzero(self.costs <= cost)[0]
        return int(within[-1]) if len(within) else None


def solve(costs: Sequence[Floats], errors: Sequence[Floats], *, buckets: int = 2000) -> Solutions:
    """The whole front of the additive problem.

    Args:
        costs: per unit, `options` costs in any unit of measure; they may be negative.
        errors: per unit, `options` errors.
        buckets: resolution of the dynamic program over the range of costs; 0 leaves the hull alone.

    Returns:
        Non-dominated choices, from the cheapest reachable to the least error.
    """
    alive = [_useful(c, e) for c, e in zip(costs, errors, strict=True)]
    thin_costs = [c[keep] for c, keep in zip(costs, alive, strict=True)]
    thin_errors = [e[keep] for e, keep in zip(errors, alive, strict=True)]
    found = [_hull_walk(thin_costs, thin_errors)]
    if buckets:
        found.append(_knapsack(thin_costs, thin_errors, buckets))
    thin = np.concatenate(found)
    choices = np.stack([keep[thin[:, unit]] for unit, keep in enumerate(alive)], axis=1)
    return _filtered(choices, costs, errors)


def _useful(costs: Floats, errors: Floats) -> Indices:
    """A unit's own Pareto set, cheapest first."""
    return pareto_front_2d(costs, errors)


def _hull_walk(costs: Sequence[Floats], errors: Sequence[Floats]) -> Indices:
    """All supported points: start with every unit at its cheapest, buy the best error per cost first."""
    steps: list[tuple[float, int, int, int]] = []
    for unit, (c, e) in enumerate(zip(costs, errors, strict=True)):
        corners = _lower_hull(c.tolist(), e.tolist())
        for position, (here, there) in enumerate(pairwise(corners)):
            gain_per_cost = (e[here] - e[there]) / (c[there] - c[here])
            steps.append((-gain_per_cost, unit, position, there))
    current = np.zeros(len(costs), dtype=np.intp)
    walked = np.empty((len(steps) + 1, len(costs)), dtype=np.intp)
    walked[0] = current
    for row, (_, unit, _, there) in enumerate(sorted(steps), start=1):
        current[unit] = there
        walked[row] = current
    return walked


def _lower_hull(costs: Sequence[float], errors: Sequence[float]) -> list[int]:
    """Corners of the lower convex hull of a Pareto set given cheapest first."""
    corners: list[int] = []
    for index in range(len(costs)):
        while len(corners) >= 2:
            a, b = corners[-2], corners[-1]
            over_b = (errors[b] - errors[a]) * (costs[index] - costs[a])
            straight = (errors[index] - errors[a]) * (costs[b] - costs[a])
            if over_b < straight:
                break
            corners.pop()
        corners.append(index)
    return corners


def _knapsack(costs: Sequence[Floats], errors: Sequence[Floats], buckets: int) -> Indices:
    """Least error for every rounded-up budget, with the choices read back for every budget where it falls."""
    span = sum(float(c[-1] - c[0]) for c in costs)
    grain = span / buckets if span > 0 else 1.0
    best = np.zeros(buckets + 1)
    picked = np.zeros((len(costs), buckets + 1), dtype=np.int16)
    weights = [np.ceil((c - c[0]) / grain - 1e-9).astype(np.intp) for c in costs]
    for unit, (weight, error) in enumerate(zip(weights, errors, strict=True)):
        nearest = best + error[0]
        # of options that round to one weight the last has the least error; the others cannot be picked
        for option in np.nonzero(np.diff(weight, append=buckets + 1) > 0)[0].tolist():
            w = int(weight[option])
            if option == 0 or w > buckets:
                continue
            candidate = best[: buckets + 1 - w] + error[option]
            better = candidate < nearest[w:]
            nearest[w:][better] = candidate[better]
            picked[unit, w:][better] = option
        best = nearest
    budgets = np.nonzero(np.diff(best, prepend=np.inf) < 0)[0]
    choices = np.empty((len(budgets), len(costs)), dtype=np.intp)
    left = budgets.copy()
    for unit in range(len(costs) - 1, -1, -1):
        choices[:, unit] = picked[unit, left]
        left = left - weights[unit][choices[:, unit]]
    return choices


def _filtered(choices: Indices, costs: Sequence[Floats], errors: Sequence[Floats]) -> Solutions:
    total_cost = sum((c[choices[:, unit]] for unit, c in enumerate(costs)), np.zeros(len(choices)))
    total_error = sum((e[choices[:, unit]] for unit, e in enumerate(errors)), np.zeros(len(choices)))
    kept = pareto_front_2d(total_cost, total_error)
    return Solutions(choices=choices[kept], costs=total_cost[kept], errors=total_error[kept])


def pareto_front_2d(costs: Floats, errors: Floats) -> Indices:
    """Indices of the non-dominated points in two dimensions, cheapest first, in O(n log n)."""
    order = np.lexsort((errors, costs))
    sinking = errors[order]
    before = np.concatenate([[np.inf], np.minimum.accumulate(sinking)[:-1]])
    return order[sinking < before]

"""The multiple-choice knapsack by dynamic program over a whole cost axis: every budget's best choice in one pass.

best[b] = min over options of best[b - weight] + error (Dudzinski and Walukiewicz 1987), with weights on a grid of
costs relative to each unit's cheapest option. Where all costs are multiples of one grain and the grid is short enough,
weights are exact and so is the front. Else they are rounded *up*, so that no budget is overshot; or *down*, for a
program that no choice is below (`bound`). Memory: units x budgets x 2 bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt

from app.search.solve.values import Floats, Indices

_CELLS = 3e7  # options x budgets of an exact axis; some 50 ms
_BUDGETS = 2e6  # of an exact axis; 40 MB
_DIGITS = 9  # of a table in seconds that counts nanoseconds
_LONGEST = 1e12  # in steps; floats count no further reliably
_NEAR = 1e-6  # of a grain: closer to a whole number of them it is one


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Weights of Pareto options, cheapest first, so that the first of every unit weighs nothing."""

    weights: Sequence[Indices]
    grain: float  # cost of one step
    length: int  # of the axis, in steps
    exact: bool

    @classmethod
    def of(cls, costs: Sequence[Floats], buckets: int, *, down: bool = False) -> "Grid":
        """The exact grid where there is one that is short enough; else `buckets` steps over the span, rounded."""
        span = sum(float(c[-1] - c[0]) for c in costs)
        grain = whole_grain(costs)
        size = sum(len(c) for c in costs)
        if grain is not None and span / grain <= min(_BUDGETS, _CELLS / size):
            weights = [np.rint((c - c[0]) / grain).astype(np.intp) for c in costs]
            return cls(weights=weights, grain=grain, length=sum(int(w[-1]) for w in weights), exact=True)
        grain = span / buckets
        rounded = np.floor if down else np.ceil
        weights = [rounded((c - c[0]) / grain).astype(np.intp) for c in costs]
        return cls(weights=weights, grain=grain, length=buckets, exact=False)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What the dynamic program knows: `best[b]`, the least error at every budget, and what was picked for it."""

    grid: Grid
    best: Floats
    picked: npt.NDArray[np.int16]  # unit x budget

    def choices(self) -> Indices:
        """The choices at every budget where the least error falls, by rising budget."""
        left = np.nonzero(np.diff(self.best, prepend=np.inf) < 0)[0]
        found = np.empty((len(left), len(self.picked)), dtype=np.intp)
        for unit in range(len(self.picked) - 1, -1, -1):
            found[:, unit] = self.picked[unit, left]
            left = left - self.grid.weights[unit][found[:, unit]]
        return found


def knapsack(grid: Grid, errors: Sequence[Floats]) -> Program:
    """Run the program; `errors` of Pareto options descend within a unit."""
    budgets = grid.length + 1
    best = np.zeros(budgets)
    picked = np.zeros((len(errors), budgets), dtype=np.int16)
    for unit, (weight, error) in enumerate(zip(grid.weights, errors, strict=True)):
        # of options that round to one weight the last has the least error; the others cannot be picked
        last = np.nonzero(np.diff(weight, append=budgets) > 0)[0].tolist()
        first = last[0]
        nearest = best + error[first]
        picked[unit] = first
        for option in last[1:]:
            w = int(weight[option])
            if w >= budgets:
                break
            candidate = best[: budgets - w] + error[option]
            better = candidate < nearest[w:]
            nearest[w:][better] = candidate[better]
            picked[unit, w:][better] = option
        best = nearest
    return Program(grid=grid, best=best, picked=picked)


def whole_grain(costs: Sequence[Floats]) -> float | None:
    """The largest decimal step of which all costs, relative to their units' first, are whole multiples; or None."""
    relative = np.concatenate([c[1:] - c[0] for c in costs])
    if not len(relative):
        return 1.0
    for digits in range(_DIGITS + 1):
        scaled = relative * 10.0**digits
        whole = np.rint(scaled)
        if np.all((np.abs(scaled - whole) <= _NEAR) & (whole > 0)) and np.all(scaled < _LONGEST):
            return gcd(*whole.astype(np.int64).tolist()) / 10.0**digits
    return None

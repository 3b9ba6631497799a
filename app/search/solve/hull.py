"""All supported points of a front, in O(n log n): what some price of a unit of cost makes the best.

The lower convex hull of each unit, its steps poured into one list sorted by error saved per cost, walks them from the
cheapest choice to the one of least error (Sinha and Zoltners 1979, https://doi.org/10.1287/opre.27.3.503). Straight
lines between them are the linear relaxation, which no choice is below.
"""

from collections.abc import Sequence

import numpy as np

from app.search.solve.values import Floats, Indices


def hull_walk(costs: Sequence[Floats], errors: Sequence[Floats]) -> Indices:
    """Choices at all supported points, cheapest first: the best error per cost is bought first.

    Args:
        costs: per unit, of its Pareto options, ascending.
        errors: likewise, descending.
    """
    corners = [lower_hull(c, e) for c, e in zip(costs, errors, strict=True)]
    unit = np.repeat(np.arange(len(costs)), [len(each) - 1 for each in corners])
    there = np.concatenate([each[1:] for each in corners])
    slopes = [np.diff(e[k]) / np.diff(c[k]) for c, e, k in zip(costs, errors, corners, strict=True)]
    steps = np.argsort(np.concatenate(slopes), kind="stable")  # within a unit slopes ascend, so its steps stay in order
    walked = np.zeros((len(steps) + 1, len(costs)), dtype=np.intp)
    for row, step in enumerate(steps.tolist(), start=1):
        walked[row] = walked[row - 1]
        walked[row, unit[step]] = there[step]
    return walked


def lower_hull(costs: Floats, errors: Floats) -> Indices:
    """Corners of the lower convex hull of a Pareto set given cheapest first."""
    x, y = costs.tolist(), errors.tolist()
    corners: list[int] = []
    for index in range(len(x)):
        while len(corners) >= 2:
            a, b = corners[-2], corners[-1]
            if (y[b] - y[a]) * (x[index] - x[a]) < (y[index] - y[a]) * (x[b] - x[a]):
                break
            corners.pop()
        corners.append(index)
    return np.array(corners, dtype=np.intp)

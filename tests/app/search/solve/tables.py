"""Additive problems to solve, and every choice of small ones."""

from itertools import product

import numpy as np
from hypothesis import strategies as st

from app.search.front import pareto_front

Problem = tuple[list[np.ndarray], list[np.ndarray]]


@st.composite
def problems(draw: st.DrawFn, *, step: float = 1.0) -> Problem:
    """One to four units of one to five options; costs are whole multiples of a step, errors of a tenth; ties abound."""
    units = draw(st.integers(1, 4))
    costs, errors = [], []
    for _ in range(units):
        options = draw(st.integers(1, 5))
        values = st.lists(st.integers(-20, 100), min_size=options, max_size=options)
        costs.append(np.array(draw(values), dtype=float) * step)
        errors.append(np.abs(np.array(draw(values), dtype=float)) / 10)
    return costs, errors


def crooked(problem: Problem) -> Problem:
    """The same with costs that are whole multiples of nothing."""
    costs, errors = problem
    return [cost + np.sin(1.7 * np.arange(len(cost)) + unit) for unit, cost in enumerate(costs)], errors


def every_choice(costs: list[np.ndarray], errors: list[np.ndarray]) -> list[tuple[tuple[int, ...], np.ndarray, float]]:
    """All choices with their costs, which may be rows of several resources, and errors."""
    return [
        (
            pick,
            sum(c[i] for c, i in zip(costs, pick, strict=True)),
            sum(e[i] for e, i in zip(errors, pick, strict=True)),
        )
        for pick in product(*(range(len(c)) for c in costs))
    ]


def brute_force(costs: list[np.ndarray], errors: list[np.ndarray]) -> list[tuple[float, float]]:
    """The true front."""
    points = [(float(cost), float(error)) for _, cost, error in every_choice(costs, errors)]
    return sorted(points[i] for i in pareto_front(points))

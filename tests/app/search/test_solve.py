"""The solver against brute force, and its promises one by one."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.front import pareto_front
from app.search.solve import pareto_front_2d, solve

Problem = tuple[list[np.ndarray], list[np.ndarray]]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    units = draw(st.integers(1, 4))
    costs, errors = [], []
    for _ in range(units):
        options = draw(st.integers(1, 5))
        values = st.lists(st.integers(-20, 100), min_size=options, max_size=options)
        costs.append(np.array(draw(values), dtype=float))
        errors.append(np.abs(np.array(draw(values), dtype=float)) / 10)
    return costs, errors


def brute_force(costs: list[np.ndarray], errors: list[np.ndarray]) -> list[tuple[float, float]]:
    everything = [
        (sum(c[i] for c, i in zip(costs, pick, strict=True)), sum(e[i] for e, i in zip(errors, pick, strict=True)))
        for pick in product(*(range(len(c)) for c in costs))
    ]
    return sorted(everything[i] for i in pareto_front(everything))


@given(problems())
@settings(max_examples=150, deadline=None)
def test_the_front_is_the_true_one_when_buckets_are_fine_enough(problem: Problem) -> None:
    costs, errors = problem
    span = sum(float(c.max() - c.min()) for c in costs)  # whole numbers: one bucket a unit of cost is exact
    found = solve(costs, errors, buckets=max(1, int(span)))
    truth = brute_force(costs, errors)
    # a unit's span over its Pareto set may be smaller than over all options, then buckets are finer still
    reached = {(round(c, 6), round(e, 6)) for c, e in zip(found.costs, found.errors, strict=True)}
    supported_or_exact = {(round(c, 6), round(e, 6)) for c, e in truth}
    assert reached <= supported_or_exact
    assert min(reached) == min(supported_or_exact)
    assert max(reached) == max(supported_or_exact)


@given(problems(), st.integers(1, 50))
@settings(max_examples=150, deadline=None)
def test_totals_are_true_and_never_overshoot(problem: Problem, buckets: int) -> None:
    costs, errors = problem
    found = solve(costs, errors, buckets=buckets)
    for row, cost, error in zip(found.choices, found.costs, found.errors, strict=True):
        assert np.isclose(cost, sum(c[i] for c, i in zip(costs, row, strict=True)))
        assert np.isclose(error, sum(e[i] for e, i in zip(errors, row, strict=True)))
    assert np.isclose(found.costs[0], sum(c.min() for c in costs)), "the lowest reachable cost must stay reachable"
    assert np.all(np.diff(found.costs) > 0)
    assert np.all(np.diff(found.errors) < 0)


@given(problems())
@settings(max_examples=100, deadline=None)
def test_no_point_of_the_front_is_beaten_and_the_hull_alone_is_never_better(problem: Problem) -> None:
    costs, errors = problem
    hull, both = solve(costs, errors, buckets=0), solve(costs, errors, buckets=64)
    for cost, error in zip(hull.costs, hull.errors, strict=True):
        index = both.best_within(cost + 1e-9)
        assert index is not None
        assert both.errors[index] <= error + 1e-9


def test_the_program_finds_what_the_hull_cannot() -> None:
    costs, errors = [np.array([0.0, 4.0, 10.0])], [np.array([10.0, 7.0, 0.0])]
    assert len(solve(costs, errors, buckets=0)) == 2  # the middle point lies above the line between the others
    assert solve(costs, errors, buckets=10).costs.tolist() == [0.0, 4.0, 10.0]


def test_budgets_are_read_off_the_front() -> None:
    found = solve([np.array([1.0, 2.0, 3.0])], [np.array([9.0, 4.0, 1.0])])
    assert found.best_within(2.5) == 1
    assert found.best_within(0.5) is None
    assert found.cheapest_within(4.0) == 1
    assert found.cheapest_within(0.5) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_the_fast_filter_equals_the_general_one(points: list[tuple[int, int]]) -> None:
    values = np.array(points, dtype=float)
    fast = {tuple(values[i]) for i in pareto_front_2d(values[:, 0], values[:, 1])}
    assert fast == {tuple(values[i]) for i in pareto_front(values)}

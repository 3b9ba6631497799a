"""The whole front against brute force, and its promises one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.front import pareto_front
from app.search.solve import SolveError, pareto_front_2d, solve
from tests.app.search.solve.tables import Problem, brute_force, crooked, problems


@given(problems(), st.sampled_from([1.0, 1e-3, 0.25]), st.floats(-5.0, 5.0))
@settings(max_examples=60, deadline=None)
def test_whole_costs_give_the_true_front_however_few_the_buckets(problem: Problem, step: float, fixed: float) -> None:
    costs, errors = problem
    found = solve([cost * step for cost in costs], errors, buckets=1, fixed=fixed)
    truth = brute_force(costs, errors)
    assert found.exact
    assert np.allclose((found.costs - fixed) / step, [cost for cost, _ in truth])
    assert np.allclose(found.errors, [error for _, error in truth])


@given(problems())
@settings(max_examples=60, deadline=None)
def test_rounded_up_costs_lose_no_more_than_a_bucket_a_unit(problem: Problem) -> None:
    costs, errors = crooked(problem)
    found = solve(costs, errors, buckets=500)
    lost = len(costs) * sum(float(np.ptp(cost)) for cost in costs) / 500
    for cost, error in brute_force(costs, errors):
        index = found.best_within(cost + lost + 1e-9)
        assert index is not None
        assert found.errors[index] <= error + 1e-9


@given(problems(), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_totals_are_true_and_never_overshoot(problem: Problem, buckets: int) -> None:
    costs, errors = crooked(problem)
    found = solve(costs, errors, buckets=buckets)
    for row, cost, error in zip(found.choices, found.costs, found.errors, strict=True):
        assert np.isclose(cost, sum(c[i] for c, i in zip(costs, row, strict=True)))
        assert np.isclose(error, sum(e[i] for e, i in zip(errors, row, strict=True)))
    assert np.isclose(found.costs[0], sum(c.min() for c in costs)), "the lowest reachable cost must stay reachable"
    assert np.all(np.diff(found.costs) > 0)
    assert np.all(np.diff(found.errors) < 0)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_the_hull_alone_is_never_better(problem: Problem) -> None:
    costs, errors = crooked(problem)
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


def test_ties_and_options_that_another_beats_are_passed_over() -> None:
    costs = [np.array([2.0, 2.0, 5.0, 3.0]), np.array([1.0, 1.0])]
    errors = [np.array([3.0, 1.0, 1.0, 1.0]), np.ones(2)]
    found = solve(costs, errors)
    assert found.costs.tolist() == [3.0]
    assert found.choices.tolist() == [[1, 0]]


def test_where_all_options_are_slower_than_dense_dense_is_the_front() -> None:
    found = solve([np.array([1.0, 1.5, 1.2])] * 3, [np.array([0.0, 0.2, 0.1])] * 3)
    assert found.choices.tolist() == [[0, 0, 0]]
    assert found.errors.tolist() == [0.0]


def test_one_unit_is_its_own_front() -> None:
    costs, errors = np.array([np.pi, np.e, np.sqrt(2)]), np.array([0.0, 1.0, 2.0])
    assert solve([costs], [errors]).costs.tolist() == sorted(costs.tolist())


def test_tiny_costs_are_not_taken_for_none() -> None:
    found = solve([np.array([3e-12, 1e-12, 0.0])], [np.array([0.0, 1.0, 2.0])])
    assert found.costs.tolist() == [0.0, 1e-12, 3e-12]


@pytest.mark.parametrize(
    ("costs", "errors", "said"),
    [
        ([], [], "no units"),
        ([[1.0], []], [[0.0], []], "unit 1 has no options"),
        ([[1.0, 2.0], [1.0, np.nan]], [[0.0, 0.0], [0.0, 0.0]], "unit 1, option 1: its cost is nan"),
        ([[1.0, 2.0]], [[0.0, np.inf]], "unit 0, option 1: its error is inf"),
        ([[1.0, 2.0]], [[0.0]], "unit 0 has 2 costs, but 1 errors"),
        ([[1.0]], [], "1 units have costs, but 0 have errors"),
        ([[[1.0]]], [[0.0]], "one number an option"),
    ],
)
def test_a_table_that_is_none_is_refused_by_name(
    costs: list[list[float]], errors: list[list[float]], said: str
) -> None:
    with pytest.raises(SolveError, match=said):
        solve(costs, errors)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
@settings(max_examples=50)
def test_the_fast_filter_equals_the_general_one(points: list[tuple[int, int]]) -> None:
    values = np.array(points, dtype=float)
    fast = {tuple(values[i]) for i in pareto_front_2d(values[:, 0], values[:, 1])}
    assert fast == {tuple(values[i]) for i in pareto_front(values)}

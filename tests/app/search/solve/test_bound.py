"""The bound is never above the true optimum, at any cost, and no looser than it must be."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.solve import solve
from app.search.solve.bound import bound_of, floor_of
from tests.app.search.solve.tables import Problem, brute_force, crooked, every_choice, problems


@given(problems(), st.integers(1, 300), st.floats(-3.0, 3.0), st.booleans())
@settings(max_examples=80, deadline=None)
def test_nothing_is_below_the_bound(problem: Problem, buckets: int, fixed: float, whole: bool) -> None:
    costs, errors = problem if whole else crooked(problem)
    bound = bound_of(costs, errors, buckets=buckets, fixed=fixed)
    truth = brute_force(costs, errors)
    for cost, error in truth:
        assert bound.at(cost + fixed) <= error + 1e-9
    for left, right in pairwise(truth):  # between two points the cheaper one is the optimum
        assert bound.at((left[0] + right[0]) / 2 + fixed) <= left[1] + 1e-9
    assert bound.at(truth[-1][0] + fixed + 100.0) == pytest.approx(truth[-1][1], abs=1e-9)
    assert bound.at(truth[0][0] + fixed - 1e-3) == np.inf


@given(problems())
@settings(max_examples=40, deadline=None)
def test_whole_costs_make_the_bound_the_optimum(problem: Problem) -> None:
    costs, errors = problem
    bound = bound_of(costs, errors, buckets=1)
    for cost, error in brute_force(costs, errors):
        assert bound.at(cost) == pytest.approx(error)


def test_the_gap_closes_with_buckets_and_never_opens_below_the_front() -> None:
    draw = np.random.default_rng(0)
    costs, errors = [draw.uniform(0, 1, 8) for _ in range(12)], [draw.uniform(0, 1, 8) for _ in range(12)]
    front, at = solve(costs, errors, buckets=20_000), np.linspace(2.0, 6.0, 50)
    best = np.array([front.errors[front.best_within(cost)] for cost in at])
    gaps = [best - bound_of(costs, errors, buckets=buckets).at(at) for buckets in (1, 100, 20_000)]
    assert all(np.all(gap >= -1e-9) for gap in gaps)
    assert gaps[0].mean() > gaps[1].mean() > gaps[2].mean()
    assert gaps[2].mean() < 0.01 * best.mean()


@given(problems(), st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_every_choice_has_a_floor_that_is_no_dearer_and_no_worse(problem: Problem, buckets: int) -> None:
    costs, errors = crooked(problem)
    low_costs, low_errors = floor_of(costs, errors, buckets=buckets)
    for _, cost, error in every_choice(costs, errors):
        assert np.any((low_costs <= cost + 1e-9) & (low_errors <= error + 1e-9))

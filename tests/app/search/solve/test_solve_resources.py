"""Several limits at once, and differing answers, against every choice there is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.solve.diverse import diverse
from app.search.solve.milp import Effort
from app.search.solve.resources import solve_resources, sweep_resources
from app.search.solve.values import SolveError, Unreachable
from tests.app.search.solve.tables import every_choice


def instance(seed: int, units: int = 4, options: int = 4, resources: int = 2) -> tuple[list, list]:
    """Small whole numbers, so that ties and limits that are met exactly are common."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(1, options + 1, units)
    costs = [draw.integers(-2, 9, (n, resources)).astype(float) * 0.1 for n in sizes]
    return costs, [draw.integers(0, 9, n).astype(float) for n in sizes]


@given(st.integers(0, 10_000), st.integers(1, 3), st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3))
@settings(max_examples=40, deadline=None)
def test_any_resources_equal_brute_force(seed: int, resources: int, shares: list[float]) -> None:
    costs, errors = instance(seed, resources=resources)
    everything = every_choice(costs, errors)
    low, high = sum(c.min(axis=0) for c in costs), sum(c.max(axis=0) for c in costs)
    fixed = np.arange(resources) * 0.7
    limits = low + np.array(shares[:resources]) * (high - low) + fixed
    within = [error for _, cost, error in everything if np.all(cost + fixed <= limits + 1e-9)]
    if not within:
        with pytest.raises(Unreachable, match="at once"):
            solve_resources(costs, errors, limits.tolist(), fixed=fixed.tolist())
        return
    found = solve_resources(costs, errors, limits.tolist(), fixed=fixed.tolist())
    assert found.status == "optimal"
    assert found.error == pytest.approx(min(within), abs=1e-9)
    assert found.bound <= found.error
    assert found.gap == pytest.approx(0.0, abs=1e-5)
    assert np.all(found.costs <= limits + 1e-9)
    assert found.costs == pytest.approx(fixed + sum(c[o] for c, o in zip(costs, found.choices, strict=True)))


def test_the_lowest_reachable_cost_is_itself_a_limit_that_can_be_kept() -> None:
    costs, errors = instance(3, units=12, resources=1)
    lowest = sum(float(c.min()) for c in costs)
    assert solve_resources(costs, errors, [lowest]).costs[0] == pytest.approx(lowest)


def test_a_limit_out_of_reach_is_named_with_what_can_be_reached() -> None:
    costs, errors = [np.array([[2.0, 1.0], [1.0, 3.0]])], [np.zeros(2)]
    with pytest.raises(Unreachable, match=r"a100 goes down to 1\.5, not 1;") as alone:
        solve_resources(costs, errors, [1.0, 9.0], fixed=[0.5, 0.0], names=["a100", "bytes"])
    assert alone.value.details["lowest"] == {"a100": 1.5, "bytes": 1.0}
    assert alone.value.details["out_of_reach"] == ["a100"]
    with pytest.raises(Unreachable, match="at once") as together:  # each can be kept; beside the other neither
        solve_resources(costs, errors, [1.0, 1.0], names=["a100", "bytes"])
    assert together.value.details["lowest"] == {"a100": 2.0, "bytes": 3.0}
    assert together.value.details["out_of_reach"] == ["a100", "bytes"]


def test_a_sweep_answers_row_by_row_and_goes_on_after_a_refusal() -> None:
    costs, errors = [np.array([[1.0], [2.0]])] * 3, [np.array([1.0, 0.0])] * 3
    answers = list(sweep_resources(costs, errors, [[2.0], [3.0], [5.0], [np.inf]]))
    assert isinstance(answers[0], Unreachable)
    assert [answer.error for answer in answers[1:] if not isinstance(answer, Unreachable)] == [3.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("limits", "fixed", "said"),
    [
        ([1.0], None, "1 numbers an option"),
        ([1.0, np.nan], None, "a limit"),
        ([1.0, 1.0], [1.0], "a limit and a fixed"),
    ],
)
def test_limits_that_are_none_are_refused(limits: list[float], fixed: list[float] | None, said: str) -> None:
    with pytest.raises(SolveError, match=said):
        solve_resources([np.ones((2, 2))], [np.ones(2)], limits, fixed=fixed)


def test_little_effort_tells_its_gap() -> None:
    draw = np.random.default_rng(0)
    costs = [draw.uniform(0, 1, (12, 3)) for _ in range(30)]
    errors = [draw.uniform(0, 1, 12) for _ in range(30)]
    limits = [sum(float(c[:, r].mean()) for c in costs) * 0.8 for r in range(3)]
    exact = solve_resources(costs, errors, limits)
    for effort in (Effort(share=0.3), Effort(nodes=1)):
        rough = solve_resources(costs, errors, limits, effort=effort)
        assert rough.bound <= exact.error <= rough.error + 1e-9
        assert np.all(rough.costs <= np.array(limits) + 1e-9)
        assert (rough.status == "optimal") == (effort.share < 0.1 and rough.gap < 1e-5)
    assert exact.status == "optimal"


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 0.75]))
@settings(max_examples=20, deadline=None)
def test_answers_differ_and_each_is_the_best_that_differs_from_all_before(seed: int, share: float) -> None:
    costs, errors = instance(seed, resources=1)
    limit = sum(float(c.mean()) for c in costs)
    everything = [(pick, error) for pick, cost, error in every_choice(costs, errors) if cost[0] <= limit + 1e-9]
    answers = list(diverse(costs, errors, [limit], count=4, share=share))
    most = int(share * len(costs))
    before: list[tuple[int, ...]] = []
    for answer in answers:
        allowed = [error for pick, error in everything if all(_alike(pick, other) <= most for other in before)]
        assert answer.error == pytest.approx(min(allowed), abs=1e-9)
        assert all(_alike(tuple(answer.choices), other) <= most for other in before)
        assert answer.costs[0] <= limit + 1e-9
        before.append(tuple(answer.choices.tolist()))
    if len(answers) < 4:
        assert not [pick for pick, _ in everything if all(_alike(pick, other) <= most for other in before)]


def _alike(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return sum(x == y for x, y in zip(a, b, strict=True))


def test_a_share_of_all_choices_would_not_differ() -> None:
    with pytest.raises(SolveError, match="share"):
        next(diverse([np.ones((2, 1))], [np.ones(2)], [3.0], share=1.0))

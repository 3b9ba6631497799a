"""Fronts against the double loop, and hypervolume in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.search.front import dominates, hypervolume, pareto_front

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), max_size=25)


@given(points)
def test_the_front_is_what_the_double_loop_finds(found: list[tuple[int, ...]]) -> None:
    fast = {found[i] for i in pareto_front(found)}
    slow = {p for p in found if not any(dominates(q, p) for q in found)}
    assert fast == slow


@given(points, st.randoms())
def test_order_of_the_points_does_not_matter(found: list[tuple[int, ...]], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {found[i] for i in pareto_front(found)} == {shuffled[i] for i in pareto_front(shuffled)}


def test_of_equal_points_the_first_stands() -> None:
    assert pareto_front([(1, 1), (1, 1), (0, 2)]) == [2, 0]


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
def test_the_hypervolume_of_a_staircase(steps: int) -> None:
    stairs = [(i / steps, 1 - (i + 1) / steps) for i in range(steps)]
    assert hypervolume(stairs, (1.0, 1.0)) == pytest.approx((steps + 1) / (2 * steps))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12), st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_point_more_never_takes_hypervolume_away(found: list[tuple[float, float]], more: tuple[float, float]) -> None:
    assert hypervolume([*found, more], (1.0, 1.0)) >= hypervolume(found, (1.0, 1.0)) - 1e-12


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=1, max_size=10))
def test_hypervolume_counts_the_dominated_cells(found: list[tuple[int, int]]) -> None:
    cells = sum(any(x <= i and y <= j for x, y in found) for i in range(10) for j in range(10))
    assert hypervolume(np.array(found, dtype=float), (10.0, 10.0)) == pytest.approx(cells)

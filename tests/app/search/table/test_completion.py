"""Which options are measured, and what is promised of those that are not."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.table.completion import anchors, complete, corners, depth, families, further, measured
from pruning.patterns import NM, Block, Channel, Pattern, Unstructured

Option = Mapping[str, Pattern]
SPARSITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
FAMILY: list[Option] = [{}, *({"a": Unstructured(s)} for s in SPARSITIES)]
ERRORS = st.lists(st.floats(0, 50), min_size=len(FAMILY), max_size=len(FAMILY))


def test_few_of_a_family_are_measured_spread_over_its_depth_the_strongest_among_them() -> None:
    assert [SPARSITIES[index - 1] for index in measured(FAMILY)] == [0.7, 0.9, 0.98]
    assert anchors(FAMILY) == [9]
    assert measured(FAMILY, few=100) == list(range(1, 10)), "all of it, if that many are asked for"


def test_the_strongest_of_every_family_is_measured_and_dense_never() -> None:
    options: list[Option] = [*FAMILY, {"a": NM(keep=2, group=4)}, {"b": Unstructured(0.5)}, {"a": Channel(0.5)}]
    found = measured(options)
    assert 0 not in found and {9, 10, 11, 12} <= set(found)
    assert set(anchors(options)) == {9, 10, 11, 12} <= set(found)


@given(ERRORS, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_completed_errors_rise_with_sparsity_through_what_was_measured(raw: list[float], few: int) -> None:
    known = {index: raw[index] for index in measured(FAMILY, few)}
    found = complete(FAMILY, known)
    assert found[0] == 0.0
    assert found == sorted(found)
    highest = 0.0
    for index in sorted(known):  # a dip is lifted to what came before it, nothing else is changed
        highest = max(highest, known[index])
        assert found[index] == highest
    assert max(found) == highest


@given(ERRORS)
@settings(max_examples=20, deadline=None)
def test_measuring_all_gives_the_table_itself(raw: list[float]) -> None:
    rising = [0.0, *np.maximum.accumulate(raw[1:]).tolist()]
    assert complete(FAMILY, dict(enumerate(rising[1:], start=1))) == rising


@pytest.mark.parametrize("few", [1, 2, 3])
def test_errors_quadratic_in_depth_need_one_measurement(few: int) -> None:
    law = [0.7 * depth(option) ** 2 for option in FAMILY]
    assert complete(FAMILY, {index: law[index] for index in measured(FAMILY, few)}) == pytest.approx(law)


def test_families_do_not_touch_each_other() -> None:
    options: list[Option] = [{}, {"a": Unstructured(0.5)}, {"b": Unstructured(0.9)}, {"a": Channel(0.9)}]
    assert complete(options, {1: 5.0, 2: 1.0, 3: 0.5}) == [0.0, 5.0, 1.0, 0.5]


def test_patterns_of_different_groups_or_blocks_are_no_strengths_of_one_another() -> None:
    """2 of 4 and 4 of 8 keep as much, but the first leaves less freedom: each is measured for itself."""
    options: list[Option] = [{}, {"a": NM(keep=2, group=4)}, {"a": NM(keep=4, group=8)}, {"a": NM(keep=1, group=4)}]
    assert list(families(options)) == [[1, 3], [2]]
    assert complete(options, {1: 0.4, 2: 0.1, 3: 0.9}) == [0.0, 0.4, 0.1, 0.9]
    blocks: list[Option] = [{"a": Block(4, 1, 0.5)}, {"a": Block(2, 2, 0.9)}, {"a": Block(4, 1, 0.9)}]
    assert list(families([{}, *blocks])) == [[1, 3], [2]]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=9))
@settings(max_examples=80, deadline=None)
def test_corners_are_the_points_that_some_exchange_rate_picks(points: list[tuple[int, int]]) -> None:
    """Oracle: minimise error + rate x cost for every rate at which two points tie, and between them."""
    costs, errors = (np.array(side, dtype=float) for side in zip(*points, strict=True))
    hull = corners(costs, errors)
    slopes = sorted({-(b[1] - a[1]) / (b[0] - a[0]) for a in points for b in points if a[0] != b[0]} | {0.0})
    rates = [r for r in [*((a + b) / 2 for a, b in pairwise(slopes)), slopes[-1] + 1] if r > 0]
    best = {min((e + rate * c, c, e) for c, e in points)[1:] for rate in rates}
    assert {(costs[i], errors[i]) for i in hull} == best
    assert np.all(np.diff(costs[hull]) > 0) and np.all(np.diff(errors[hull]) < 0)


def test_what_the_solver_would_buy_is_measured_next_and_nothing_else() -> None:
    """A staircase: 0.8 saves as much as 0.7 and 0.6, and 0.85 nothing at all; on the other device 0.5 is the step."""
    saved = {0.3: (0, 0), 0.5: (0, 5), 0.6: (4, 5), 0.7: (4, 5), 0.8: (4, 5), 0.85: (-1, 5), 0.9: (6, 6)}
    costs = np.array([(10, 10), *((10 - a, 10 - b) for a, b in (saved.get(s, (7, 7)) for s in SPARSITIES))], float)
    law = [depth(option) ** 2 for option in FAMILY]
    known = {index: law[index] for index in measured(FAMILY)}
    found = further(FAMILY, costs, complete(FAMILY, known), known)
    assert {str(FAMILY[i]["a"]) for _, i in found} == {"unstructured@0.5", "unstructured@0.6", "unstructured@0.95"}
    assert [width for width, _ in found] == sorted((width for width, _ in found), reverse=True)
    assert further(FAMILY, costs, law, dict(enumerate(law))) == [], "nothing is measured twice"

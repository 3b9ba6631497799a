import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.upscale_order import Wanted, copies, is_run, line_up, order

SETS = st.lists(st.frozensets(st.integers(0, 5), max_size=5), max_size=6)


def best(count: int, wanted: list[Wanted]) -> int:
    """Oracle: the fewest copies over every order there is."""
    return min(copies(line, wanted) for line in permutations(range(count)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(wanted=SETS)
def test_all_are_served_exactly_when_some_order_serves_all(wanted: list[Wanted]) -> None:
    line = line_up(range(6), wanted)
    assert (line is not None) == (best(6, wanted) == 0)
    if line is not None:
        assert sorted(line) == list(range(6)) and copies(line, wanted) == 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(wanted=SETS, given_order=st.permutations(range(6)))
def test_never_more_copies_than_as_given_nor_fewer_than_possible(wanted: list[Wanted], given_order: list[int]) -> None:
    found = order(given_order, wanted)
    assert sorted(found) == list(range(6))
    assert best(6, wanted) <= copies(found, wanted) <= copies(given_order, wanted)


def test_two_readers_that_share_some_channels_both_get_runs() -> None:
    wanted = [frozenset({0, 2, 4}), frozenset({1, 2, 3})]
    assert copies(range(5), wanted) == 1
    assert order(range(5), wanted) == (1, 3, 2, 0, 4)


def test_nested_wishes_lie_inside_one_another() -> None:
    wanted = [frozenset({0, 2, 4, 6}), frozenset({0, 4}), frozenset({1, 5}), frozenset({2, 3, 7, 0, 4, 6})]
    assert copies(order(range(8), wanted), wanted) == 0


def test_a_cycle_of_wishes_costs_one_copy() -> None:
    wanted = [frozenset({0, 1}), frozenset({1, 2}), frozenset({0, 2})]
    assert line_up(range(3), wanted) is None
    assert copies(order(range(3), wanted), wanted) == 1


def test_what_is_served_already_stays_as_it_is() -> None:
    assert order((3, 1, 2), [frozenset({1, 2})]) == (3, 1, 2)
    assert is_run((3, 1, 2), frozenset())


def test_no_more_copies_in_all_than_the_authors_order() -> None:
    theirs = pytest.importorskip("upscale.pruning.reorder", reason="apple-upscale is not installed")
    generator, totals = random.Random(0), [0, 0]
    for _ in range(60):
        wanted = [frozenset(c for c in range(8) if generator.random() < 0.5) | {0} for _ in range(4)]
        line = theirs.compute_reordering(set(range(4)), {i: set(channels) for i, channels in enumerate(wanted)})
        union = sorted(frozenset().union(*wanted))
        assert sorted(line) == union
        totals = [totals[0] + copies(order(union, wanted), wanted), totals[1] + copies(line, wanted)]
    assert totals[0] <= totals[1]

"""The expected front: the best of each earlier search at a latency, no claim where nobody was, limits out of reach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.search.devices.expected import Found, expected_front, unreachable
from app.search.space.price import ReachableRange
from app.search.spec import Limit, SearchSpec

REACH = ReachableRange(profile="p", lowest_ms=2.5, dense_ms=10.0, choices=())


def found(search: str, quality: float, latency_ms: float, error: float = 0.01) -> Found:
    return Found(search=search, quality=quality, standard_error=error, latency_ms=latency_ms)


def test_levels_go_from_dense_to_the_lowest_latency_there_is() -> None:
    levels = expected_front(REACH, [], [])
    assert [level.latency_ms for level in levels] == [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.5]
    assert all((level.quality, level.excess_loss, level.searches) == (None, None, 0) for level in levels)
    assert levels[-1].share == 0.25


def test_the_best_in_time_of_each_search_counts() -> None:
    trials = [found("a", 0.9, 5.0), found("a", 0.95, 9.5), found("b", 0.8, 4.0), found("b", 0.7, 2.0)]
    by_ms = {level.latency_ms: level for level in expected_front(REACH, trials, [])}
    assert by_ms[5.0].quality is not None and by_ms[5.0].quality.p50 == pytest.approx(0.85)
    assert (by_ms[10.0].searches, by_ms[4.0].searches) == (2, 1)
    assert by_ms[2.5].quality is not None and by_ms[2.5].quality.p50 == 0.7
    alone = by_ms[4.0].quality
    assert alone is not None and alone.p90 - alone.p10 == pytest.approx(2 * 1.2816 * 2 * 2**0.5 * 0.01)


def test_no_accuracy_is_above_one_and_errors_have_no_such_end() -> None:
    trials = [found("a", 0.99, 5.0, 0.2)]
    high = expected_front(REACH, trials, [], most=1.0)[0].quality
    free = expected_front(REACH, trials, [])[0].quality
    assert high is not None and free is not None and (high.p90, free.p90 > 1.0) == (1.0, True)


def test_the_bound_of_an_earlier_search_says_what_is_lost_at_least() -> None:
    bound = [{"latency_ms": 3.0, "error": 0.5}, {"latency_ms": 8.0, "error": 0.1}]
    by_ms = {level.latency_ms: level.excess_loss for level in expected_front(REACH, [], bound)}
    assert (by_ms[10.0], by_ms[7.0], by_ms[2.5]) == (0.1, 0.5, None)


@given(
    st.lists(
        st.builds(found, st.sampled_from("abc"), st.floats(0, 1), st.floats(1, 12), st.floats(0, 0.1)), max_size=12
    )
)
def test_ranges_are_in_order_and_never_better_when_faster(trials: list[Found]) -> None:
    levels = [level for level in expected_front(REACH, trials, [], most=1.0) if level.quality]
    for level in levels:
        assert level.quality is not None and level.quality.p10 <= level.quality.p50 <= level.quality.p90 + 1e-12
    alone = [found("a", one.quality, one.latency_ms) for one in trials]
    middles = [level.quality.p50 for level in expected_front(REACH, alone, []) if level.quality]
    assert middles == sorted(middles, reverse=True)


def test_limits_out_of_reach_are_named_with_the_range() -> None:
    limits = (
        Limit(profile="p", latency_ms=2.4),
        Limit(profile="p", share=0.25),
        Limit(profile="q", share=0.2),
        Limit(profile="p", latency_ms=100.0),
    )
    asked = SearchSpec(model="m", dataset="d", profiles=("p", "q"), limits=limits)
    other = ReachableRange(profile="q", lowest_ms=30.0, dense_ms=100.0, choices=())
    missed = unreachable(asked, {"p": REACH, "q": other})
    assert [(one.index, one.profile, one.limit_ms, one.lowest_ms) for one in missed] == [
        (0, "p", 2.4, 2.5),
        (2, "q", 20.0, 30.0),
    ]

"""The holes of a front: by what a trial in them promises, the strong end among them."""

from itertools import pairwise
from math import exp

import pytest

from app.search.front import hypervolume
from app.search.proposals.holes import holes

FRONT = [(1.0, 2.0), (2.0, 1.0), (6.0, 0.5), (7.0, 0.4)]


def test_holes_come_by_area_and_points_off_the_front_do_not_count() -> None:
    assert holes([*FRONT, (3.0, 1.5), (6.5, 0.9)], 1.0) == [4.0, 1.5, 6.5]


def test_the_order_is_that_of_the_hypervolume_of_a_trial_on_the_line() -> None:
    def gain(middle: float) -> float:
        a, b = next((a, b) for a, b in pairwise(FRONT) if a[0] < middle < b[0])
        point = (middle, (a[1] + b[1]) / 2)
        return hypervolume([*FRONT, point], (9.0, 3.0)) - hypervolume(FRONT, (9.0, 3.0))

    gains = [gain(middle) for middle in holes(FRONT, 1.0)]
    assert gains == sorted(gains, reverse=True) == pytest.approx([0.5, 0.25, 0.025])


def test_a_front_still_flat_at_its_strong_end_is_followed() -> None:
    flat = [(1.0, 0.11), (5.0, 0.1), (9.0, 0.09)]
    assert holes(flat, 0.0, guess=1.2)[0] == 0.5
    assert holes([(0.5, 0.12), *flat], 0.0, guess=1.2)[0] == 0.25, "half way each time"
    assert 0.5 not in holes(flat, 0.0)


def test_a_front_that_rises_to_a_guess_is_left_there() -> None:
    """Twice as strong costs 1.5: from 2.0 that is above the guess already."""
    rising = [(1.0, 2.0), (2.0, 0.5), (9.0, 0.4)]
    assert holes(rising, 0.0, guess=3.4) == [1.5, 5.5, 0.5], "no promise: last"
    assert holes(rising, 0.0, guess=9.0)[0] == 0.5
    steep = [(exp(-2.0), 2.0), (exp(-1.0), 1.0)]
    assert holes(steep, exp(-2.0), guess=9.0) == [pytest.approx((exp(-2.0) + exp(-1.0)) / 2)], "nothing beyond"


def test_one_point_is_followed_and_nothing_known_has_no_holes() -> None:
    assert holes([(2.0, 1.0)], 1.0, guess=3.0) == [1.5]
    assert holes([], 1.0, 2.0) == []

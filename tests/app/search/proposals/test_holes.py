"""The holes of a front: by what a trial in them promises, the strong end among them."""

from itertools import pairwise
from math import exp, log, sqrt

import pytest

from app.search.front import hypervolume
from app.search.proposals.holes import holes

FRONT = [(1.0, 2.0), (2.0, 1.0), (6.0, 0.5), (7.0, 0.4)]


def test_the_order_is_that_of_the_hypervolume_of_a_trial_on_the_line() -> None:
    def gain(middle: float) -> float:
        a, b = next((a, b) for a, b in pairwise(FRONT) if a[0] < middle < b[0])
        point = (middle, (a[1] + b[1]) / 2)
        return hypervolume([*FRONT, point], (9.0, 3.0)) - hypervolume(FRONT, (9.0, 3.0))

    found = holes(FRONT, 1.0)
    assert found == [4.0, 1.5, 6.5]
    assert [gain(middle) for middle in found] == pytest.approx([0.5, 0.25, 0.025])


def test_where_others_were_tried_in_vain_less_is_promised() -> None:
    assert holes([*FRONT, (4.2, 1.5)], 1.0) == [4.0, 1.5, 6.5], "a half of 0.5, a tie"
    assert holes([*FRONT, (4.2, 1.5), (4.0, 1.2)], 1.0) == [1.5, 4.0, 6.5]
    assert holes([*FRONT, (3.0, 1.5), (5.0, 1.2)], 1.0) == [4.0, 1.5, 6.5], "not in the middle"


def test_what_lies_above_a_guess_counts_for_nothing() -> None:
    assert holes([(1.0, 9.0), (2.0, 1.0), (6.0, 0.5)], 1.0, guess=1.1) == [4.0, 1.5]


def test_a_front_still_flat_at_its_strong_end_is_followed() -> None:
    flat = [(1.0, 0.11), (5.0, 0.1), (9.0, 0.09)]
    assert holes(flat, 0.0, guess=1.2)[0] == 0.5
    assert holes([(0.5, 0.12), *flat], 0.0, guess=1.2)[0] == 0.25, "twice as strong each time"
    assert 0.5 not in holes(flat, 0.0)
    assert holes(flat, 0.6, guess=1.2)[0] == pytest.approx(sqrt(0.5)), "where half is out of reach, less"
    assert 0.5 not in holes(flat, 0.9, guess=1.2)


@pytest.mark.parametrize(("guess", "step"), [(9.0, 2.0), (3.1, sqrt(2.0))])
def test_the_longer_step_is_taken_where_the_front_rises_slowly_beside_a_guess(guess: float, step: float) -> None:
    """Of the two that which promises more: on the line, 1 more by every e."""
    line = [(1.0, 2.0), (exp(1.0), 1.0)]
    promised = {s: (1 - 1 / s) * max(guess - 2.0 - log(s), 0.0) for s in (sqrt(2.0), 2.0)}
    assert max(promised, key=promised.__getitem__) == step
    assert pytest.approx(1 / step) in holes(line, 0.0, guess)


def test_two_points_close_together_say_nothing_of_how_the_front_rises() -> None:
    near = [(1.0, 0.3), (1.01, 0.1), (2.0, 0.1 - 1e-6)]
    assert holes(near, 0.0, guess=1.2)[0] == 0.5


def test_a_front_that_rises_to_a_guess_is_left_there() -> None:
    rising = [(1.0, 2.0), (2.0, 0.5), (9.0, 0.4)]
    found = holes(rising, 0.0, guess=2.1)
    assert found[:2] == [1.5, 5.5], "no promise beyond: last"


def test_one_point_is_followed_and_nothing_known_has_no_holes() -> None:
    assert holes([(2.0, 1.0)], 0.5, guess=3.0) == [1.0]
    assert holes([], 1.0, 2.0) == []

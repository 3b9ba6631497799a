"""The holes of a front: by area, the strong end among them."""

import pytest

from app.search.holes import holes

FRONT = [(1.0, 2.0), (2.0, 1.0), (6.0, 0.5), (7.0, 0.4)]


def test_holes_come_by_area_and_points_off_the_front_do_not_count() -> None:
    assert holes([*FRONT, (3.0, 1.5), (6.5, 0.9)], 1.0) == [4.0, 1.5, 6.5]


def test_a_front_still_flat_at_its_strong_end_is_followed() -> None:
    flat = [(1.0, 0.11), (5.0, 0.1), (9.0, 0.09)]
    assert holes(flat, 0.0, guess=1.2)[0] == 0.5
    assert holes([(0.5, 0.12), *flat], 0.0, guess=1.2)[0] == 0.25, "half way each time"
    assert 0.5 not in holes(flat, 0.0)


@pytest.mark.parametrize("guess", [0.2, 2.0])
def test_a_front_that_guesses_at_its_strong_end_is_left_there(guess: float) -> None:
    assert holes(FRONT, 0.5, guess)[0] == 4.0 and holes(FRONT, 1.0, guess) == holes(FRONT, 1.0)


def test_nothing_known_has_no_holes() -> None:
    assert holes([], 1.0, 2.0) == []

"""Where a front is thin: the latencies at which another trial would say most."""

from collections.abc import Sequence
from itertools import pairwise

from app.search.front import pareto_front


def holes(points: Sequence[tuple[float, float]], strongest_ms: float, guess: float | None = None) -> list[float]:
    """The middles in milliseconds of the holes in a front, the widest first; a hole is wide where both axes jump.

    Its width is the area between two neighbours. Left of the strong end there is one too: at the lowest latency of all
    the loss of a guess is assumed, so that a front which is still flat there is followed.

    Args:
        points: latency and loss of trials, on the front or not.
        strongest_ms: the lowest latency that any plan has.
        guess: the loss of a network that guesses; None leaves the strong end alone.
    """
    corners = [points[index] for index in pareto_front(points)]
    if guess is not None and corners and corners[0][0] > strongest_ms:
        corners = [(strongest_ms, max(guess, corners[0][1])), *corners]
    wide = sorted(((b[0] - a[0]) * (a[1] - b[1]), (a[0] + b[0]) / 2) for a, b in pairwise(corners))
    return [middle_ms for _, middle_ms in reversed(wide)]

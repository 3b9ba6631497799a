"""Where a front is thin: the latencies at which another trial promises most."""

from collections.abc import Sequence
from itertools import pairwise
from math import log

from app.search.front import pareto_front

_HALF_BELIEVED = 0.5  # of what an extrapolation promises: beyond the strong end losses rise faster and faster


def holes(points: Sequence[tuple[float, float]], strongest_ms: float, guess: float | None = None) -> list[float]:
    """The middles in milliseconds of the holes in a front, the most promising first.

    What a trial in the middle promises is hypervolume: between two neighbours on the straight line that joins them, a
    quarter of their rectangle. Left of the strong end, where the line through the last two in the logarithm of latency
    leads: so a front that is still flat there is followed, and one that rises to a guess is not.

    Args:
        points: latency and loss of trials, on the front or not.
        strongest_ms: the lowest latency that any plan has.
        guess: the loss of a network that guesses; None leaves the strong end alone.
    """
    corners = [points[index] for index in pareto_front(points)]
    found = [((b[0] - a[0]) * (a[1] - b[1]) / 4, (a[0] + b[0]) / 2) for a, b in pairwise(corners)]
    if guess is not None and corners and corners[0][0] > strongest_ms:
        first_ms, loss = corners[0]
        middle_ms = (strongest_ms + first_ms) / 2
        rise = (loss - corners[1][1]) / log(corners[1][0] / first_ms) if len(corners) > 1 else 0.0
        promised = guess - (loss + rise * log(first_ms / middle_ms))
        found.append((_HALF_BELIEVED * (first_ms - middle_ms) * max(promised, 0.0), middle_ms))
    return [middle_ms for _, middle_ms in sorted(found, reverse=True)]

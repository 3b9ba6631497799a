"""Where a front is thin: the latencies at which another trial promises most."""

from collections.abc import Sequence
from itertools import pairwise
from math import inf, log, sqrt

from app.search.front import pareto_front

_BELIEVED = 1 / 3  # of what an extrapolation promises: beyond the strong end losses rise faster and faster
_STEPS = (sqrt(2.0), 2.0)  # how much stronger than the strong end a trial may be
_NEAR = 1 / 8  # of a hole: who was tried so close to its middle was tried there
_FAR = sqrt(2.0)  # how far apart in latency two points are that say how fast the loss rises


def holes(points: Sequence[tuple[float, float]], strongest_ms: float, guess: float | None = None) -> list[float]:
    """Latencies in milliseconds at which another trial promises something, the most promising first.

    What it promises is hypervolume, up to the loss of a guess. Between two neighbours of the front it is a trial in the
    middle on the straight line that joins them, a quarter of their rectangle; where others were tried in vain, so much
    less. Beyond the strong end it is a trial on the line through the front there, in the logarithm of latency: so a
    front that is still flat there is followed, and one that rises to a guess is not.

    Args:
        points: latency and loss of trials, on the front or not.
        strongest_ms: the lowest latency that any plan has.
        guess: the loss of a network that guesses; None leaves the strong end alone.
    """
    corners = [points[index] for index in pareto_front(points)]
    ceiling = inf if guess is None else guess
    found = []
    for (a_ms, a), (b_ms, b) in pairwise(corners):
        middle_ms, wide_ms = (a_ms + b_ms) / 2, b_ms - a_ms
        in_vain = sum(abs(ms - middle_ms) < _NEAR * wide_ms for ms, _ in points)
        found.append((wide_ms * (min(a, ceiling) - min(b, ceiling)) / 4 / (1 + in_vain), middle_ms))
    if guess is not None and corners:
        found += _beyond(corners, strongest_ms, guess)
    return [ms for _, ms in sorted(found, reverse=True)]


def _beyond(corners: Sequence[tuple[float, float]], strongest_ms: float, guess: float) -> list[tuple[float, float]]:
    """The better of a few steps, with what it promises; none if nothing lies beyond."""
    first_ms, loss = corners[0]
    far_ms, below = next((corner for corner in corners if corner[0] >= _FAR * first_ms), corners[-1])
    rise = (loss - below) / log(far_ms / first_ms) if far_ms > first_ms else 0.0
    steps = [first_ms / step for step in _STEPS if first_ms / step > strongest_ms]
    promised = [(_BELIEVED * (first_ms - ms) * max(guess - loss - rise * log(first_ms / ms), 0.0), ms) for ms in steps]
    return sorted(promised)[-1:]

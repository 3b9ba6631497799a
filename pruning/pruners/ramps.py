"""How a pattern is approached: shares in [0, 1] of the way to it, as functions of progress."""


def linear(progress: float, begin: float, end: float) -> float:
    """0 up to `begin`, 1 from `end` on, straight between."""
    if progress >= end:
        return 1.0
    return max(0.0, (progress - begin) / (end - begin))


def cubic(progress: float, begin: float, end: float) -> float:
    """1 - (1 - x)³: fast while there is much to remove (Zhu & Gupta 2017, arXiv 1710.01878)."""
    return 1.0 - (1.0 - linear(progress, begin, end)) ** 3


def stairs(progress: float, begin: float, end: float, updates: int) -> int:
    """How many of `updates` equal steps from `begin` to `end` are behind us, the last of them at `end`."""
    return int(linear(progress, begin, end) * updates + 1e-9)

"""Where a repeated sequence starts over: profilers write down one run after the other, without a mark between them."""

from collections.abc import Hashable, Sequence


def period(keys: Sequence[Hashable]) -> int:
    """The shortest length after which the sequence says the same again, to its end; its own length if it never does.

    By the borders of all prefixes (Knuth, Morris and Pratt), linear in time. The last repetition may be cut off: the
    length of the sequence is then no multiple of the period.
    """
    borders = [0] * len(keys)
    for at in range(1, len(keys)):
        border = borders[at - 1]
        while border and keys[at] != keys[border]:
            border = borders[border - 1]
        borders[at] = border + (keys[at] == keys[border])
    return len(keys) - borders[-1] if keys else 0

"""Batches read ahead are the same ones, their errors surface, and no thread outlives the loop, however it ends."""

import threading
from collections.abc import Iterator
from itertools import islice

import pytest

from app.search.samples.prefetch import Prefetched


class Numbers:
    """Goes through `count` numbers, or fails at one."""

    def __init__(self, count: int, fail_at: int = -1) -> None:
        self.count, self.fail_at, self.read, self.rounds = count, fail_at, 0, 0

    def __iter__(self) -> Iterator[int]:
        self.rounds += 1
        for number in range(self.count):
            if number == self.fail_at:
                raise LookupError(f"number {number}")
            self.read += 1
            yield number


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_same_in_the_same_order_and_again(count: int, depth: int) -> None:
    source = Numbers(count)
    ahead = Prefetched(source, depth)
    assert [list(ahead), list(ahead)] == [list(range(count))] * 2
    assert source.rounds == 2 and not threads()


def test_an_error_surfaces_where_the_batch_was_to_be_used() -> None:
    batches = iter(Prefetched(Numbers(5, fail_at=3)))
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LookupError, match="number 3"):
        next(batches)
    assert not threads()


def test_who_leaves_early_leaves_nobody_behind_and_little_was_read() -> None:
    source = Numbers(1000)
    assert list(islice(Prefetched(source, 2), 3)) == [0, 1, 2]
    assert not threads()
    assert source.read <= 3 + 2 + 1


def test_reading_overlaps_using() -> None:
    began = threading.Event()

    class Slow:
        def __iter__(self) -> Iterator[int]:
            yield 0
            began.set()  # only a reader of its own gets here before the first is given back
            yield 1

    batches = iter(Prefetched(Slow()))
    assert next(batches) == 0
    assert began.wait(10)
    assert list(batches) == [1]

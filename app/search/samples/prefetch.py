"""Reading the next batches while the model works on this one. Order, values and errors are those of the batches."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
_PATIENCE_S = 0.1  # after which a reader whose user has left looks up


@dataclass(frozen=True)
class Prefetched(Generic[T]):
    """Batches read ahead by one thread, `depth` at most; each time it is gone through, so are the batches.

    The thread has ended when the iteration has, however it ends.
    """

    batches: Iterable[T]
    depth: int = 2

    def __iter__(self) -> Iterator[T]:
        ready: Queue[tuple[T] | BaseException | None] = Queue(self.depth)
        left = threading.Event()
        thread = threading.Thread(target=self._read, args=(ready, left), name="prefetch", daemon=True)
        thread.start()
        try:
            while (found := ready.get()) is not None:
                if isinstance(found, BaseException):
                    raise found
                yield found[0]
        finally:
            left.set()
            with suppress(Empty):  # make room for one who waits to put
                ready.get_nowait()
            thread.join()

    def _read(self, ready: "Queue[tuple[T] | BaseException | None]", left: threading.Event) -> None:
        end: BaseException | None = None
        try:
            for batch in self.batches:
                if not _put(ready, (batch,), left):
                    return
        except BaseException as error:  # raised where the batch was to be used
            end = error
        _put(ready, end, left)


def _put(
    ready: "Queue[tuple[T] | BaseException | None]", value: "tuple[T] | BaseException | None", left: threading.Event
) -> bool:
    """Whether it was put; False if the user has left."""
    while not left.is_set():
        with suppress(Full):
            ready.put(value, timeout=_PATIENCE_S)
            return True
    return False

"""Keys: UUIDv7, whose text sorts in the order of making."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from app.store.ids import new_id


def test_keys_grow_and_are_version_7() -> None:
    keys = [new_id() for _ in range(20_000)]
    assert sorted(set(keys)) == keys
    parsed = uuid.UUID(keys[-1])
    assert parsed.version == 7 and parsed.variant == uuid.RFC_4122
    assert abs((parsed.int >> 80) - time.time() * 1000) < 60_000


def test_threads_make_different_keys() -> None:
    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(lambda _: [new_id() for _ in range(2000)], range(8)))
    assert len({key for batch in batches for key in batch}) == 16_000
    assert all(sorted(batch) == batch for batch in batches)


def test_a_clock_that_goes_back_does_not_take_the_order_with_it(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    before = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    assert before < new_id() < new_id()

"""Two at once, on two connections: whoever comes second waits, then finds what the first wrote."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from app.store import fronts, leases, searches, trials
from app.store.database import Database
from tests.app.store.made import OTHER_PROFILE, PROFILE, asked, complete, project, search

T = TypeVar("T")
START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(seconds=60)
COMMITTED_AFTER_S = 0.15


def overlapping(database: Database, first: Callable[[Session], Any], second: Callable[[Session], T]) -> T:
    """Do `first`, begin `second` on another connection, only then commit the first; what the second gives."""
    begun = threading.Event()

    def follow() -> T:
        begun.set()
        with database.begin() as s:
            return second(s)

    with ThreadPoolExecutor(1) as pool:
        with database.begin() as s:
            first(s)
            answer: Future[T] = pool.submit(follow)
            begun.wait()
            threading.Event().wait(COMMITTED_AFTER_S)  # time enough for the second to get in the way
            assert not answer.done(), "it did not wait"
        return answer.result(60)


def queued(database: Database, *numbers: int) -> str:
    """A search with trials that were asked for."""
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [asked(n, latency_ms=float(9 - n)) for n in numbers])
    return key


def test_a_holder_that_renews_keeps_others_out(database: Database) -> None:
    with database.begin() as s:
        assert leases.acquire(s, name="n", holder="slow", ttl_s=5, now=START) == 1
    epoch = overlapping(
        database,
        lambda s: leases.renew(s, name="n", holder="slow", epoch=1, ttl_s=60, now=START),
        lambda s: leases.acquire(s, name="n", holder="quick", ttl_s=5, now=START + timedelta(seconds=6)),
    )
    assert epoch is None


def test_a_holder_that_was_followed_cannot_renew(database: Database) -> None:
    with database.begin() as s:
        assert leases.acquire(s, name="n", holder="slow", ttl_s=5, now=START) == 1
    renewed = overlapping(
        database,
        lambda s: leases.acquire(s, name="n", holder="quick", ttl_s=5, now=LATER),
        lambda s: leases.renew(s, name="n", holder="slow", epoch=1, ttl_s=60, now=START),
    )
    assert not renewed


def test_a_search_is_claimed_by_one(database: Database) -> None:
    with database.begin() as s:
        key = search(s)
    with ThreadPoolExecutor(2) as pool:
        gate = threading.Barrier(2)

        def claim(holder: str) -> object:
            gate.wait()
            with database.begin() as s:
                return searches.claim(s, holder=holder, epoch=1)

        claimed = [record for record in pool.map(claim, "ab") if record is not None]
    assert len(claimed) == 1
    with database.read() as s:
        assert searches.get(s, project(s), key) == claimed[0]


def test_a_batch_asked_for_by_two_is_there_once(database: Database) -> None:
    key = queued(database)
    batch = [asked(n) for n in range(3)]
    overlapping(
        database,
        lambda s: trials.add_asked(s, key, batch),
        lambda s: trials.add_asked(s, key, [*batch, asked(3)]),
    )
    with database.read() as s:
        found = trials.history(s, key)
    assert [trial.number for trial in found] == [0, 1, 2, 3] and all(len(trial.costs) == 2 for trial in found)


def test_a_late_start_does_not_undo_a_record(database: Database) -> None:
    key = queued(database, 2)
    done = complete(asked(2, latency_ms=7.0), 0.5)
    overlapping(database, lambda s: trials.record(s, key, done), lambda s: trials.set_running(s, key, 2, attempt=2))
    with database.read() as s:
        assert trials.history(s, key) == [done]


def test_of_two_records_the_first_stands(database: Database) -> None:
    key = queued(database, 2)
    first, second = (complete(asked(2, latency_ms=7.0), value) for value in (0.5, 0.9))
    assert not overlapping(database, lambda s: trials.record(s, key, first), lambda s: trials.record(s, key, second))
    with database.read() as s:
        assert trials.history(s, key) == [first]


def test_two_records_at_once_leave_one_true_front(database: Database) -> None:
    key = queued(database, 2, 3)

    def record(number: int, accuracy: float) -> Callable[[Session], None]:
        def write(s: Session) -> None:
            trials.record(s, key, complete(asked(number, latency_ms=float(9 - number)), accuracy))
            fronts.update(s, key, [PROFILE, OTHER_PROFILE])

        return write

    # the second is faster and better: the first must leave the front, though neither saw the other begin
    overlapping(database, record(2, 0.5), record(3, 0.9))
    with database.read() as s:
        for profile in (PROFILE, OTHER_PROFILE):
            stored = fronts.get(s, key, profile)
            assert [point.number for point in stored] == [3] and stored == fronts.recomputed(s, key, profile)


def test_an_end_and_a_wish_to_cancel_at_once(database: Database) -> None:
    with database.begin() as s:
        key, mine = search(s), project(s)
    overlapping(
        database,
        lambda s: searches.finish(s, key, state="succeeded"),
        lambda s: searches.request_cancel(s, mine, key),
    )
    with database.read() as s:
        record = searches.get(s, mine, key)
    assert (record.state, record.desired) == ("succeeded", "run")


def test_an_end_and_a_phase_at_once(database: Database) -> None:
    with database.begin() as s:
        key, mine = search(s), project(s)
    overlapping(
        database,
        lambda s: searches.finish(s, key, state="cancelled"),
        lambda s: searches.set_phase(s, key, "searching"),
    )
    with database.read() as s:
        assert searches.get(s, mine, key).phase is None

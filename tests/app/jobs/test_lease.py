"""Of two coordinators never both write."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs.lease import Lease, LeaseLost, Renewal, StoreAway, new_holder
from app.store import events, projects
from app.store.database import Database
from app.store.errors import NotFound


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'espalier.db'}")
    database.migrate()
    yield database
    database.dispose()


def taken(database: Database, ttl_s: float = 60.0) -> Lease:
    lease = Lease.acquire(database, new_holder(), ttl_s)
    assert lease is not None
    return lease


def note(lease: Lease, text: str) -> int:
    return lease.write(lambda s: events.add(s, project_id=projects.default(s).id, kind="note", payload={"text": text}))


def notes(database: Database) -> list[str]:
    with database.read() as s:
        found = events.after(s, projects.default(s).id, after_id=0, limit=1000)
    return [event.payload["text"] for event in found]


def test_one_holds_it_until_it_is_given_back(database: Database) -> None:
    first = taken(database)
    assert Lease.acquire(database, new_holder(), 60.0) is None
    first.release()
    second = taken(database)
    assert second.epoch > first.epoch


def test_after_a_takeover_the_old_holder_writes_nothing(database: Database) -> None:
    old = taken(database, ttl_s=0.01)
    note(old, "before")
    old.release()
    new = taken(database)
    with pytest.raises(LeaseLost):
        note(old, "late")
    note(new, "now")
    assert notes(database) == ["before", "now"]
    old.release()  # what is somebody else's cannot be given back
    assert Lease.acquire(database, new_holder(), 60.0) is None


def test_a_failed_action_leaves_nothing(database: Database) -> None:
    lease = taken(database)

    def half(s: object) -> None:
        events.add(s, project_id=projects.default(s).id, kind="note", payload={"text": "half"})  # type: ignore[arg-type]
        raise NotFound("model", "m")

    with pytest.raises(NotFound):
        lease.write(half)
    assert notes(database) == []


def test_a_database_that_comes_back_is_waited_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = taken(database)
    monkeypatch.setattr("app.jobs.patience._PAUSES_S", (0.0, 0.0))
    failures = iter([OSError("gone"), OSError("gone")])

    def flaky(_: object) -> int:
        for error in failures:
            raise error
        return 7

    assert lease.write(flaky) == 7
    with pytest.raises(StoreAway):
        lease.write(lambda _: 1 / 0)
    with pytest.raises(StoreAway):
        lease.read(lambda _: 1 / 0)


def test_two_writers_take_turns_and_never_mix(database: Database) -> None:
    """Each holder writes pairs as fast as it can until it is refused; a pair is never torn or interleaved."""
    stop = threading.Event()

    def work(name: str) -> None:
        while not stop.is_set():
            lease = Lease.acquire(database, new_holder(), 0.03)
            if lease is None:
                time.sleep(0.005)
                continue
            try:
                for i in range(3):
                    note(lease, f"{lease.epoch}/{name}/{i}")
                    time.sleep(0.02 if i == 1 else 0.0)
            except LeaseLost:
                pass

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 20.0
    while len({text.split("/")[0] for text in notes(database)}) < 5 and time.monotonic() < until:
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join(10.0)
    epochs = [int(text.split("/")[0]) for text in notes(database)]
    assert len(set(epochs)) >= 5
    assert epochs == sorted(epochs), "once a later epoch wrote, no earlier one did"
    owners = {text.split("/")[0]: set[str]() for text in notes(database)}
    for text in notes(database):
        owners[text.split("/")[0]].add(text.split("/")[1])
    assert all(len(who) == 1 for who in owners.values())


def test_renewal_keeps_it_and_tells_when_it_is_gone(database: Database) -> None:
    lease = taken(database, ttl_s=1.2)
    renewal = Renewal(lease)
    time.sleep(1.6)
    assert not renewal.lost.is_set()
    assert Lease.acquire(database, new_holder(), 60.0) is None
    lease.release()
    taken(database)
    assert renewal.lost.wait(5.0)
    renewal.end()

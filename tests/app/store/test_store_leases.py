"""Leases: of all terms ever given, only the last can write, whatever the clocks say."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.store import leases, models
from app.store.database import Database
from tests.app.store.made import project

START = datetime(2026, 1, 1, tzinfo=UTC)
steps = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "renew"]),
        st.sampled_from(["a", "b", "c"]),
        st.floats(-30, 30),  # seconds that pass; clocks of different machines may go back
        st.floats(0, 20),
        st.integers(0, 9),
    ),
    max_size=25,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_only_the_last_term_can_be_renewed(database: Database, steps: list) -> None:
    terms: list[tuple[str, int]] = []
    until, now = START, START
    with database.begin() as s:
        name = f"lease{id(steps)}{len(steps)}"
        for action, holder, passed_s, ttl_s, pick in steps:
            now += timedelta(seconds=passed_s)
            if action == "acquire":
                epoch = leases.acquire(s, name=name, holder=holder, ttl_s=ttl_s, now=now)
                free = not terms or terms[-1][0] == holder or until <= now
                assert (epoch is not None) == free
                if epoch is not None:
                    assert epoch == len(terms) + 1, "epochs grow by one with every term"
                    terms.append((holder, epoch))
                    until = now + timedelta(seconds=ttl_s)
            elif terms:
                holder, epoch = terms[pick % len(terms)]
                renewed = leases.renew(s, name=name, holder=holder, epoch=epoch, ttl_s=ttl_s, now=now)
                assert renewed == ((holder, epoch) == terms[-1])
                until = now + timedelta(seconds=ttl_s) if renewed else until
        s.rollback()


def test_a_stale_holder_is_fenced(database: Database) -> None:
    class Lost(Exception): ...

    def write(holder: str, epoch: int, name: str) -> None:
        with database.begin() as s:
            models.add(s, project_id=project(s), name=name, upload_digest="0" * 64)
            if not leases.renew(s, name="coordinator", holder=holder, epoch=epoch, ttl_s=5, now=START):
                raise Lost

    with database.begin() as s:
        assert leases.acquire(s, name="coordinator", holder="slow", ttl_s=5, now=START) == 1
        assert leases.acquire(s, name="coordinator", holder="quick", ttl_s=5, now=START) is None
    write("slow", 1, "in time")
    with database.begin() as s:  # it hangs; its time runs out; another takes over
        assert leases.acquire(s, name="coordinator", holder="quick", ttl_s=5, now=START + timedelta(seconds=6)) == 2
    write("quick", 2, "the new one")
    with pytest.raises(Lost):
        write("slow", 1, "woken up")
    with pytest.raises(Lost):
        write("slow", 2, "guessing the epoch")
    with database.read() as s:
        names = [model.name for model in models.page(s, project(s), limit=9)]
    assert names == ["the new one", "in time"]


def test_a_released_lease_is_free_at_once(database: Database) -> None:
    with database.begin() as s:
        assert leases.acquire(s, name="n", holder="a", ttl_s=60, now=START) == 1
        assert leases.renew(s, name="n", holder="a", epoch=1, ttl_s=0, now=START)
        assert leases.acquire(s, name="n", holder="b", ttl_s=60, now=START) == 2
        assert leases.acquire(s, name="another", holder="a", ttl_s=60, now=START) == 1


def test_one_of_many_gets_it(database: Database) -> None:
    gate = threading.Barrier(4)
    epochs: list[int | None] = []

    def grab(holder: str) -> None:
        gate.wait()
        with database.begin() as s:
            epochs.append(leases.acquire(s, name="n", holder=holder, ttl_s=60, now=START))

    threads = [threading.Thread(target=grab, args=(f"h{k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(epochs, key=str) == [1, None, None, None]

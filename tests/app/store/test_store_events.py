"""Events: in order, of a project, and none is skipped by a reader who remembers the last id."""

import threading
from collections.abc import Callable

import pytest

from app.store import events
from app.store.database import Database
from tests.app.store.made import other_project, project, search


def test_events_come_in_order_from_behind_an_id(database: Database) -> None:
    with database.begin() as s:
        mine, key, other = project(s), search(s), search(s)
        for n in range(6):
            events.add(s, project_id=mine, search_id=(key, other, None)[n % 3], kind="k", payload={"n": n})
    with database.read() as s:
        everything = events.after(s, mine, after_id=0, limit=9)
        assert [event.payload["n"] for event in everything] == list(range(6))
        assert sorted(event.id for event in everything) == [event.id for event in everything]
        assert events.after(s, mine, after_id=everything[2].id, limit=2) == everything[3:5]
        ours = events.after(s, mine, search_id=key, after_id=0, limit=9)
        assert [event.payload["n"] for event in ours] == [0, 3] and {event.search_id for event in ours} == {key}
        assert events.after(s, mine, search_id=key, after_id=ours[0].id, limit=9) == ours[1:]


def test_another_projects_events_are_not_told(database: Database) -> None:
    with database.begin() as s:
        mine, theirs, key = project(s), other_project(s), search(s)
        events.add(s, project_id=mine, search_id=key, kind="k", payload={})
        assert events.after(s, theirs, after_id=0, limit=9) == []
        assert events.after(s, theirs, search_id=key, after_id=0, limit=9) == []


@pytest.mark.parametrize("database", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_a_slow_writer_is_not_overtaken(database: Database) -> None:
    """PostgreSQL hands out ids before the commit: a later id must not be seen before an earlier one."""
    with database.read() as s:
        mine = project(s)
    first_has_its_id, second_is_done = threading.Event(), threading.Event()

    def write(kind: str, before: Callable[[], object], after: Callable[[], object]) -> None:
        before()
        with database.begin() as s:
            events.add(s, project_id=mine, kind=kind, payload={})
            after()
        if kind == "second":
            second_is_done.set()

    def dawdle() -> None:
        first_has_its_id.set()
        second_is_done.wait(0.5)

    threads = [
        threading.Thread(target=write, args=("first", lambda: None, dawdle)),
        threading.Thread(target=write, args=("second", first_has_its_id.wait, lambda: None)),
    ]
    for thread in threads:
        thread.start()
    seen: list[str] = []
    last = 0
    while any(thread.is_alive() for thread in threads) or len(seen) < 2:
        with database.read() as s:
            for event in events.after(s, mine, after_id=last, limit=9):
                seen.append(event.kind)
                last = event.id
    assert seen == ["first", "second"]

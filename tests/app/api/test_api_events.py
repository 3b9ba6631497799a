"""Server-sent events: everything once, from where the client left off, and an end."""

import threading
import time

import pytest

from app.api import events as stream
from app.client.sse import Event, parse
from app.store import events, searches
from tests.app.api.world import API, World


def read(world: World, search: str, **headers: str) -> list[Event]:
    answer = world.http.get(f"{API}/searches/{search}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    return list(parse(answer.text.splitlines() + [""]))


def test_a_finished_search_tells_its_story_and_ends(world: World) -> None:
    told = read(world, world.finished_search())
    assert [event.kind for event in told] == ["trial"] * 5 + ["search", "end"]
    assert told[2].data == {"number": 2, "state": "complete"}
    ids = [event.id for event in told[:-1]]
    assert ids == sorted(set(ids))


def test_coming_back_misses_nothing_and_repeats_nothing(world: World) -> None:
    search = world.finished_search()
    told = read(world, search)
    rest = read(world, search, **{"Last-Event-ID": str(told[3].id)})
    assert rest == told[4:]


def test_events_of_others_are_not_told(world: World) -> None:
    first, second = world.finished_search(), world.finished_search()
    with world.service.database.begin() as session:
        events.add(session, project_id=world.service.project_id, kind="model", payload={"id": "x"})
    assert len(read(world, first)) == len(read(world, second)) == 7


def test_more_events_than_one_read_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BATCH", 2)
    assert len(read(world, world.finished_search())) == 7


def test_what_happens_while_listening_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "POLL_S", 0.01)
    search = world.search()

    def work() -> None:
        time.sleep(0.05)
        with world.service.database.begin() as session:
            world.tell(session, search, "phase", {"phase": "scoring"})
        with world.service.database.begin() as session:
            searches.finish(session, search, state="cancelled")
            world.tell(session, search, "search", {"state": "cancelled"})

    worker = threading.Thread(target=work)
    worker.start()
    told = read(world, search)
    worker.join()
    assert [event.kind for event in told] == ["phase", "search", "end"]


@pytest.mark.parametrize("why", ["age", "shutdown"])
def test_a_connection_does_not_live_for_ever(world: World, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setattr(stream, "POLL_S", 0.01)
    if why == "age":
        monkeypatch.setattr(stream, "LIFETIME_S", 0.05)
    else:
        world.service.stopping.set()
    assert read(world, world.search()) == []


def test_an_unknown_search_is_a_problem_not_a_stream(world: World) -> None:
    answer = world.http.get(f"{API}/searches/nobody/events")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert world.http.get(f"{API}/searches/{world.search()}/events", headers={"Last-Event-ID": "x"}).status_code == 422

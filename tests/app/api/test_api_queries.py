"""What an answer costs the database: as many statements for many searches as for one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from tests.app.api.world import API, World, finished_trial, plans_and_accuracies


@contextmanager
def statements() -> Iterator[list[str]]:
    """Every statement of any connection meanwhile, without those that only begin or set something."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.split(maxsplit=1)[0] not in ("PRAGMA", "BEGIN"):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def counted(world: World, path: str) -> int:
    """The number of statements behind a GET."""
    with statements() as seen:
        assert world.http.get(f"{API}{path}").status_code == 200
    return len(seen)


def test_a_list_of_searches_takes_as_many_statements_as_one(world: World) -> None:
    world.finished_search()
    one = counted(world, "/searches")
    for _ in range(4):
        world.finished_search()
    assert len(world.http.get(f"{API}/searches").json()["items"]) == 5
    assert counted(world, "/searches") == one <= 3


def test_a_list_says_of_each_search_what_it_says_of_itself(world: World) -> None:
    for k in range(3):
        world.finished_search(name=f"n{k}")
    world.search(name="waits")
    for item in world.http.get(f"{API}/searches").json()["items"]:
        alone = world.http.get(f"{API}/searches/{item['id']}").json()
        assert {key: alone[key] for key in item} == item


def test_a_search_is_read_without_its_trials(world: World) -> None:
    first, second = world.finished_search(), world.finished_search()
    with statements() as seen:
        assert world.http.get(f"{API}/searches/{first}").json()["progress"]["done"] == 5
    assert 0 < len(seen) <= 7
    assert counted(world, f"/searches/{second}/trials") == counted(world, f"/searches/{second}/trials?limit=1")


def test_a_front_is_read_in_as_many_statements_for_many_trials_and_without_their_reports(world: World) -> None:
    few, many = world.finished_search(), world.search(name="many")
    plans = plans_and_accuracies()
    plans += plans[2:] * 200  # 605 trials: more than the ids of one IN list
    world.record(many, [finished_trial(n, plan, value, world.profile) for n, (plan, value) in enumerate(plans)])
    for name in ("front", "front.csv"):
        with statements() as seen:
            assert str(len(plans) - 1) in world.http.get(f"{API}/searches/{many}/{name}").text
        assert len(seen) == counted(world, f"/searches/{few}/{name}") <= 7
        read = " ".join(seen)
        assert "trials.number" in read and "trial_costs.latency_ms" in read
        for heavy in ("report", "coordinates", "sampler_attributes"):
            assert heavy not in read

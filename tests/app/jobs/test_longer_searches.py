"""Rungs and extensions through store, coordinator and real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.search.spec import Recovery
from app.store import searches
from tests.app.jobs.world import World, results, work


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def extend(world: World, search_id: str, more: int) -> None:
    with world.database.begin() as s:
        searches.extend(s, world.project, search_id, more)


def test_a_search_is_extended_while_it_runs_and_after_its_end(world: World) -> None:
    parts = world.parts()
    longer = world.submit(parts, trials=2)
    with world.coordinator() as coordinator:
        work(coordinator, lambda: world.finished(longer) >= 1)
        extend(world, longer, 2)
        work(coordinator, world.over(longer))
        assert len(world.trials(longer)) == 6
        first = results(world.trials(longer))
        extend(world, longer, 1)
        assert world.search(longer).state == "queued"
        work(coordinator, world.over(longer))
    found = results(world.trials(longer))
    assert first < found and len(found) == 7
    told = [event.payload["because"] for event in world.events(longer) if event.kind == "ended"]
    assert told[-1] == "trials"


def test_rungs_are_stored_and_a_new_coordinator_goes_on_with_them(world: World) -> None:
    search_id = world.submit(world.parts(), trials=6, rungs=(0, 2), recovery=Recovery(steps=5))
    with world.coordinator() as coordinator:
        work(coordinator, lambda: any(trial.recovery_steps == 2 for trial in world.trials(search_id)))
    with world.coordinator() as coordinator:
        work(coordinator, world.over(search_id))
    assert world.search(search_id).state == "succeeded", world.search(search_id).failure
    searched = world.trials(search_id)[2:]
    assert {trial.state for trial in searched} == {"complete", "stopped"}
    for trial in searched:
        fidelities = sorted({m.fidelity for m in trial.measurements})
        assert fidelities == [f for f in (0, 2, 5) if f <= trial.recovery_steps]
        assert bool(trial.files) == (trial.state == "complete")
    left = [path.name for path in (world.settings.data_dir / "work").rglob("*.safetensors")]
    assert left == []

"""What a search begins with, from a real store: nothing unless asked, and never what came after it was submitted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.jobs.problem import find_parts, option_key
from app.jobs.remembering import memory_of
from app.search.proposals.rungs import losses_of
from app.search.spec import Recovery
from app.search.table.memory import Memory
from app.store import models, scores
from tests.app.jobs.fake_search import MODEL
from tests.app.jobs.world import World, work


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def remembered(world: World, search_id: str) -> Memory:
    search = world.search(search_id)
    with world.database.read() as s:
        return memory_of(s, search, find_parts(s, search))


def test_a_warm_search_begins_with_the_trials_that_had_ended(world: World) -> None:
    parts = world.parts()
    first = world.submit(parts, trials=3)
    early = world.submit(parts, trials=1, warm_start=(first,))
    with world.coordinator() as coordinator:
        work(coordinator, world.over(first, early))
        late = world.submit(parts, trials=2, warm_start=(first,))
        work(coordinator, world.over(late))
    assert world.search(late).state == "succeeded", world.search(late).failure
    complete = [trial for trial in world.trials(first) if trial.state == "complete" and trial.role == "searched"]
    assert remembered(world, first) == Memory() == remembered(world, early)
    assert [trial.number for trial in remembered(world, late).trials] == [trial.number for trial in complete] != []


def test_trials_with_steps_of_their_own_are_stored_remembered_and_count_alike(world: World) -> None:
    parts = world.parts()
    vary = {"vary": ("learning_rate", "steps"), "recovery": Recovery(steps=40), "sampler": "random"}
    first = world.submit(parts, trials=6, **vary)
    with world.coordinator() as coordinator:
        work(coordinator, world.over(first))
    late = world.submit(parts, trials=2, warm_start=(first,), **vary)
    stored = {trial.number: trial for trial in world.trials(first)[2:]}
    assert {trial.state for trial in stored.values()} == {"complete"}
    assert len({trial.recovery_steps for trial in stored.values()}) > 1
    assert len({trial.learning_rate_factor for trial in stored.values()}) > 1
    found = remembered(world, late).trials
    assert [trial.number for trial in found] == sorted(stored)
    for trial in found:
        assert trial.recovery_steps == max(1, round(40 * trial.coordinates["steps"]))
        assert losses_of(trial) == {40: losses_of(stored[trial.number])[trial.recovery_steps]}


def test_a_pooled_search_begins_with_what_other_models_lost(world: World) -> None:
    parts = world.parts()
    first = world.submit(parts, trials=1)
    with world.coordinator() as coordinator:
        work(coordinator, world.over(first))
    search = world.search(first)
    with world.database.begin() as s:
        key = option_key(search, find_parts(s, search))
        mine = scores.options(s, key.key)["options"]
        found = models.add(s, project_id=world.project, name="like it", upload_digest="7" * 64)
        models.set_ready(s, found.id, graph_digest="7" * 64, weights_digest="8" * 64, spec=MODEL.to_json())
        scores.put_options(s, replace(key, key="9" * 64, weights_digest="8" * 64), mine, 64)
    pooled = world.submit(parts, trials=1, pooled=True)
    prior = remembered(world, pooled).prior
    assert set(mine) <= set(prior)
    assert remembered(world, first).prior == {}
    with world.coordinator() as coordinator:
        work(coordinator, world.over(pooled))
    assert world.search(pooled).state == "succeeded", world.search(pooled).failure

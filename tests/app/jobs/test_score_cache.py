"""Errors of options in a real store: what one search paid for, no other search, device or teammate pays again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from app.store import profiles
from app.store.tables import OptionError
from costmodels.catalogue import accelerator_profile
from tests.app.jobs.world import World, work


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def another_device(world: World) -> str:
    profile = accelerator_profile("eyeriss-v2", 1)
    with world.database.begin() as s:
        return profiles.add(s, project_id=world.project, name="twin", document=profile.to_json(), digest="f" * 64).id


def test_a_second_search_scores_nothing_and_a_new_sparsity_is_all_that_a_third_pays_for(world: World) -> None:
    model, data, chip = world.parts()
    first = world.submit((model, data, chip), trials=1)
    with world.coordinator() as coordinator:
        work(coordinator, world.over(first))
        paid, known = world.runs("score"), stored(world)
        assert paid > 0 and known
        twin = another_device(world)
        same = [world.submit((model, data, twin), trials=1), world.submit((model, data, chip), trials=2, name="again")]
        work(coordinator, world.over(*same))
        assert world.runs("score") == paid and stored(world) == known
        more = world.submit((model, data, chip), trials=1, sparsities=(0.5, 0.7, 0.99))
        work(coordinator, world.over(more))
    assert {world.search(i).state for i in (first, *same, more)} == {"succeeded"}
    assert world.runs("score") > paid
    new = set(stored(world)) - set(known)
    assert new and stored(world).items() >= known.items()
    assert all("0.99" in option or "0.7" in option or "0.5" in option for option in new)


def stored(world: World) -> dict[str, float]:
    """Every option's error, of whatever key."""
    with world.database.read() as s:
        rows = s.execute(select(OptionError.option, OptionError.error)).all()
    assert len({row.option for row in rows}) == len(rows), "nothing was measured twice"
    return {row.option: row.error for row in rows}


def test_a_scoring_that_was_cut_short_leaves_what_it_had(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.search.table.error_table.OPTIONS_A_TASK", 4)
    parts = world.parts()
    first = world.submit(parts, trials=1)
    with world.coordinator() as coordinator:
        work(coordinator, lambda: 0 < len(stored(world)))
        world.cancel(first)
        work(coordinator, world.over(first))
        had = stored(world)
        second = world.submit(parts, trials=1)
        work(coordinator, world.over(second))
    assert world.search(second).state == "succeeded"
    assert stored(world).items() >= had.items()

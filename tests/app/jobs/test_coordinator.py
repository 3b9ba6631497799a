"""The coordinator over a real store and real processes: rows become work, and work becomes rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.jobs import following
from app.jobs.problem import build_problem
from app.search.spec import Limit
from app.store import datasets, fronts, models, profiles
from app.store.records import SearchRecord
from tests.app.jobs.world import World, work


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def model_state(world: World, model: str) -> str:
    with world.database.read() as s:
        return models.get(s, world.project, model).state


def test_a_search_goes_from_upload_to_front(world: World) -> None:
    """Submitted while its model is not even read: it waits, runs, and ends with everything stored."""
    parts = world.parts()
    search_id = world.submit(parts)
    with world.coordinator() as coordinator:
        work(coordinator, world.over(search_id))
    search = world.search(search_id)
    assert search.state == "succeeded", search.failure
    assert search.space is not None
    assert search.bound is not None
    found = world.trials(search_id)
    assert [t.number for t in found] == list(range(10))
    assert [t.role for t in found[:3]] == ["dense", "dense_recovered", "searched"]
    assert {t.state for t in found} == {"complete"}
    for trial in found:
        assert world.blobs.local_path(trial.files["weights"], Path("unused")).read_text().startswith(trial.plan.digest)
    with world.database.read() as s:
        front = fronts.get(s, search_id, parts[2])
        assert front
        assert front == fronts.recomputed(s, search_id, parts[2])
    left = [path.name for path in (world.settings.data_dir / "work").rglob("*.safetensors")]
    assert left == [], "the task's own copies are gone once the artefact store has them"


def test_events_tell_the_story_in_order(world: World) -> None:
    search_id = world.submit(world.parts(), trials=2)
    with world.coordinator() as coordinator:
        work(coordinator, world.over(search_id))
    told = [(event.kind, dict(event.payload)) for event in world.events(search_id)]
    assert told[0] == ("search", {"state": "running"})
    assert told[-1] == ("search", {"state": "succeeded", "failure": None})
    phases = [payload["phase"] for kind, payload in told if kind == "phase"]
    assert phases == ["inspecting", "solving", "scoring", "searching"]
    for number in range(4):
        states = [payload["state"] for kind, payload in told if kind == "trial" and payload["number"] == number]
        assert states == ["queued", "running", "complete"]
    others = [(event.kind, event.payload["state"]) for event in world.events() if event.search_id is None]
    assert ("model", "inspecting") in others
    assert others.index(("model", "inspecting")) < others.index(("model", "ready"))
    assert ("dataset", "ready") in others


def test_a_refused_model_says_why_and_takes_its_search_along(world: World) -> None:
    parts = world.parts(upload=b"bad")
    search_id = world.submit(parts)
    with world.coordinator() as coordinator:
        work(coordinator, world.over(search_id))
    with world.database.read() as s:
        model = models.get(s, world.project, parts[0])
    assert model.state == "refused"
    assert model.failure is not None
    assert model.failure["code"] == "model_refused"
    search = world.search(search_id)
    assert search.state == "failed"
    assert search.failure is not None
    assert search.failure["code"] == "model_refused"
    assert "torch.export.save" in search.failure["reason"]


def test_an_inspection_that_dies_is_tried_again_and_then_refused(world: World) -> None:
    model, dataset, _ = world.parts()
    world.order("kill-inspect.2")
    world.order("kill-prepare.3")
    with world.coordinator() as coordinator:
        work(coordinator, lambda: model_state(world, model) == "ready")
        assert world.runs("inspect") == 3

        def refused() -> bool:
            with world.database.read() as s:
                return datasets.get(s, world.project, dataset).state == "refused"

        work(coordinator, refused)
        assert world.runs("prepare") == 3
    with world.database.read() as s:
        failure = datasets.get(s, world.project, dataset).failure
    assert failure is not None
    assert failure["code"] == "lost"


def test_a_measured_profile_waits_for_its_model(world: World) -> None:
    model, _, _ = world.parts()
    with world.database.begin() as s:
        asked = {"model": model, "batch": 4, "threads": 1}
        wanted = profiles.add(s, project_id=world.project, name="this machine", request=asked)

    def state() -> Any:
        with world.database.read() as s:
            return profiles.get(s, world.project, wanted.id)

    with world.coordinator() as coordinator:
        work(coordinator, lambda: state().state == "ready")
    assert state().document["batch"] == 4
    assert state().digest


def test_cancel_stops_within_seconds_and_the_next_search_goes_on(world: World) -> None:
    world.order("slow", "60")
    parts = world.parts()
    search_id, queued = world.submit(parts), world.submit(parts)
    with world.coordinator() as coordinator:
        work(coordinator, lambda: any(t.state == "running" for t in world.trials(search_id)))
        world.order("slow", "0.01")
        world.cancel(search_id)
        world.cancel(queued)
        work(coordinator, world.over(search_id, queued))
        after = world.submit(parts, trials=1)
        work(coordinator, world.over(after))
    assert world.search(after).state == "succeeded"
    for cancelled in (search_id, queued):
        search = world.search(cancelled)
        assert search.state == "cancelled"
        assert search.failure is None
        assert {t.state for t in world.trials(cancelled)} <= {"stopped", "complete"}


def test_an_impossible_limit_fails_with_the_range_and_before_any_task(world: World) -> None:
    parts = world.parts()
    search_id = world.submit(parts, limits=(Limit(profile=parts[2], share=1e-5),))
    with world.coordinator() as coordinator:
        work(coordinator, world.over(search_id))
    search = world.search(search_id)
    assert search.state == "failed"
    assert search.failure is not None
    assert search.failure["code"] == "limit_unreachable"
    assert search.failure["details"]["lowest_ms"] > search.failure["details"]["limit_ms"]
    assert world.runs("score") == world.runs("trial") == 0


def test_a_precision_that_is_not_the_profiles_fails_with_the_word_to_acknowledge(world: World) -> None:
    search_id = world.submit(world.parts(), precision="float32")
    with world.coordinator() as coordinator:
        work(coordinator, world.over(search_id))
    failure = world.search(search_id).failure
    assert failure is not None
    assert failure["code"] == "profile_mismatch"
    assert "acknowledge" in failure["reason"]


def test_what_breaks_in_one_search_leaves_the_others_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = world.parts()
    bad, good = world.submit(parts, trials=1), world.submit(parts, trials=1, seed=4)

    def build(search: SearchRecord, *rest: Any) -> Any:
        if search.id == bad:
            raise ZeroDivisionError("secret")
        return build_problem(search, *rest)

    monkeypatch.setattr(following, "build_problem", build)
    with world.coordinator() as coordinator:
        work(coordinator, world.over(bad, good))
    assert world.search(good).state == "succeeded"
    failure = world.search(bad).failure
    assert failure is not None
    assert failure["code"] == "internal"
    assert "secret" not in str(failure)
    assert failure["details"]["incident"] in failure["reason"]


def test_a_write_that_is_not_taken_is_tried_again_from_the_stored_trials(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.patience._PAUSES_S", ())
    search_id = world.submit(world.parts(), trials=2)
    original = fronts.update
    outages = iter([OSError("the database went away")] * 2)

    def update(*args: Any) -> None:
        if world.runs("trial") > 1:
            for outage in outages:
                raise outage
        original(*args)

    monkeypatch.setattr(fronts, "update", update)
    with world.coordinator() as coordinator:
        work(coordinator, world.over(search_id))
    assert world.search(search_id).state == "succeeded"
    assert next(outages, None) is None, "both outages happened"
    assert world.finished(search_id) == 4
    assert world.runs("trial") == 4, "a result that could not be written was found again, not computed again"


def test_the_error_table_is_measured_once(world: World) -> None:
    parts = world.parts()
    first = world.submit(parts, trials=1)
    with world.coordinator() as coordinator:
        work(coordinator, world.over(first))
        once = world.runs("score")
        again, other = world.submit(parts, trials=1), world.submit(parts, trials=1, calibration_samples=64)
        work(coordinator, world.over(again, other))
    assert {world.search(i).state for i in (first, again, other)} == {"succeeded"}
    assert world.runs("score") == 2 * once > 0, "the second search found the table; other data is another table"

"""What becomes of outcomes that the store does not take: nothing else is lost with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from app.jobs.intake import Intake
from app.jobs.lease import Lease, StoreAway
from app.jobs.shared import Desk
from app.search.executor import Outcome, Task
from app.store import models
from app.store.errors import Conflict
from tests.app.jobs.world import World


class Told:
    """A desk whose tasks end as it is told."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.happened: list[Outcome] = []

    def submit(self, task: Task) -> None:
        self.tasks.append(task)

    def poll(self, timeout_s: float) -> list[Outcome]:
        del timeout_s
        happened, self.happened = self.happened, []
        return happened


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def open_intake(world: World, names: list[str]) -> tuple[Intake, Told, list[str]]:
    """An intake with a model of each name under way, whose tasks have ended well."""
    digest, _ = world.blobs.put_bytes(b"upload")
    with world.database.begin() as s:
        ids = [models.add(s, project_id=world.project, name=name, upload_digest=digest).id for name in names]
    lease, desk = Lease.acquire(world.database, "me", 60.0), Told()
    assert lease is not None
    intake = Intake(lease, world.blobs, cast(Desk, desk), Path("unused"))
    intake.look()
    for task in desk.tasks:
        files = {}
        for kind in ("graph", "weights"):
            path = world.orders / f"{kind}-{len(desk.happened)}"
            path.write_text(kind)
            files[kind] = str(path)
        desk.happened.append(Outcome(task=task.id, state="done", result={"spec": {}}, files=files))
    return intake, desk, ids


def states(world: World, ids: list[str]) -> list[str]:
    with world.database.read() as s:
        return [models.get(s, world.project, key).state for key in ids]


def failing(monkeypatch: pytest.MonkeyPatch, bad: str, error: Exception) -> None:
    """That row is not taken."""
    real = models.set_ready

    def set_ready(s: Any, model_id: str, **ready: Any) -> None:
        if model_id == bad:
            raise error
        real(s, model_id, **ready)

    monkeypatch.setattr(models, "set_ready", set_ready)


def test_a_row_that_refuses_its_result_fails_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    intake, _, ids = open_intake(world, ["first", "second"])
    failing(monkeypatch, ids[0], Conflict("somebody else wrote it"))
    intake.collect()
    assert states(world, ids) == ["refused", "ready"]


def test_a_store_that_is_away_for_one_outcome_leaves_the_others_for_the_next_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.patience._PAUSES_S", ())
    intake, desk, ids = open_intake(world, ["first", "second"])
    failing(monkeypatch, ids[0], OSError("away"))
    with pytest.raises(StoreAway):
        intake.collect()
    assert states(world, ids) == ["inspecting", "inspecting"]
    intake.collect()
    assert states(world, ids) == ["inspecting", "ready"]
    intake.look()
    assert len(desk.tasks) == 3, "the first is asked for again; its stored end answers at once"

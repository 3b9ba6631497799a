"""The demo's walk over REST, with the training and the worker played by the test."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.cli import demo
from app.settings import Settings
from app.store import datasets, fronts, models, profiles, searches, trials
from tests.app.api.world import MODEL, World, finished_trial, measured_profile, plans_and_accuracies

ZIP = b"PK\x03\x04 the demo's model"


def play_worker(world: World) -> None:
    """Do at once what a worker would do in a minute."""
    with world.service.database.begin() as session:
        for model in models.waiting(session):
            models.set_ready(session, model.id, graph_digest="1" * 64, weights_digest="2" * 64, spec=MODEL.to_json())
        for dataset in datasets.waiting(session):
            datasets.set_ready(
                session, dataset.id, meta={"classes": ["0"], "input_shape": [1, 8, 8]}, arrays_digest="3" * 64
            )
        for profile in profiles.waiting(session):
            done = measured_profile(batch=64)
            profiles.set_ready(session, profile.id, document=done.to_json(), digest=done.digest)
        for search in searches.page(session, world.service.project_id, limit=10, state="queued"):
            first = search.spec["profiles"][0]
            made = [
                finished_trial(n, plan, accuracy, first) for n, (plan, accuracy) in enumerate(plans_and_accuracies())
            ]
            trials.add_asked(session, search.id, [t.evolve(state="queued", measurements=()) for t in made])
            for trial in made:
                trials.record(session, search.id, trial)
            fronts.update(session, search.id, search.spec["profiles"])
            searches.finish(session, search.id, state="succeeded")


@pytest.fixture
def trained(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    from app.cli import upload
    from app.client import Client, handles

    made: list[Path] = []

    def train(path: Path) -> None:
        made.append(path)
        path.write_bytes(ZIP)

    @contextmanager
    def service(settings: Settings) -> Iterator[Any]:
        with Client(f"http://127.0.0.1:{settings.port}") as client:
            yield client, None

    monkeypatch.setattr(demo, "_train", train)
    monkeypatch.setattr(demo, "_service", service)
    for module in (handles, upload):
        monkeypatch.setattr(module.time, "sleep", lambda _: play_worker(world))
    return made


def test_twice_keeps_both_histories_and_trains_once(
    world: World, trained: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.run(8765, once=True, trials=3) == 0
    first = capsys.readouterr()
    assert "Training the demo's own model" in first.err
    assert "dense, as uploaded" in first.out and "http://127.0.0.1:8765/searches/" in first.out
    assert demo.run(8765, once=True, trials=3) == 0
    assert "Training" not in capsys.readouterr().err
    assert len(trained) == 1
    listed = world.http.get("/api/v1/searches").json()["items"]
    assert len(listed) == 2
    assert listed[0]["profiles"] == listed[1]["profiles"]
    assert listed[0]["model"] == listed[1]["model"]
    sources = [world.http.get(f"/api/v1/profiles/{key}").json()["source"] for key in listed[0]["profiles"]]
    assert sources == ["measured", "analytical"]


@pytest.mark.usefixtures("trained")
def test_a_search_that_fails_is_a_failed_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = searches.finish
    failure = {"code": "x", "reason": "the worker has no memory", "details": {}}
    monkeypatch.setattr(searches, "finish", lambda s, key, **_: finish(s, key, state="failed", failure=failure))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - typer's exit
        demo.run(8765, once=True, trials=3)
    assert getattr(caught.value, "exit_code", None) == 1


def test_training_speaks_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps({"text": "epoch 1"}), "plain words", json.dumps({"accuracy": 0.975})]
    script = tmp_path / "fake"
    script.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    script.chmod(0o755)
    monkeypatch.setattr(demo.sys, "executable", str(script))
    demo._train(tmp_path / "x.pt2")
    said = capsys.readouterr().err
    assert "epoch 1" in said and "plain words" in said and "97.50% accuracy" in said
    script.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(SystemExit, match="could not be trained"):
        demo._train(tmp_path / "x.pt2")

"""The client's exports: waiting ends with the request, or with the time."""

from pathlib import Path
from typing import Any

import pytest

from app.client import Client
from app.client.exports import ENDINGS
from app.search.exports.passport import FILES
from app.store import trial_requests, trials
from tests.app.api.world import World, finished_trial, plans_and_accuracies


def test_the_endings_are_the_services() -> None:
    assert ENDINGS == FILES


def test_asking_waiting_and_downloading(
    world: World, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, (plan, accuracy) = world.search(), plans_and_accuracies()[2]
    made = finished_trial(2, plan, accuracy, world.profile)
    world.record(search, [made.evolve(files={"weights": world.artefact(b"w", "weights")})])
    request = client.export_trial(search, 2, ["onnx"])
    assert client.wait_for_request(request, timeout_s=0.05, every_s=0.02)["state"] == "queued"
    files = {"onnx": world.artefact(b"graph", "onnx"), "passport": world.artefact(b'{"hops": []}', "passport")}

    def finish(_: float) -> None:
        with world.service.database.begin() as s:
            trial_requests.set_ready(s, request["id"], result={}, files=files)
            trials.add_files(s, search, 2, files)

    monkeypatch.setattr("app.client.exports.time.sleep", finish)
    paths: Any = client.export(search, 2, ["onnx"], tmp_path / "out")
    assert {kind: path.name for kind, path in paths.items()} == {"onnx": "trial-2.onnx", "passport": "trial-2.json"}
    assert paths["onnx"].read_bytes() == b"graph" and client.get_passport(search, 2) == {"hops": []}
    assert client.list_trial_requests(search, 2)["items"][0]["state"] == "ready"

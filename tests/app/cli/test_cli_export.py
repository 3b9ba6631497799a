"""`espalier export` and `espalier apply`: they wait, download, and leave with 1 where a file could not be made."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.client import Client
from app.store import trial_requests, trials
from tests.app.api.world import World, finished_trial, plans_and_accuracies

DONE: dict[str, Any] = {
    "name": "pt2",
    "state": "done",
    "difference": {"against": "smaller", "absolute": 2e-6, "relative": 1e-7, "samples": 128},
    "file": {"kind": "model", "sha256": "a" * 64, "bytes": 1234, "deflated_bytes": 600},
}
FAILED: dict[str, Any] = {
    "name": "onnx",
    "state": "failed",
    "difference": None,
    "file": None,
    "failure": {"code": "export", "reason": "ONNX opset 20 has no form of aten.roll at stage.0"},
}


@pytest.fixture
def search(world: World) -> str:
    """A search whose trial 2 is complete."""
    made, (plan, accuracy) = world.search(), plans_and_accuracies()[2]
    files = {"weights": world.artefact(b"w", "weights")}
    world.record(made, [finished_trial(2, plan, accuracy, world.profile).evolve(files=files)])
    return made


def end(monkeypatch: pytest.MonkeyPatch, world: World, *, files: dict[str, str], **ended: Any) -> None:
    """What a worker does while the command waits."""

    def wait(client: Client, request: Any, **_: Any) -> Any:
        with world.service.database.begin() as s:
            if "failure" in ended:
                trial_requests.set_failed(s, request["id"], ended["failure"])
            else:
                trial_requests.set_ready(s, request["id"], result=ended["result"], files=files)
                if request["kind"] == "export":
                    trials.add_files(s, request["search"], request["number"], files)
        return client.get_trial_request(request["search"], request["number"], request["id"])

    monkeypatch.setattr(Client, "wait_for_request", wait)


def passport(world: World, *hops: dict[str, Any]) -> str:
    return world.artefact(json.dumps({"hops": hops}).encode(), "passport")


def test_files_come_with_their_passport(
    runner: CliRunner, world: World, search: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"state": world.artefact(b"zip", "state"), "passport": passport(world, DONE)}
    end(monkeypatch, world, files=files, result={"hops": {}})
    result = runner.invoke(app, ["export", search, "2", "--format", "state", "--out", str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    assert "pt2: done, outputs within 2e-06 of smaller, 1234 bytes" in result.output
    assert (tmp_path / "new" / "trial-2.zip").read_bytes() == b"zip"
    assert json.loads((tmp_path / "new" / "trial-2.json").read_text()) == {"hops": [DONE]}


def test_a_hop_that_failed_is_the_exit_code_and_the_other_files_are_there(
    runner: CliRunner, world: World, search: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(monkeypatch, world, files={"passport": passport(world, DONE, FAILED)}, result={"hops": {}})
    result = runner.invoke(app, ["export", search, "2", "--format", "onnx", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "onnx could not be made: ONNX opset 20 has no form of aten.roll at stage.0" in result.stderr
    assert (tmp_path / "trial-2.json").exists()


def test_a_wish_that_is_refused_or_fails_is_a_sentence(
    runner: CliRunner, world: World, search: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = runner.invoke(app, ["export", search, "2", "--format", "tflite"])
    assert refused.exit_code == 1 and "/formats/0" in refused.stderr
    end(monkeypatch, world, files={}, failure={"code": "other_model", "reason": "its layer 1 is 'x'"})
    result = runner.invoke(app, ["apply", search, "2", "--model", world.model])
    assert result.exit_code == 1 and "its layer 1 is 'x'" in result.stderr


def test_a_plan_applied_prints_its_measurements(
    runner: CliRunner, world: World, search: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"split": "test", "metric": "accuracy", "value": 0.9371, "standard_error": 0.012, "samples": 360}
    files = {"weights": world.artefact(b"new", "weights")}
    end(monkeypatch, world, files=files, result={"measurements": [entry]})
    result = runner.invoke(app, ["apply", search, "2", "--model", world.model, "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "test accuracy 0.9371 ± 0.012 (360 samples)" in result.output
    (written,) = tmp_path.glob("trial-2-applied-*.safetensors")  # beside the trial's own, not over it
    assert written.read_bytes() == b"new"

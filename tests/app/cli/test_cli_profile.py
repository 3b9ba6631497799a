"""`espalier profile`: a file measured here, a model measured by a worker, a profile shown."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from app.cli.main import app
from app.store import profiles
from costmodels.profile import Profile
from pruning.convert import convert
from tests.app.api.world import World, measured_profile
from tests.costmodels.nets import small_net

QUICK = ["--batch", "2", "--budget-s", "0.1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "net.pt2"
    convert(small_net(), torch.zeros(2, 3, 8, 8), path)
    return path


def test_a_file_is_measured_here_and_written(runner: CliRunner, model: Path, tmp_path: Path) -> None:
    target = tmp_path / "profile.csv"
    result = runner.invoke(app, ["profile", "measure", str(model), *QUICK, "--out", str(target)])
    assert result.exit_code == 0, result.output
    assert "whole network" in result.output and "conv1" in result.output and "8 → 8" in result.output
    assert "Traceback" not in result.output + result.stderr
    profile = Profile.from_csv(target.read_text("utf-8"))
    assert (profile.source, profile.batch, profile.statistic) == ("measured", 2, "p10")
    shown = runner.invoke(app, ["profile", "show", str(target), "--all"])
    assert shown.exit_code == 0 and "dense" in shown.output and "8 → 4" in shown.output


def test_what_is_measured_can_be_uploaded(runner: CliRunner, world: World, model: Path, tmp_path: Path) -> None:
    target = tmp_path / "profile.json"
    command = ["profile", "measure", str(model), *QUICK, "--statistic", "median", "--out", str(target), "--upload"]
    result = runner.invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)["profile"]
    assert document == json.loads(target.read_text("utf-8")) and document["statistic"] == "median"
    with world.service.database.read() as session:
        found = profiles.page(session, world.service.project_id, limit=9)
    assert Profile.from_json(document).digest in {record.digest for record in found}


def test_an_uploaded_model_is_measured_by_a_worker(
    runner: CliRunner, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}
    original = profiles.add

    def add_and_end(session: Any, **arguments: Any) -> Any:
        record = original(session, **arguments)
        asked.update(arguments["request"])
        made = measured_profile(name="of the worker")
        profiles.set_measuring(session, record.id)
        profiles.set_ready(session, record.id, document=made.to_json(), digest=made.digest)
        return record

    monkeypatch.setattr(profiles, "add", add_and_end)
    target = tmp_path / "profile.json"
    command = ["profile", "measure", world.model, "--backend", "onnxruntime", "--threads", "2", "--out", str(target)]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.output + result.stderr
    assert asked == {
        "model": world.model, "batch": 1, "threads": 2, "backend": "onnxruntime", "device": "cpu",
        "precision": "float32",
    }  # fmt: skip
    assert json.loads(target.read_text("utf-8"))["name"] == "of the worker"
    assert "of the worker" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["{model}", "--out", "profile.xlsx"], 2, "ends neither in .csv nor in .json"),
        (["{model}", "--precision", "float16"], 2, "measured on cuda alone"),
        (["{model}", "--backend", "abacus"], 2, "abacus"),
        (["nowhere.pt2"], 1, "there is no model file 'nowhere.pt2'"),
        (["{broken}"], 1, "espalier: "),
    ],
)
def test_refusals_are_sentences(
    runner: CliRunner, model: Path, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(b"PK\x03\x04 not really")
    filled = [text.format(model=model, broken=broken) for text in arguments]
    result = runner.invoke(app, ["profile", "measure", *filled])
    assert result.exit_code == code
    assert says in result.stderr and "Traceback" not in result.stderr


def test_a_device_that_is_not_there_is_refused(runner: CliRunner, model: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    result = runner.invoke(app, ["profile", "measure", str(model), "--device", "cuda"])
    assert result.exit_code == 1 and "no CUDA device on this machine" in result.stderr


def test_showing_says_what_is_odd_and_what_nobody_knows(runner: CliRunner, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(measured_profile(network_latency_ms=100.0).to_json()), "utf-8")
    result = runner.invoke(app, ["profile", "show", str(path)])
    assert result.exit_code == 0
    assert "bench" in result.output and "4 ms" in result.output
    assert "warning: the layers sum to 5.5 ms" in result.stderr
    said = json.loads(runner.invoke(app, ["profile", "show", str(path), "--json"]).stdout)
    assert said["profile"]["device"] == "board" and said["warnings"]
    path.write_text("hello", "utf-8")
    assert runner.invoke(app, ["profile", "show", str(path)]).exit_code == 1
    absent = runner.invoke(app, ["profile", "show", str(tmp_path / "absent.csv")])
    assert absent.exit_code == 1 and "cannot read" in absent.stderr

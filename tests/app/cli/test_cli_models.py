"""Models from the command line: uploaded as they are or by name, and made from what lies on a user's disk."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import convert
from app.cli import upload as uploading
from app.cli.main import app
from app.store import models
from tests.app.api.test_api_architectures import WEIGHTS
from tests.app.api.world import MODEL, World

MODULE = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))

def branching():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 2)
        def forward(self, x):
            return self.a(x) if x.sum() > 0 else self.a(-x)
    return Net()

def words():
    return nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3))

def nothing():
    return nn.Sequential(nn.Flatten(), nn.ReLU())
"""
WIDE = {"COLUMNS": "200"}
SMALL = '{"features": 4, "hidden": [3], "classes": 2}'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "nets_for_espalier.py"
    path.write_text(MODULE)
    return path


def ready(world: World) -> Any:
    """A worker that reads the newest model at once, in place of a pause."""

    def read(_: float) -> None:
        with world.service.database.begin() as session:
            newest = models.page(session, world.service.project_id, limit=1)[0]
            document = MODEL.to_json()
            models.set_ready(session, newest.id, graph_digest="1" * 64, weights_digest="2" * 64, spec=document)

    return read


def test_weights_of_an_architecture_are_uploaded_and_described(
    runner: CliRunner, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.safetensors").write_bytes(WEIGHTS)
    monkeypatch.setattr(uploading.time, "sleep", ready(world))
    command = ["upload", str(tmp_path / "net.safetensors"), "--architecture", "mlp", "--config", SMALL]
    result = runner.invoke(app, command, env=WIDE)
    assert result.exit_code == 0, result.stderr
    assert "prunable layers" in result.output and "are the model's outputs" in result.output
    found = json.loads(runner.invoke(app, [*command, "--json"]).stdout)
    assert found["request"] == {"architecture": "mlp", "config": json.loads(SMALL)}


def test_a_config_may_be_a_file_that_convert_wrote(runner: CliRunner, tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"architecture": "mlp", "config": {"classes": 3}}))
    assert uploading.read_config(str(path)) == uploading.read_config('{"classes": 3}') == {"classes": 3}
    assert uploading.read_config("") == {}
    for wrong in ("[1]", "{", str(tmp_path / "none.json")):
        result = runner.invoke(app, ["upload", str(path), "--architecture", "mlp", "--config", wrong])
        assert result.exit_code == 2 and "--config" in result.stderr


def test_a_refusal_of_the_service_is_a_sentence(runner: CliRunner, world: World, tmp_path: Path) -> None:
    assert world
    (tmp_path / "net.safetensors").write_bytes(WEIGHTS)
    result = runner.invoke(app, ["upload", str(tmp_path / "net.safetensors"), "--architecture", "os.system"])
    assert result.exit_code == 1 and "There is no architecture 'os.system'" in result.stderr
    assert runner.invoke(app, ["upload", str(tmp_path / "none.pt2")]).exit_code == 2


@pytest.mark.parametrize(("text", "read"), [("1x8x8", ((1, 8, 8), 0)), ("128:30522", ((128,), 30522))])
def test_inputs_are_floats_or_words(text: str, read: tuple[tuple[int, ...], int]) -> None:
    assert convert.parse_input(text) == read


@pytest.mark.parametrize("text", ["8:", "8:-1", "8:x", ":5", "8:0"])
def test_what_is_no_input(runner: CliRunner, text: str) -> None:
    assert runner.invoke(app, ["convert", "json:dumps", "out.pt2", "--input", text]).exit_code == 2


def test_a_training_checkpoint_becomes_an_uploadable_file(runner: CliRunner, source: Path, tmp_path: Path) -> None:
    import torch

    state = {"module.1.weight": torch.ones(2, 4), "module.1.bias": torch.zeros(2)}
    torch.save({"epoch": 7, "state_dict": state}, tmp_path / "c.pt")
    command = ["convert", f"{source}:build", str(tmp_path / "net.pt2"), "--input", "1x2x2"]
    result = runner.invoke(app, [*command, "--weights", str(tmp_path / "c.pt")], env=WIDE)
    assert result.exit_code == 0, result.stderr
    for said in (
        "2 of 2 tensors matched; the weights stand under 'state_dict'; 'module.' was dropped from the names",
        "the batch varies where it says None",
        "1, with 8 multiply-adds a sample",
    ):
        assert said in result.output
    assert "upload it: espalier upload" in result.stderr
    torch.save({"module.1.weight": torch.ones(3, 4)}, tmp_path / "c.pt")
    wrong = runner.invoke(app, [*command, "--weights", str(tmp_path / "c.pt")])
    assert wrong.exit_code == 1
    assert "1 missing: 1.bias" in wrong.stderr and "1.weight ([3, 4] instead of [2, 4])" in wrong.stderr


def test_words_are_drawn_below_their_number(runner: CliRunner, source: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["convert", f"{source}:words", str(tmp_path / "n.pt2"), "--input", "6:9"], env=WIDE)
    assert result.exit_code == 0, result.stderr
    assert "[None, 6] int64" in result.output and "not prunable: 0" in result.output


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("branching", "depends on values of the data (line 14 of nets_for_espalier.py"),
        ("nothing", "the model has no prunable layer"),
    ],
)
def test_models_beyond_us_are_named_with_the_way_out(
    runner: CliRunner, source: Path, tmp_path: Path, factory: str, said: str
) -> None:
    result = runner.invoke(app, ["convert", f"{source}:{factory}", str(tmp_path / "n.pt2"), "--input", "4"])
    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split())
    assert not (tmp_path / "n.pt2").exists()


def test_an_architectures_checkpoint_becomes_weights_and_config(runner: CliRunner, tmp_path: Path) -> None:
    import torch

    from pruning.architectures import build
    from pruning.architectures.named import build_named

    module = build("mlp", json.loads(SMALL), seed=4)
    torch.save(module.state_dict(), tmp_path / "c.pth")
    target = tmp_path / "net.safetensors"
    command = ["convert", "mlp", str(target), "--config", SMALL, "--weights", str(tmp_path / "c.pth")]
    result = runner.invoke(app, command, env=WIDE)
    assert result.exit_code == 0, result.stderr
    assert "4 of 4 tensors matched" in result.output
    written = json.loads((tmp_path / "net.json").read_text())
    assert written["architecture"] == "mlp" and written["config"]["hidden"] == [3]
    found = build_named("mlp", written["config"], target)
    torch.testing.assert_close(dict(found.state_dict()), dict(module.state_dict()), rtol=0, atol=0)
    as_program = runner.invoke(app, ["convert", "mlp", str(tmp_path / "net.pt2"), "--config", SMALL], env=WIDE)
    assert as_program.exit_code == 0 and (tmp_path / "net.pt2").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["mlp", "net.bin"], 2, "should end in .safetensors"),
        (["mlp", "net.pt2", "--config", '{"hidden": [0]}'], 1, "hidden is"),
        (["mlp", "net.pt2", "--mode", "fast"], 2, "neither train nor eval"),
        (["json:dumps", "net.pt2"], 2, "--input is missing"),
    ],
)
def test_wishes_that_cannot_be_met(runner: CliRunner, arguments: list[str], code: int, said: str) -> None:
    result = runner.invoke(app, ["convert", *arguments])
    assert result.exit_code == code and said in result.stderr

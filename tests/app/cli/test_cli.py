"""The command line: refusals in sentences, files on the way in, tables on the way out."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from app.cli import convert, serve
from app.cli import submit as submission
from app.cli import upload as uploading
from app.cli.dataset import DataWish, kind_of, pack, upload_dataset
from app.cli.main import app
from app.store import searches
from tests.app.api.world import World, measured_profile

ZIP = b"PK\x03\x04 something"


def test_help_names_every_command(runner: CliRunner) -> None:
    output = runner.invoke(app, ["--help"]).output
    for name in (
        "serve",
        "api",
        "worker",
        "migrate",
        "convert",
        "submit",
        "front",
        "models",
        "searches",
        "demo",
        "health",
    ):
        assert name in output


@pytest.mark.parametrize("noun", ["models", "datasets", "profiles", "searches"])
def test_lists_as_table_and_as_json(runner: CliRunner, world: World, noun: str) -> None:
    world.finished_search()
    shown = json.loads(runner.invoke(app, [noun, "--json"]).output)
    assert len(shown) == 1
    assert shown[0]["id"] in runner.invoke(app, [noun]).output


def test_a_front_is_a_table(runner: CliRunner, world: World) -> None:
    search = world.finished_search(name="[bold]x[/bold]")
    result = runner.invoke(app, ["front", search])
    assert result.exit_code == 0
    assert "dense, as uploaded" in result.output and "3.3 ms" in result.output and "96.0 ± 1.0%" in result.output
    assert f"/searches/{search}" in result.output
    assert json.loads(runner.invoke(app, ["front", search, "--json"]).output)[0]["profile"] == world.profile


@pytest.mark.usefixtures("world")
def test_what_is_not_there_is_said_in_a_sentence(runner: CliRunner) -> None:
    result = runner.invoke(app, ["front", "nobody"])
    assert result.exit_code == 1
    assert "espalier: No search 'nobody' in this project." in result.stderr
    assert "Traceback" not in result.output + result.stderr


def test_nobody_answers(runner: CliRunner) -> None:
    result = runner.invoke(app, ["models", "--url", "http://127.0.0.1:9"])
    assert result.exit_code == 3
    assert "espalier serve" in result.stderr


def test_submitting_from_ids_waits_and_prints(runner: CliRunner, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    original = searches.add

    def add_and_end(session: Any, **arguments: Any) -> Any:
        record = original(session, **arguments)
        seen.update(arguments["spec"].to_json())
        searches.finish(session, record.id, state="succeeded")
        return record

    monkeypatch.setattr(searches, "add", add_and_end)
    command = ["submit", world.model, "--dataset", world.dataset, "--profile", world.profile, "--trials", "3"]
    options = ["--limit", "0.9", "--limit", "4ms", "--freeze", "head", "--steps", "7", "--mean", "0.5", "--std", "0.25"]
    result = runner.invoke(app, [*command, *options, "--pattern", "channel"])
    assert result.exit_code == 0, result.stderr
    assert "succeeded: http://127.0.0.1:8765/searches/" in result.stderr
    assert (seen["trials"], seen["recovery"]["steps"], list(seen["frozen_layers"])) == (3, 7, ["head"])
    assert [limit["share"] for limit in seen["limits"]] == [0.9, None]
    assert [limit["latency_ms"] for limit in seen["limits"]] == [None, 4.0]
    assert (list(seen["task"]["mean"]), list(seen["patterns"])) == ([0.5], ["channel"])


def test_a_limit_may_be_on_one_profile_and_on_something_beside_latency() -> None:
    from app.cli.submit import _limits

    named = {"eyeriss-v2": "id1", "C:board.csv": "id2"}
    assert _limits("energy_mj=3", named) == [{"energy_mj": 3.0, "profile": "id1"}, {"energy_mj": 3.0, "profile": "id2"}]
    assert _limits("eyeriss-v2:weight_bytes=2e5", named) == [{"weight_bytes": 2e5, "profile": "id1"}]
    assert _limits("C:board.csv:4.2ms", named) == [{"latency_ms": 4.2, "profile": "id2"}]


def test_extending_a_search(runner: CliRunner, world: World) -> None:
    search = world.search()
    result = runner.invoke(app, ["extend", search, "4", "--no-wait", "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.output)["search"]["spec"]["extensions"] == [4]


def test_a_submission_that_is_refused_names_the_field(runner: CliRunner, world: World) -> None:
    command = ["submit", world.model, "--dataset", world.dataset, "--profile", world.profile, "--limit", "0.001"]
    result = runner.invoke(app, command)
    assert result.exit_code == 1
    assert "No plan of this search is faster than" in result.stderr


def test_files_are_uploaded_and_a_refusal_ends_it(
    runner: CliRunner, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.store import models

    (tmp_path / "net.pt2").write_bytes(ZIP)

    def refuse(_: float) -> None:
        with world.service.database.begin() as session:
            newest = models.page(session, world.service.project_id, limit=1)[0]
            failure = {"code": "model_refused", "reason": "node 3 is unknown", "details": {}}
            models.set_refused(session, newest.id, failure)

    monkeypatch.setattr(uploading.time, "sleep", refuse)
    command = ["submit", str(tmp_path / "net.pt2"), "--dataset", world.dataset, "--profile", world.profile]
    result = runner.invoke(app, command)
    assert result.exit_code == 1
    assert "the model was refused: node 3 is unknown" in result.stderr


def test_profiles_by_file_name_accelerator_or_id(world: World, tmp_path: Path) -> None:
    from app.client import Client

    with Client("http://127.0.0.1:8765") as client:
        spec = {"model": world.model, "batch": 1, "precision": "float32"}
        path = tmp_path / "bench.json"
        path.write_text(json.dumps(measured_profile(name="file").to_json()))
        assert client.get_profile(submission._profile(client, str(path), spec))["name"] == "file"
        (tmp_path / "t.csv").write_text(
            "# device: board\n# source: measured\nlayer,latency_ms\nstem,1\nbody,4\nhead,0.5\n"
        )
        assert client.get_profile(submission._profile(client, str(tmp_path / "t.csv"), spec))["batch"] == 1
        chip = client.get_profile(submission._profile(client, "eyeriss-v2", spec))
        assert chip["document"]["accelerator"] == "eyeriss-v2"
        assert submission._profile(client, world.profile, spec) == world.profile
        assert upload_dataset(client, world.dataset, DataWish()) == world.dataset


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--limit", "fast"),
        ("--limit", "watts=3"),
        ("--limit", "board:0.5"),
        ("--limit", "energy_mj=x"),
        ("--limit", "energy_mj=nan"),
        ("--limit", "infms"),
        ("--mean", "a,b"),
        ("--profile", "nowhere.csv"),
        ("--dataset", "no/where"),
    ],
)
def test_wrong_words_are_said_in_a_sentence(runner: CliRunner, world: World, option: str, value: str) -> None:
    options = {"--dataset": world.dataset, "--profile": world.profile, option: value}
    result = runner.invoke(app, ["submit", world.model, *(part for pair in options.items() for part in pair)])
    assert result.exit_code in (1, 2)
    assert value in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_folder_is_packed_without_links_and_hidden_files(tmp_path: Path) -> None:
    folder = tmp_path / "cats"
    (folder / "train" / "0").mkdir(parents=True)
    (folder / "train" / "0" / "a.jpg").write_bytes(b"jpg")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"secret")
    (folder / "link.jpg").symlink_to("/etc/hostname")
    with zipfile.ZipFile(pack(folder, tmp_path / "cats.zip")) as archive:
        assert archive.namelist() == ["train/0/a.jpg"]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["train/cat/1.png"], "images"),
        (["x.npy", "y.npy"], "npz"),
        (["train.tsv", "dev.tsv", "vocab.txt"], "text"),
        (["d/train/state.json", "d/train/data-00000-of-00001.arrow"], "hf"),
    ],
)
def test_the_kind_of_data_is_seen_from_the_files(names: list[str], kind: str) -> None:
    assert kind_of(names) == kind


@pytest.mark.usefixtures("world")
def test_data_come_as_files_or_folders_with_their_options(tmp_path: Path, monkeypatch: Any) -> None:
    from app.client import Client

    monkeypatch.setattr("app.cli.dataset.settled", lambda document, *_: document["id"])
    (tmp_path / "rows.tsv").write_text("label\ttext\n1\tfine\n")
    (tmp_path / "set").mkdir()
    for name in ("x.npy", "y.npy"):
        (tmp_path / "set" / name).write_bytes(b"npy")
    with Client("http://127.0.0.1:8765") as client:
        wish = DataWish(seed=3, task="regression", options={"length": 16})
        for given, kind in (("rows.tsv", "text"), ("set", "npz")):
            asked = wish if kind == "text" else DataWish(seed=3, task="regression")
            found = client.get_dataset(upload_dataset(client, str(tmp_path / given), asked))
            assert found["kind"] == kind
            assert found["options"] == asked.of(kind) and found["options"]["task"] == "regression"
        (tmp_path / "x.npy").write_bytes(b"npy")
        with pytest.raises(typer.Exit):
            upload_dataset(client, str(tmp_path / "x.npy"), wish)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_other_hosts_need_a_token(runner: CliRunner, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = runner.invoke(app, ["serve", "--host", host])
    assert result.exit_code == 2
    assert "loopback only" in result.stderr and "ESPALIER_TOKEN" in result.stderr
    monkeypatch.setenv("ESPALIER_TOKEN", "a-long-random-text-of-32-letters")
    assert serve.chosen(host, None).host == host


@pytest.mark.parametrize(("name", "value"), [("TOKEN", "short"), ("PORT", "none"), ("SLOTS", "0")])
def test_a_wrong_setting_is_said_in_a_sentence(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"ESPALIER_{name}", value)
    result = runner.invoke(app, ["migrate"])
    assert result.exit_code == 2
    assert f"ESPALIER_{name}" in result.stderr
    assert ("secrets" in result.stderr) is (name == "TOKEN")


def test_migrating_twice_is_fine(runner: CliRunner, tmp_path: Path) -> None:
    for _ in range(2):
        assert runner.invoke(app, ["migrate"]).exit_code == 0
    assert (tmp_path / "data" / "espalier.db").is_file()


def test_children_get_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPALIER_TOKEN", "a-long-random-text-of-32-letters")
    settings = serve.chosen("0.0.0.0", 9000)
    for name, value in serve.environment(settings).items():
        monkeypatch.setenv(name, value)
    assert serve.settings_from_environment() == settings
    assert serve.address(settings) == "http://127.0.0.1:9000"


@pytest.mark.parametrize(("text", "shape"), [("1x8x8", (1, 8, 8)), ("16", (16,)), ("3,32,32", (3, 32, 32))])
def test_shapes(text: str, shape: tuple[int, ...]) -> None:
    assert convert.parse_shape(text) == shape


def test_factories_come_from_files_and_modules(tmp_path: Path) -> None:
    (tmp_path / "mine_for_espalier.py").write_text("def build():\n    return 42\n")
    assert convert.load_factory(f"{tmp_path / 'mine_for_espalier.py'}:build")() == 42
    assert convert.load_factory("json:dumps") is json.dumps


@pytest.mark.parametrize("source", ["json", "json:", "nowhere.module:x", "/no/file.py:x", "json:nothing", "json:a b"])
def test_what_names_no_factory(runner: CliRunner, source: str) -> None:
    result = runner.invoke(app, ["convert", source, "out.pt2", "--input", "1x8x8"])
    assert result.exit_code in (1, 2)
    assert "espalier: " in result.stderr


@pytest.mark.parametrize("shape", ["", "3x", "axb", "3x0", "3x-1"])
def test_what_is_no_shape(runner: CliRunner, shape: str) -> None:
    assert runner.invoke(app, ["convert", "json:dumps", "out.pt2", "--input", shape]).exit_code == 2


MODULE = """
import torch
def build():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
"""


def test_a_module_of_ones_own_becomes_an_uploadable_file(runner: CliRunner, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    source = tmp_path / "own_net.py"
    source.write_text(MODULE)
    weights = {"1.weight": torch.ones(2, 4), "1.bias": torch.zeros(2)}
    save_file(weights, tmp_path / "w.safetensors")
    target = tmp_path / "net.pt2"
    command = [
        "convert",
        f"{source}:build",
        str(target),
        "--input",
        "1x2x2",
        "--weights",
        str(tmp_path / "w.safetensors"),
    ]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.stderr
    with zipfile.ZipFile(target) as archive:
        assert any(name.endswith("model.json") for name in archive.namelist())
    save_file({"1.weight": torch.ones(3, 4)}, tmp_path / "w.safetensors")
    wrong = runner.invoke(app, command)
    assert wrong.exit_code == 1
    assert "does not fit the module" in wrong.stderr

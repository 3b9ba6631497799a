"""`espalier profile import | match | pays | calibrate`: files in, tables out, refusals in sentences."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.cli.profile_import import read_point, read_trial
from tests.app.api.test_api_profile_files import GRAPH, TIMES
from tests.app.api.world import World, ambiguous_profile


def test_an_import_says_what_was_recognised(runner: CliRunner, world: World, tmp_path: Path) -> None:
    paths = [tmp_path / "p.json", tmp_path / "g.json"]
    for path, document in zip(paths, (TIMES, GRAPH), strict=True):
        path.write_text(json.dumps(document))
    command = ["profile", "import", *map(str, paths), "--device", "[b]A100[/b]", "--batch", "4"]
    refused = runner.invoke(app, command)
    assert refused.exit_code == 1
    assert "/precision: precision is not in the file" in refused.stderr
    done = runner.invoke(app, [*command, "--precision", "float16", "--clock-hz", "1e9"])
    assert done.exit_code == 0, done.stderr
    assert "trtexec (tensorrt)" in done.output and "[b]A100[/b], batch 4, float16" in done.output
    assert "2 with times, 2 rows" in done.output and "/profiles/" in done.output
    newest = world.http.get("/api/v1/profiles").json()["items"][0]
    assert newest["request"]["stated"]["clock_hz"] == 1e9
    odd = tmp_path / "odd.csv"
    odd.write_text("layer,pattern,latency_ms\nstem,,1\nstem,unstructured@0.5,2\nbody,,3\nhead,,1\n")
    stated = ["--device", "d", "--batch", "1", "--precision", "int8", "--source", "vendor"]
    warned = runner.invoke(app, ["profile", "import", str(odd), *stated])
    assert "warning: more zeros take longer" in warned.stderr
    missing = runner.invoke(app, ["profile", "import", str(tmp_path / "nobody.json")])
    assert (missing.exit_code, "there is no file" in missing.stderr) == (2, True)


def test_match_and_pays_are_tables(runner: CliRunner, world: World) -> None:
    made = world.add_profile(ambiguous_profile())
    result = runner.invoke(app, ["profile", "match", made, world.model])
    assert result.exit_code == 0, result.stderr
    assert "ambiguous: 'stem' could be 'stem + relu', 'stem + add'" in result.stderr
    assert "acknowledge coverage and ambiguity" in result.stderr
    assert json.loads(runner.invoke(app, ["profile", "match", made, world.model, "--json"]).output)["model"]
    table = runner.invoke(app, ["profile", "pays", world.profile, world.model]).output
    assert "unstructured" in table and "cannot" in table and "saves" in table
    sheet = runner.invoke(app, ["profile", "pays", world.profile, world.model, "--csv"]).output
    assert sheet.startswith("profile,device,layer,kind,verdict")
    assert runner.invoke(app, ["profile", "pays", world.model]).exit_code == 2


def test_calibrating(runner: CliRunner, world: World) -> None:
    search = world.finished_search()
    command = ["profile", "calibrate", world.profile, "--point", "5.5:5.0", "--trial", f"{search}/2:3.2ms"]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert "version 1: measured = " in result.output and "5.5" in result.output
    over = runner.invoke(app, ["profile", "calibrate", world.profile, "--point", "10:1", "--start-over"])
    assert "version 2" in over.output and "warning: measured latencies are 0.10 x" in over.stderr
    assert runner.invoke(app, ["profile", "calibrate", world.profile]).exit_code == 2


@pytest.mark.parametrize("text", ["2.1", "2.1:", "a:b", ""])
def test_points_that_are_none(runner: CliRunner, text: str) -> None:
    result = runner.invoke(app, ["profile", "calibrate", "p", "--point", text])
    assert (result.exit_code, "no latency in ms" in result.stderr) == (2, True)


def test_points_and_trials_as_they_are_written() -> None:
    assert read_point("2.1:2.3") == {"predicted_ms": 2.1, "measured_ms": 2.3}
    assert read_trial("0192-a/7:2.3ms") == {"search": "0192-a", "trial": 7, "measured_ms": 2.3}


def test_a_profile_file_states_only_what_the_file_leaves_out(world: World, tmp_path: Path) -> None:
    from app.cli import submit as submission
    from app.client import Client

    rows = "layer,latency_ms\nstem,1.0\nbody,4.0\nhead,0.5\n"
    head = "# device: board\n# source: measured\n"
    spec = {"batch": 2, "precision": "int8", "model": world.model}
    with Client("http://127.0.0.1:8765") as client:
        for said, expected in (("", (2, "int8")), ("# batch: 8\n# precision: float16\n", (8, "float16"))):
            (tmp_path / "p.csv").write_text(head + said + rows)
            made = client.get_profile(submission._profile(client, str(tmp_path / "p.csv"), spec))
            assert (made["batch"], made["precision"]) == expected

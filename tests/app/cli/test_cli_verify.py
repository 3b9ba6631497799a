"""Verifications and shipped trials at the terminal."""

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.client.measurements import Measurements
from tests.app.api.test_api_measurements import ROW, asked, done, with_weights
from tests.app.api.world import World


def test_predicted_and_measured_stand_side_by_side(
    runner: CliRunner, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, _ = with_weights(world)

    def answered(client: Measurements, request: dict[str, object], **_how: object) -> object:
        done(world, str(request["id"]), ROW, {"backend": "eager", "failure": "no such runtime"})
        return client.get_trial_request(search, 3, str(request["id"]))

    monkeypatch.setattr(Measurements, "wait_for_request", answered)
    shown = runner.invoke(app, ["verify", search, "3", "--backend", "onnxruntime", "--backend", "eager"])
    assert shown.exit_code == 0, shown.output
    assert "onnxruntime 1.31 on board: measured 2.1 ms ± 0.3 (p10 2); dense 6.2 ms" in shown.output
    assert "eager: no such runtime" in shown.output


def test_a_trial_is_shipped_and_taken_back(runner: CliRunner, world: World) -> None:
    search, _ = with_weights(world)
    assert "marked as shipped" in runner.invoke(app, ["ship", search, "3", "--note", "v7"]).stderr
    assert world.http.get(f"/api/v1/searches/{search}/trials/3").json()["shipped"]["note"] == "v7"
    assert "not marked" in runner.invoke(app, ["ship", search, "3", "--undo"]).stderr
    assert asked(world, search)

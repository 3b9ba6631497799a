"""The client's half about profiles, against an application in this process."""

import json
from pathlib import Path

import pytest

from app.client import ApiError, Client
from tests.app.api.test_api_profile_files import GRAPH, TIMES
from tests.app.api.world import World, ambiguous_profile


def test_files_of_a_tool_to_a_calibrated_profile(world: World, client: Client, tmp_path: Path) -> None:
    paths = [tmp_path / "p.json", tmp_path / "g.json"]
    for path, document in zip(paths, (TIMES, GRAPH), strict=True):
        path.write_text(json.dumps(document))
    with pytest.raises(ApiError) as caught:
        client.add_profile(*paths, device=None, batch="")
    assert {entry["pointer"] for entry in caught.value.errors} == {"/device", "/batch", "/precision"}
    made = client.add_profile(*paths, device="A100", batch=1, precision="float16", name="mine")
    assert (made["name"], len(made["files"])) == ("mine", 2)
    came = client.download_profile_file(made["id"], made["files"][1]["sha256"], tmp_path / "came.json")
    assert came.read_text() == json.dumps(GRAPH)
    assert client.get_profile_match(made["id"], world.model)["rules"] == {"name": 1, "fused": 1}
    version = client.add_calibration(world.profile, [{"predicted_ms": 2.0, "measured_ms": 1.8}])
    assert client.get_calibration(world.profile, 1) == version == client.list_calibrations(world.profile)["items"][0]


def test_what_fits_and_what_pays(world: World, client: Client) -> None:
    made = client.add_profile(ambiguous_profile().to_json())
    assert client.get_profile_match(made["id"], world.model)["gate"]["verdict"] == "acknowledge"
    settled = client.add_profile_aliases(made["id"], {"stem + add": "stem"}, name="settled")
    assert client.get_profile_match(settled["id"], world.model)["gate"]["verdict"] == "ok"
    pays = client.get_model_pays(world.model, [settled["id"], world.profile])
    assert {item["profile"] for item in pays["items"]} == {settled["id"], world.profile}
    assert client.get_profile_pays(world.profile, world.model)["items"] == pays["items"][12:]
    sheet = client.get_model_pays_csv(world.model, [world.profile])
    assert sheet == client.get_profile_pays_csv(world.profile, world.model) and sheet.startswith("profile,device,layer")

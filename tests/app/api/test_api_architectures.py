"""Models by architecture and config: what is listed, what is taken, and what is refused before a worker sees it."""

import json
import struct
from typing import Any

import pytest

from tests.app.api.world import API, World

ZIP = b"PK\x03\x04 not really an archive: nobody here looks inside"


def safetensors(header: Any, data: bytes = b"") -> bytes:
    """A file with this header, as JSON or as it stands."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


WEIGHTS = safetensors({"fc.weight": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}}, bytes(8))


def send(world: World, file: bytes = WEIGHTS, **data: str) -> Any:
    """Upload weights."""
    return world.http.post(f"{API}/models", files={"file": ("net.safetensors", file)}, data=data)


def test_architectures_are_listed_with_fields_and_limits(world: World) -> None:
    items = {item["name"]: item for item in world.http.get(f"{API}/architectures").json()["items"]}
    assert len(items) > 50
    assert items["resnet"]["library"] is None and items["resnet"]["installed"] is True
    depth = items["resnet"]["fields"]["depth"]
    assert depth["type"] == "choice" and {18, 50} <= set(depth["choices"]) and depth["default"] in depth["choices"]
    assert items["vit"]["fields"]["dropout"] == {"default": 0.0, "type": "number", "least": 0.0, "most": 0.9}
    assert items["transformers/bert"]["library"] == "transformers"


def test_weights_of_an_architecture_wait_for_a_worker_with_their_request(world: World) -> None:
    answer = send(world, architecture="resnet", config='{"depth": 18}')
    assert answer.status_code == 202
    model = answer.json()
    assert (model["name"], model["state"]) == ("net", "uploaded")
    assert model["request"] == {"architecture": "resnet", "config": {"depth": 18}}
    assert world.http.get(model["links"]["self"]).json() == model
    assert send(world, architecture="mlp").json()["request"] == {"architecture": "mlp", "config": {}}


def test_a_graph_of_several_is_chosen_by_name(world: World) -> None:
    files = {"file": ("two.pt2", ZIP)}
    answer = world.http.post(f"{API}/models", files=files, data={"graph": "encoder"}).json()
    assert answer["request"] == {"graph": "encoder"}
    assert world.http.post(f"{API}/models", files=files).json()["request"] is None


@pytest.mark.parametrize(
    ("data", "pointer", "said"),
    [
        ({"architecture": "os.system"}, "/architecture", "There is no architecture 'os.system'; there are bert"),
        ({"architecture": "mlp", "config": "[1]"}, "/config", "JSON object"),
        ({"architecture": "mlp", "config": "{"}, "/config", "JSON object"),
        ({"architecture": "mlp", "config": '{"a": NaN}'}, "/config", "JSON object"),
        ({"architecture": "mlp", "config": "[" * 10_000}, "/config", "JSON object"),
        ({"config": "{}"}, "/config", "architecture by name"),
        ({"architecture": "mlp", "graph": "x"}, "/graph", "in a .pt2"),
    ],
)
def test_requests_that_cannot_work(world: World, data: dict[str, str], pointer: str, said: str) -> None:
    answer = send(world, **data)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("file", [ZIP, b"\x80\x04.", safetensors(b"{" * 50), struct.pack("<Q", 1 << 60) + b"{}"])
def test_what_is_no_safetensors_file_is_refused_at_once(world: World, file: bytes) -> None:
    answer = send(world, file, architecture="mlp")
    assert (answer.status_code, answer.json()["code"]) == (422, "not_safetensors")
    assert answer.json()["errors"][0]["pointer"] == "/file"


def test_a_model_that_is_ready_says_the_sizes_of_its_layers(world: World) -> None:
    model = world.http.get(f"{API}/models/{world.model}").json()
    assert [size["layer"] for size in model["sizes"]] == [layer["name"] for layer in model["spec"]["layers"]]
    assert sum(size["macs"] for size in model["sizes"]) == model["macs"]
    assert sum(size["activations"] for size in model["sizes"]) == model["activations"] == 16 * 64 * 2 + 10

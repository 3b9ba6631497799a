"""Uploading models: stored as they came, opened by nobody here."""

from hashlib import sha256

import pytest

from tests.app.api.world import API, World

ZIP = b"PK\x03\x04 not really an archive: nobody here looks inside"


def test_an_upload_is_kept_byte_for_byte_and_waits_for_a_worker(world: World) -> None:
    answer = world.http.post(f"{API}/models", files={"file": ("resnet.pt2", ZIP)}, data={"name": "resnet"})
    assert answer.status_code == 202
    model = answer.json()
    assert (model["name"], model["state"], model["spec"]) == ("resnet", "uploaded", None)
    assert model["upload_digest"] == sha256(ZIP).hexdigest()
    assert answer.headers["location"] == model["links"]["self"]
    assert world.http.get(model["links"]["self"]).json() == model
    with world.service.artefacts.open(model["upload_digest"]) as stored:
        assert stored.read() == ZIP
    assert list((world.service.settings.data_dir / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "wanted"), [("net.pt2", "net"), ("../../etc/passwd", "passwd"), ("C:\\me\\net.pt2", "net")]
)
def test_the_file_name_is_only_a_title(world: World, name: str, wanted: str) -> None:
    assert world.http.post(f"{API}/models", files={"file": (name, ZIP)}).json()["name"] == wanted


@pytest.mark.parametrize(("data", "code"), [(b"\x80\x02 a pickle", "not_a_zip"), (b"", "not_a_zip")])
def test_what_cannot_be_a_model_is_refused_at_once(world: World, data: bytes, code: str) -> None:
    answer = world.http.post(f"{API}/models", files={"file": ("m.pt2", data)})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"][0]["pointer"] == "/file"


def test_an_upload_without_a_file(world: World) -> None:
    answer = world.http.post(f"{API}/models", data={"name": "x"})
    assert answer.json()["errors"][0]["pointer"] == "/file"


def test_a_model_that_is_ready_says_what_can_be_pruned(world: World) -> None:
    model = world.http.get(f"{API}/models/{world.model}").json()
    assert (model["state"], model["layers"], model["parameters"]) == ("ready", 3, 2624)
    assert model["macs"] == (9 * 16 * 64) + (9 * 16 * 16 * 64) + 160
    assert model["spec"]["unprunable"] == {"head": "are the model's outputs"}
    assert [item["id"] for item in world.http.get(f"{API}/models").json()["items"]] == [world.model]


def test_lists_are_paged_newest_first_without_gaps(world: World) -> None:
    made = [
        world.http.post(f"{API}/models", files={"file": (f"m{n}.pt2", ZIP + bytes([n]))}).json()["id"] for n in range(4)
    ]
    seen: list[str] = []
    after = None
    while True:
        page = world.http.get(f"{API}/models", params={"limit": 2, **({"after": after} if after else {})}).json()
        seen += [item["id"] for item in page["items"]]
        assert len(page["items"]) <= 2
        after = page["next"]
        if after is None:
            break
    assert seen == [*reversed(made), world.model]


@pytest.mark.parametrize("config", [r'{"x": "\ud800"}', r'{"\ud800": 1}'])
def test_a_config_that_no_answer_could_hold_is_refused(world: World, config: str) -> None:
    asked = {"architecture": "bert", "config": config}
    answer = world.http.post(f"{API}/models", data=asked, files={"file": ("w.safetensors", b"\x02" + bytes(7) + b"{}")})
    assert answer.status_code == 422 and "A config is a JSON object" in answer.text
    assert world.http.get(f"{API}/models").status_code == 200

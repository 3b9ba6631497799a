"""Models and data as pages: what REST says, and forms that bring more through the same checks."""

import io
import json
import zipfile

import pytest

from app.store import datasets, models
from pruning.layers import ModelSpec
from tests.app.api.world import MODEL
from tests.app.pages.made import HOSTILE, Pages, Table, hostile_model

META = {
    "targets": "classes", "classes": ["cat", HOSTILE], "splits": {"train": 1200, "test": 30}, "input_shape": [16],
    "inputs": [{"name": "input", "shape": [16], "dtype": "int64"}],
    "class_counts": {"train": [700, 500], "test": [10, 20]},
    "tokenizer": {"kind": "words", "lowercase": True}, "vocabulary": 4000, "normalisation": "none",
    "notes": ["3 texts were cut"],
}  # fmt: skip


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x", "y")
    return buffer.getvalue()


def test_a_model_is_its_spec(pages: Pages) -> None:
    page = pages.html(f"/models/{pages.world.model}")
    _, *rows = Table(page, "layers")
    assert [row[0] for row in rows] == [layer.name for layer in MODEL.layers]
    for row, layer in zip(rows, MODEL.layers, strict=True):
        counts = [int(cell.replace(",", "")) for cell in row[3:6]]
        assert counts == [layer.macs, layer.weights, layer.activations]
    assert rows[2][7] == "are the model's outputs"
    _, group = Table(page, "groups")
    assert group == ["stem", "16", "stem", "body", "yes"]
    assert "exported in eval mode" in page
    assert f"/profiles/{pages.world.profile}?model={pages.world.model}#pays" in page


def test_models_are_listed_with_what_is_known(pages: Pages) -> None:
    with pages.world.service.database.begin() as session:
        project = pages.world.service.project_id
        made = models.add(session, project_id=project, name=HOSTILE, upload_digest="0" * 64)
        refused = models.add(session, project_id=project, name="broken", upload_digest="0" * 64)
        models.set_refused(session, refused.id, {"code": "x_y", "reason": HOSTILE, "details": {}})
        stuck = hostile_model().to_json()
        groups = [{**MODEL.to_json()["groups"][0], "name": HOSTILE, "reason": HOSTILE, "producers": [HOSTILE]}]
        spec = ModelSpec.from_json(stuck | {"groups": groups, "notes": [HOSTILE], "unprunable": {HOSTILE: HOSTILE}})
        models.set_ready(session, made.id, graph_digest="1" * 64, weights_digest="2" * 64, spec=spec.to_json())
    rows = {row[0][:6].strip(): row for row in Table(pages.html("/models"), "models")}
    assert rows["net"][1:4] == ["ready", "3", "2,624"] and rows["broken"][1:4] == ["refused", "–", "–"]
    for path in ("/models", f"/models/{made.id}", f"/models/{refused.id}"):
        page = pages.html(path)
        assert "alert(" in page and "<script>alert" not in page and "<img" not in page


def test_a_model_is_uploaded_and_a_wrong_one_comes_back(pages: Pages) -> None:
    http = pages.world.http
    answer = http.post("/models", files={"file": ("n.pt2", zipped())}, data={"name": "mine"}, follow_redirects=False)
    assert answer.status_code == 303
    assert "A worker reads it next" in pages.html(answer.headers["location"])
    for files, data, field in (
        ({"file": ("", b"")}, {}, "file"),
        ({"file": ("n.pt2", b"no zip")}, {"name": HOSTILE}, "file"),
        ({"file": ("n.pt2", zipped())}, {"config": "{"}, "config"),
        ({"file": ("n.pt2", zipped())}, {"architecture": "nothing"}, "architecture"),
        ({"file": ("n.pt2", zipped())}, {"architecture": "cifar_resnet", "config": "["}, "config"),
    ):
        refused = http.post("/models", files=files, data=data)
        assert refused.status_code == 422 and f'id="w-{field}"' in refused.text, (data, refused.text)
        assert "<script>alert" not in refused.text
    assert all(row[0] != "n" for row in Table(pages.html("/models"), "models"))


def test_data_say_what_is_stated_of_them(pages: Pages) -> None:
    with pages.world.service.database.begin() as session:
        made = datasets.add(
            session, project_id=pages.world.service.project_id, name=HOSTILE, kind="text", upload_digest="0" * 64,
            options={"length": 16},
        )  # fmt: skip
        datasets.set_ready(session, made.id, meta=META, arrays_digest="3" * 64)
    page = pages.html("/datasets")
    part = page.split(f'<section class="card" id="{made.id}"')[1].split("</section>")[0]
    for said in (
        "train <b>1,200</b>",
        "2: cat, ",
        "kind words, lowercase True",
        "4,000",
        "3 texts were cut",
        "length 16",
    ):
        assert said in part, said
    assert "<script>alert" not in page and "<img" not in page


def test_data_are_brought_and_refused_at_their_field(pages: Pages) -> None:
    http = pages.world.http
    known = len(pages.json("/datasets?limit=200")["items"])
    digits = {"kind": "digits", "name": "mine", "options": json.dumps({"seed": 3})}
    made = http.post("/datasets", data=digits, files={"file": ("", b"")}, follow_redirects=False)
    assert made.status_code == 303, made.text
    newest = pages.json("/datasets")["items"][0]
    assert (newest["name"], newest["options"]) == ("mine", {"seed": 3})
    for data, file, field in (
        ({"kind": "npz"}, ("", b""), "file"), ({"kind": "npz"}, ("a.npz", b"no"), "file"),
        ({"kind": "digits"}, ("a.npz", b"x"), "file"), ({"kind": "digits", "options": "{"}, ("", b""), "options"),
        ({"kind": "digits", "options": '{"length": 9}'}, ("", b""), "options"),
    ):  # fmt: skip
        refused = http.post("/datasets", data=data, files={"file": file})
        assert refused.status_code == 422 and f'id="w-{field}"' in refused.text, (data, refused.text)
    assert len(pages.json("/datasets?limit=200")["items"]) == known + 1


@pytest.mark.parametrize("path", ["/models/gone", "/models?after=x", "/datasets?after=x"])
def test_what_is_not_there_is_no_crash(pages: Pages, path: str) -> None:
    assert pages.world.http.get(path).status_code in (200, 404)

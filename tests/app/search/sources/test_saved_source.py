"""Saved Hugging Face datasets, written here in their layout with pyarrow, and by `datasets` where it is installed."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.search.errors import DatasetError
from app.search.sources import prepare
from tests.app.search.datasets import picture, quiet, zipped

LABEL = {"names": ["bad", "good"], "_type": "ClassLabel"}
STRING = {"dtype": "string", "_type": "Value"}
TEXTS = [f"{'good' if n % 2 else 'dull'} film {n}" for n in range(40)]


def folder(split: str, columns: dict[str, Any], features: dict[str, Any], shards: int = 1) -> dict[str, bytes]:
    """One saved split as `save_to_disk` lays it out; needs pyarrow."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow, of the extra `datasets`, is not installed")
    table, members = pa.table(columns), {}
    names = [f"data-{n:05d}-of-{shards:05d}.arrow" for n in range(shards)]
    size = -(-len(table) // shards)
    for n, name in enumerate(names):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.slice(n * size, size), max_chunksize=7)
        members[f"{split}/{name}"] = sink.getvalue().to_pybytes()
    members[f"{split}/state.json"] = json.dumps({"_data_files": [{"filename": n} for n in names]}).encode()
    members[f"{split}/dataset_info.json"] = json.dumps({"features": features}).encode()
    return members


def texts(texts: Sequence[str] = TEXTS, split: str = "train", **options: Any) -> dict[str, bytes]:
    labels = [n % 2 for n in range(len(texts))]
    return folder(split, {"sentence": list(texts), "label": labels}, {"sentence": STRING, "label": LABEL}, **options)


def read(path: Path, members: dict[str, bytes], **options: Any) -> Any:
    return prepare("hf", zipped(path / "saved.zip", members), options, quiet)


def test_texts_with_named_classes_and_given_splits(tmp_path: Path) -> None:
    members = texts(shards=3) | texts(TEXTS[:10], "validation") | texts(TEXTS[:6], "test")
    found = read(tmp_path, {f"my-data/{name}": content for name, content in members.items()}, length=8)
    assert found.classes == ("bad", "good")
    assert found.labels.tolist()[:4] == [0, 1, 0, 1]
    meta = found.meta()
    assert meta["splits"] == {"train": 36, "calibration": 4, "validation": 10, "test": 6}
    assert meta["columns"] == {"text": ["sentence"], "label": "label"}
    words = meta["tokenizer"]["vocabulary"]
    assert [words[n] for n in found.inputs[41]][:3] == ["[CLS]", "good", "film"]


def test_images_that_are_embedded(tmp_path: Path) -> None:
    shown = [{"bytes": picture(4, 5, (n, 7, 9)), "path": None} for n in range(40)]
    columns = {"image": shown, "label": [n % 2 for n in range(40)]}
    features = {"image": {"_type": "Image"}, "label": LABEL}
    found = read(tmp_path, folder("train2", columns, features))
    assert found.inputs.shape == (40, 3, 4, 5) and int(found.inputs[9, 0, 3, 3]) == 9
    columns["image"][3] = {"bytes": None, "path": "/etc/passwd"}
    with pytest.raises(DatasetError, match="train2 row 4 holds no image of its own: save the dataset with its images"):
        read(tmp_path, folder("train2", columns, features))
    columns["image"][3] = {"bytes": b"%!PS", "path": None}
    with pytest.raises(DatasetError, match="train2 row 4 cannot be decoded"):
        read(tmp_path, folder("train2", columns, features))
    columns["image"][3] = {"bytes": picture(6, 5), "path": None}
    with pytest.raises(DatasetError, match="train2 row 4 is 6 x 5 pixels, the first image 4 x 5"):
        read(tmp_path, folder("train2", columns, features))


def test_numbers_to_predict(tmp_path: Path) -> None:
    columns = {
        "a": [float(n) for n in range(40)],
        "b": [[n, n + 1] for n in range(40)],
        "y": [n / 2 for n in range(40)],
    }
    members = folder("d", columns, {name: {} for name in columns})
    found = read(tmp_path, members, numbers=["a", "b"], label="y", task="regression")
    assert np.asarray(found.inputs[3]).tolist() == [3.0, 3.0, 4.0] and found.labels[3] == 1.5


def test_wrong_ones_are_named(tmp_path: Path) -> None:
    good = texts(split="d")
    arrow = next(name for name in good if name.endswith(".arrow"))
    for members, options, message in (
        (good, {"text": "review"}, r"no column 'review'; it has \['sentence', 'label'\]"),
        (good | {arrow: b"ARROW1"}, {}, "cannot be read .*: save the dataset again"),
        (good | {arrow: good[arrow][:-200]}, {}, "cannot be read|split would be empty"),
        ({name: content for name, content in good.items() if name != arrow}, {}, "names Arrow files that are not in"),
        ({arrow: good[arrow]}, {}, "holds no state.json"),
        (good | {"d/state.json": b"[1]"}, {}, "'d/state.json' is no JSON object"),
        (good | {"../x.arrow": b""}, {}, "a path that is not allowed"),
        (texts(["", *TEXTS], "d"), {}, "d row 1 has an empty text"),
    ):
        with pytest.raises(DatasetError, match=message):
            read(tmp_path, members, **options)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    state = json.dumps({"_data_files": [{"filename": "a.arrow"}]}).encode()
    info = json.dumps({"features": {"text": STRING, "label": LABEL}}).encode()
    with pytest.raises(DatasetError, match=r"pip install 'espalier\[datasets\]'"):
        read(tmp_path, {"a/state.json": state, "a/dataset_info.json": info, "a/a.arrow": b"x"})


def test_what_datasets_itself_saves(tmp_path: Path) -> None:
    hf = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    features = hf.Features({"text": hf.Value("string"), "label": hf.ClassLabel(names=["bad", "good"])})
    both = {
        split: hf.Dataset.from_dict({"text": TEXTS[:n], "label": [k % 2 for k in range(n)]}, features=features)
        for split, n in (("train", 40), ("test", 12))
    }
    hf.DatasetDict(both).save_to_disk(str(tmp_path / "saved"))
    members = {
        p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in (tmp_path / "saved").rglob("*") if p.is_file()
    }
    found = read(tmp_path, members, length=8)
    assert found.classes == ("bad", "good") and len(found.labels) == 52
    assert found.meta()["splits"] == {"train": 36, "calibration": 4, "validation": 6, "test": 6}


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("state.json", {"_data_files": None}, "names Arrow files that are not in the zip"),
        ("state.json", {"_data_files": ["x", 3]}, "names Arrow files that are not in the zip"),
        ("dataset_info.json", {"features": ["sentence", "label"]}, "say what goes in"),
        ("dataset_info.json", {"features": "sentence"}, "say what goes in"),
        ("dataset_info.json", {"features": {"sentence": STRING, "label": LABEL | {"names": ["a", "a"]}}}, "one name"),
        (
            "dataset_info.json",
            {"features": {"sentence": STRING, "label": LABEL | {"names": ["\ud800", "a"]}}},
            "written",
        ),
    ],
)
def test_odd_descriptions_are_refused(tmp_path: Path, member: str, content: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read(tmp_path, texts(split="all") | {f"all/{member}": json.dumps(content).encode()}, length=8)


def test_names_that_are_no_list_are_none(tmp_path: Path) -> None:
    info = {"features": {"sentence": STRING, "label": LABEL | {"names": 5}}}
    found = read(tmp_path, texts(split="all") | {"all/dataset_info.json": json.dumps(info).encode()}, length=8)
    assert found.classes == ("0", "1")


def test_ragged_targets_are_refused(tmp_path: Path) -> None:
    columns = {"sentence": TEXTS, "label": [[1.0 + n] * (1 + n % 2) for n in range(40)]}
    with pytest.raises(DatasetError, match="row 2 has 2 targets, the first has 1"):
        read(tmp_path, folder("all", columns, {"sentence": STRING, "label": {}}), length=8, task="regression")

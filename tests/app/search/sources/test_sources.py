"""`.npz` uploads are taken as documented, and refused with a way out; nothing of them is ever run."""

import importlib
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.search.errors import DatasetError
from app.search.samples.dataset import Prepared
from app.search.sources import Options, archive, prepare
from tests.app.search.datasets import quiet, zipped

X = np.random.default_rng(0).normal(size=(40, 2, 3)).astype(np.float32)
Y = np.arange(40) % 4


def npz(folder: Path, **arrays: Any) -> Prepared:
    path = folder / "data.npz"
    np.savez_compressed(path, **arrays)
    return prepare("npz", path, {}, quiet)


def refused(folder: Path, message: str, **arrays: Any) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        npz(folder, **arrays)
    assert caught.value.failure.code == "dataset_refused"
    assert len(str(caught.value)) < 400


def test_digits_are_what_they_say() -> None:
    found = prepare("digits", None, {}, quiet)
    assert found.inputs.shape == (1797, 1, 8, 8)
    assert found.inputs.dtype == np.float32
    assert (found.inputs.min(), found.inputs.max()) == (0.0, 1.0)
    assert found.meta()["splits"] == {"train": 899, "calibration": 180, "validation": 359, "test": 359}
    again = prepare("digits", None, {"seed": 0}, quiet)
    assert all(np.array_equal(found.splits[name], again.splits[name]) for name in found.splits)


def test_x_and_y_are_divided(tmp_path: Path) -> None:
    found = npz(tmp_path, x=X, y=Y)
    assert np.array_equal(found.inputs, X)
    assert np.array_equal(found.labels, Y)
    assert found.classes == ("0", "1", "2", "3")
    assert sum(map(len, found.splits.values())) == 40


def test_a_given_test_set_stays_one(tmp_path: Path) -> None:
    named = np.array(["ant", "bee", "cow", "doe"])
    found = npz(tmp_path, x_train=X, y_train=Y, x_test=X[:10] + 1, y_test=Y[:10], classes=named)
    assert found.classes == ("ant", "bee", "cow", "doe")
    later = np.concatenate([found.splits["validation"], found.splits["test"]])
    assert np.array_equal(np.sort(later), np.arange(40, 50))
    assert np.array_equal(found.inputs[40:], X[:10] + 1)


def test_three_given_sets_stay_what_they_are(tmp_path: Path) -> None:
    sets = {"x_train": X, "y_train": Y, "x_validation": X[:9], "y_validation": Y[:9], "x_test": X[:8], "y_test": Y[:8]}
    found = npz(tmp_path, **sets)
    assert found.splits["validation"].tolist() == list(range(40, 49))
    assert found.splits["test"].tolist() == list(range(49, 57))
    assert found.meta()["given_splits"] == ["test", "train", "validation"]


def test_floats_are_numbers_to_predict_and_whole_numbers_like_x_are_tokens(tmp_path: Path) -> None:
    found = npz(tmp_path, x=X, y=np.linspace(0, 1, 80).reshape(40, 2))
    assert (found.targets, found.labels.dtype, found.classes) == ("numbers", np.float32, ())
    assert found.meta()["target_variance"] == pytest.approx(
        [np.var(found.labels[found.splits["train"], 0])] * 2, rel=1e-3
    )
    ids = np.arange(40 * 6).reshape(40, 6) % 50
    tokens = npz(tmp_path, x=ids, y=np.where(ids == 3, -100, ids))
    assert (tokens.targets, tokens.meta()["vocabulary"], str(tokens.inputs.dtype)) == ("tokens", 50, "int32")
    classes = npz(tmp_path, x=ids, y=Y)
    assert (classes.targets, classes.meta()["vocabulary"]) == ("classes", 50)


def test_channels_that_come_last_are_moved(tmp_path: Path) -> None:
    last = np.random.default_rng(0).integers(0, 256, (40, 5, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x=last, y=Y)
    found = prepare("npz", tmp_path / "data.npz", {"layout": "nhwc"}, quiet)
    assert found.inputs.shape == (40, 3, 5, 4)
    assert np.array_equal(found.inputs[7, 2], last[7, :, :, 2])


def test_large_arrays_are_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("app.search.sources.arrays")
    whole = npz(tmp_path, x=X, y=Y)
    monkeypatch.setattr(module, "_PIECE_BYTES", 100)
    assert np.array_equal(npz(tmp_path, x=X, y=Y).inputs, whole.inputs)
    refused(tmp_path, "first in sample 3", x=_changed(np.inf), y=Y)


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SMALL_BYTES", 100_000)
    refused(tmp_path, "more than 200 times its size, as archives made to fill a disk are", x=np.zeros((100, 9000)), y=Y)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("labels", [np.uint8, np.int32, ">i8"])
def test_other_numbers_become_ours(tmp_path: Path, dtype: type, labels: Any) -> None:
    found = npz(tmp_path, x=np.asfortranarray((X + 5).astype(dtype)), y=Y.astype(labels))
    assert found.inputs.dtype == (np.uint8 if dtype is np.uint8 else np.float32)
    assert found.labels.dtype == np.int64
    assert np.array_equal(found.labels, Y)


def _changed(value: float) -> Any:
    x = X.copy()
    x[3, 1, 2] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, r"needs the arrays x and y, .*; it has \['x'\]"),
        ({"inputs": X, "targets": Y}, "it has no such arrays"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "needs the arrays x and y, or x_train"),
        ({"x": X, "y": Y[:-1]}, "y is 39 of int64; it must be 40 whole numbers"),
        ({"x": X, "y": Y[:, None]}, "y is 40x1 of int64"),
        ({"x": X, "y": Y.astype(complex)}, "y is 40 of complex128"),
        ({"x": X, "y": Y - 1}, "y runs from -1 to 2, sample 0 has -1; classes count from 0"),
        ({"x": X, "y": Y + 100_000}, "classes count from 0 to below 100000"),
        ({"x": X, "y": np.where(np.arange(40) == 7, -5, Y)}, "y runs from -5 to 3, sample 7 has -5"),
        ({"x": X, "y": np.where(np.arange(40) == 7, np.nan, 1.5)}, "y holds NaN or infinite values, first in sample 7"),
        ({"x": X, "y": Y * 0}, "all samples are of one class, '0': give samples of at least two"),
        ({"x": X, "y": Y * 0.0}, "target 0 is the same number in all of train"),
        ({"x": X.astype(np.int64), "y": Y}, "whole numbers are tokens, n x t: save pixels as uint8"),
        ({"x": np.full((40, 6), -1), "y": Y}, "x holds tokens that are negative or too large, first in sample 0"),
        ({"x": _changed(np.nan), "y": Y}, "x holds NaN or infinite values, first in sample 3: remove these"),
        ({"x": _changed(-np.inf), "y": Y}, "x holds NaN or infinite values"),
        ({"x": _changed(1.0).astype(float) * 1e300, "y": Y}, "x holds NaN or infinite values"),
        ({"x": np.arange(40.0), "y": Y}, "x is 40 of float64"),
        ({"x": X.astype(complex), "y": Y}, "complex128"),
        ({"x": X.astype(">f4"), "y": Y}, "samples of uint8, float32 or float64"),
        ({"x": X[:, :0], "y": Y}, "x is 40x0x3"),
        ({"x": X[:0], "y": Y[:0]}, "x is 0x2x3"),
        ({"x": np.float32(1), "y": Y}, "x is a scalar of float32"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :1], "y_test": Y}, "x_test is 40x1x3 of float32: make them"),
        ({"x": X, "y": Y, "classes": np.array(["a", "b"])}, "classes is 2 of <U1, but the labels need 4"),
        ({"x": X, "y": Y, "classes": np.array(["a", "b", "a", "d"])}, "two classes have one name"),
        ({"x": X, "y": Y, "classes": np.arange(4)}, "4 names as text"),
        ({"x": X[:3], "y": Y[:3]}, "split would be empty: give more samples"),
    ],
)
def test_wrong_arrays_are_refused_with_what_they_are(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    refused(tmp_path, message, **arrays)


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("place", ["x", "y", "classes", "x_train"])
def test_a_pickle_in_an_array_never_runs(tmp_path: Path, place: str) -> None:
    marker = tmp_path / "ran"
    planted = np.empty(40, dtype=object)
    planted[0] = _Bomb(marker)
    refused(tmp_path, f"array {place} holds Python objects", **({"x": X, "y": Y} | {place: planted}))
    assert not marker.exists()
    with np.load(tmp_path / "data.npz", allow_pickle=True) as stored:  # the payload does work where it is let
        assert stored[place][1] is None
    assert marker.is_dir()


def test_a_bare_pickle_is_no_npz(tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "data.npz"
    path.write_bytes(pickle.dumps(_Bomb(marker)))
    with pytest.raises(DatasetError, match="no zip archive"):
        prepare("npz", path, {}, quiet)
    zipped(path, {"x.npy": pickle.dumps(_Bomb(marker)), "y.npy": b""})
    with pytest.raises(DatasetError, match="cannot be read"):
        prepare("npz", path, {}, quiet)
    assert not marker.exists()


def _array(shape: tuple[int, ...], dtype: str, content: bytes) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": dtype})
    return file.getvalue() + content


def test_a_header_that_claims_more_than_there_is_reserves_nothing(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.npz", {"x.npy": _array((10**9, 10**6), "<f4", b"1234")})
    with pytest.raises(DatasetError, match="array x should have 4000000000000000 bytes, but has 4"):
        prepare("npz", path, {}, quiet)


def test_zip_bombs_are_refused_by_size_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.zeros((100, 4000), np.uint8), y=np.zeros(100, np.int64))
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(archive, "MAX_BYTES", 300_000)
    monkeypatch.setattr("app.search.sources.arrays._stored", lambda _: pytest.fail("was read"))
    for kind in ("npz", "images"):
        with pytest.raises(DatasetError, match=r"unpacks to 2 members of 40.* bytes; the limits are .* and 300000"):
            prepare(kind, path, {}, quiet)


def test_an_understated_size_does_not_get_past_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    honest = _array((1000, 1000), "|u1", bytes(10**6))
    zipped(path, {"x.npy": honest, "y.npy": _array((1000,), "|u1", bytes(1000))})
    raw, size = path.read_bytes(), len(honest).to_bytes(4, "little")
    assert raw.count(size) == 2  # local header and directory
    path.write_bytes(raw.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(DatasetError, match="array x cannot be read: Bad CRC"):
        prepare("npz", path, {}, quiet)


def test_broken_archives_are_refused_without_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=X, y=Y)
    good = path.read_bytes()
    for place in range(40, len(good) - 300, 29):
        path.write_bytes(good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :])
        try:
            prepare("npz", path, {}, quiet)
        except DatasetError:
            pass
    for length in (0, 10, len(good) // 2):
        path.write_bytes(good[:length])
        with pytest.raises(DatasetError):
            prepare("npz", path, {}, quiet)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=X, y=Y)
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    raw[start + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(DatasetError, match=r"array x cannot be read: .*encrypted"):
        prepare("npz", path, {}, quiet)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sede": 1}, "unknown option 'sede'; known are"),
        ({"seed": "1"}, "option seed is '1', which is no whole number"),
        ({"seed": True}, "option seed is 'True'"),
        ({"seed": 1.5}, "option seed is '1.5'"),
        ({"seed": -1}, "seed -1 is outside"),
        ({"test": None}, "option test is 'None', which is no number"),
        ({"test": 0.9}, "test share 0.9"),
        ({"test": float("nan")}, "test share nan"),
        ({"size": "88"}, r"option size is '88', which is no size: it must be \[height, width\]"),
        ({"size": [8]}, "option size"),
        ({"size": [8, 8, 3]}, "option size"),
        ({"size": [0, 8]}, "of 1 ... 4096 pixels"),
        ({"size": [8, 5000]}, "of 1 ... 4096 pixels"),
        (
            {"channels": 4},
            r"option channels is '4', which is no number of channels: it must be 3 \(RGB\) or 1 \(grey\)",
        ),
        ({"channels": True}, "option channels"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Options.read(options)


def test_options_reach_the_split() -> None:
    found = prepare("digits", None, {"seed": 3, "test": 0.1, "validation": 0.3}, quiet)
    assert len(found.splits["test"]) == 180
    assert len(found.splits["validation"]) == 539


def test_unknown_kinds_and_missing_files_are_named() -> None:
    with pytest.raises(
        DatasetError, match=r"unknown kind 'csv'; known are \['digits', 'hf', 'images', 'npz', 'table', 'text'\]"
    ):
        prepare("csv", None, {}, quiet)
    for kind in ("npz", "images", "text", "table", "hf"):
        with pytest.raises(DatasetError, match="needs a file"):
            prepare(kind, None, {}, quiet)


def test_naming_the_sources_costs_no_torch() -> None:
    code = (
        "import sys, app.search.sources; assert not {'torch', 'sklearn', 'PIL', 'pandas', 'pyarrow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_sets_whose_targets_differ_in_kind_or_shape_are_refused(tmp_path: Path) -> None:
    floats = np.linspace(0, 1, 40)
    for y_test in (Y, np.stack([floats, floats], axis=1)):
        refused(tmp_path, "different kinds or shapes", x_train=X, y_train=floats, x_test=X, y_test=y_test)


def test_numbers_to_predict_are_no_words_of_a_vocabulary(tmp_path: Path) -> None:
    found = npz(tmp_path, x=np.arange(80).reshape(40, 2), y=np.linspace(0, 1e6, 40))
    assert found.targets == "numbers" and found.meta()["vocabulary"] == 80


def test_tokens_of_which_none_is_judged_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "no place of train is judged", x=np.ones((40, 3), int), y=np.full((40, 3), -100))


@pytest.mark.parametrize("name", ["\ud800", "a\nb", "\x1b[31m"])
def test_class_names_that_cannot_be_written_are_refused(tmp_path: Path, name: str) -> None:
    refused(tmp_path, "cannot be written", x=X, y=Y % 2, classes=np.array([name, "b"]))

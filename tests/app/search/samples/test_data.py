"""Splits are a partition fixed by the seed; the one form comes back bit for bit, and mapped."""

import json
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.search.errors import DatasetError
from app.search.samples.dataset import MAX_CALIBRATION, SPLITS, Array, Dataset, Prepared, Shares
from tests.app.search.datasets import dataset, prepared

seeds = st.integers(0, 2**31 - 1)
share = st.floats(0.01, 0.6)
counts = st.integers(100, 3000)


def _is_partition(parts: dict[str, Array], count: int) -> bool:
    together = np.concatenate([parts[name] for name in SPLITS])
    return np.array_equal(np.sort(together), np.arange(count)) and all(len(part) for part in parts.values())


@given(seeds, share, share, share, counts)
def test_a_split_is_a_partition_with_the_shares_asked_for(
    seed: int, validation: float, test: float, calibration: float, count: int
) -> None:
    assume(validation + test + calibration <= 0.9)
    parts = Shares(seed=seed, validation=validation, test=test, calibration=calibration).split(count)
    assert _is_partition(parts, count)
    assert len(parts["test"]) == round(count * test)
    assert len(parts["validation"]) == round(count * validation)
    assert len(parts["train"]) >= 0.1 * count - 2


@given(seeds, counts, counts)
def test_a_given_test_set_is_halved_and_never_trained_on(seed: int, train: int, test: int) -> None:
    parts = Shares(seed=seed).split_given(train, test)
    assert _is_partition(parts, train + test)
    assert max(parts["train"].max(), parts["calibration"].max()) < train
    assert min(parts["validation"].min(), parts["test"].min()) >= train
    assert abs(len(parts["validation"]) - len(parts["test"])) <= 1


@given(seeds, counts)
def test_the_seed_alone_decides(seed: int, count: int) -> None:
    first, again, other = (Shares(seed=s).split(count) for s in (seed, seed, seed ^ 1))
    assert all(np.array_equal(first[name], again[name]) for name in SPLITS)
    assert not np.array_equal(first["test"], other["test"])


def test_the_split_stays_what_it_was() -> None:
    # numpy promises this stream; should it ever change, stored searches could not be repeated
    assert Shares(seed=0).split(20)["test"].tolist() == [2, 4, 6, 19]


def test_calibration_takes_no_more_than_is_used() -> None:
    for parts in (Shares().split(100_000), Shares().split_given(100_000, 100)):
        assert len(parts["calibration"]) == MAX_CALIBRATION


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"validation": 0.0}, "validation share 0.0"),
        ({"test": 0.61}, "test share 0.61"),
        ({"calibration": float("nan")}, "calibration share nan"),
        ({"validation": 0.5, "test": 0.4}, "leave 0.1 for train"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_wrong_shares_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Shares(**wrong)


def test_too_few_samples_are_named() -> None:
    with pytest.raises(DatasetError, match="the test split would be empty: give more samples"):
        Shares(test=0.05).split(9)
    with pytest.raises(DatasetError, match="validation split would be empty"):
        Shares().split_given(50, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_one_form_comes_back_bit_for_bit_and_mapped(tmp_path: Path, dtype: type, order: str) -> None:
    values = np.random.default_rng(0).uniform(0, 255, (60, 3, 5, 4)).astype(dtype)
    source = prepared(np.asarray(values, order=order))  # type: ignore[call-overload]
    source.write(tmp_path / "a.zip")
    found = Dataset(tmp_path / "a.zip")
    assert isinstance(found.inputs, np.memmap)
    assert found.inputs.dtype == dtype
    assert found.inputs.tobytes() == values.tobytes()
    assert not found.inputs.flags.writeable
    assert np.array_equal(found.labels, source.labels)
    assert found.classes == source.classes
    assert all(np.array_equal(found.numbers(name), source.splits[name]) for name in SPLITS)
    assert found.meta == json.loads(json.dumps(source.meta()))
    assert found.meta["splits"] == {"train": 30, "calibration": 6, "validation": 12, "test": 12}
    assert found.meta["input_shape"] == [3, 5, 4]


def _digest(source: Prepared, path: Path) -> str:
    source.write(path)
    return sha256(path.read_bytes()).hexdigest()


def test_the_same_data_has_the_same_digest(tmp_path: Path) -> None:
    inputs = np.arange(200, dtype=np.float32).reshape(50, 4)
    first = _digest(prepared(inputs), tmp_path / "a.zip")
    assert first == _digest(prepared(inputs), tmp_path / "b.zip")
    assert first != _digest(prepared(inputs[::-1]), tmp_path / "c.zip")


def test_a_prepared_form_that_is_not_plain_is_refused(tmp_path: Path) -> None:
    dataset(tmp_path, np.zeros((50, 4), np.float32))
    compressed = tmp_path / "compressed.zip"
    with zipfile.ZipFile(tmp_path / "arrays.zip") as good, zipfile.ZipFile(compressed, "w", 8) as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name))
    with pytest.raises(DatasetError, match="compressed"):
        Dataset(compressed)

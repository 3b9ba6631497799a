"""Datasets in one form: a stored zip of `.npy` arrays and `meta.json`, mapped into memory, never unpickled.

`inputs.npy` is `n x ...` (uint8 pixels or float32), `labels.npy` int64 `n`, and `<split>.npy` the sample numbers of
each split. Splits never overlap: `train` and `calibration` for recovery and scoring, `validation` to choose on, `test`
to report on. `app.search.sources` makes this form.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from app.search.errors import refused

SPLITS = ("train", "calibration", "validation", "test")
MAX_CALIBRATION = 4096  # more would only be taken away from training
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Shares:
    """How samples are divided; what is left is `train`. With a test set given, it is halved for validation."""

    seed: int = 0
    validation: float = 0.2
    test: float = 0.2
    calibration: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise refused(f"seed {self.seed!r} is outside 0 ... 2147483647")
        for name in ("validation", "test", "calibration"):
            if not 0.01 <= getattr(self, name) <= 0.6:
                raise refused(f"{name} share {getattr(self, name)!r} is outside 0.01 ... 0.6")
        if (given := self.validation + self.test + self.calibration) > 0.9:
            raise refused(f"validation, test and calibration take {given:.3g} of the samples: leave 0.1 for train")

    def split(self, count: int) -> dict[str, Array]:
        """Divide `count` samples at random, by the seed."""
        order = np.random.default_rng(self.seed).permutation(count)
        sizes = (round(count * self.test), round(count * self.validation), self._few(count))
        test, validation, calibration, train = np.split(order, np.cumsum(sizes))
        return _named(train, calibration, validation, test)

    def split_given(self, train_count: int, test_count: int) -> dict[str, Array]:
        """Divide samples whose test set is given (numbers `train_count ...`): it is halved for validation and test."""
        random = np.random.default_rng(self.seed)
        train, test = random.permutation(train_count), train_count + random.permutation(test_count)
        few, half = self._few(train_count), test_count // 2
        return _named(train[few:], train[:few], test[:half], test[half:])

    def _few(self, count: int) -> int:
        return min(round(count * self.calibration), MAX_CALIBRATION)


def _named(train: Array, calibration: Array, validation: Array, test: Array) -> dict[str, Array]:
    parts = dict(zip(SPLITS, (train, calibration, validation, test), strict=True))
    if short := [name for name, part in parts.items() if len(part) < 1]:
        raise refused(f"the {short[0]} split would be empty: give more samples, or a larger share")
    return {name: np.sort(part).astype(np.int64) for name, part in parts.items()}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a source yields: all samples, and who is in which split."""

    inputs: Array
    labels: Array
    splits: Mapping[str, Array]
    classes: tuple[str, ...]
    source: str

    def meta(self) -> dict[str, Any]:
        """What people and checks need to know without opening the arrays."""
        return {
            "classes": list(self.classes),
            "splits": {name: len(part) for name, part in self.splits.items()},
            "input_shape": list(self.inputs.shape[1:]),
            "input_dtype": str(self.inputs.dtype),
            "source": self.source,
        }

    def write(self, path: Path) -> None:
        """Write the stored zip."""
        arrays = {"inputs": self.inputs, "labels": self.labels.astype(np.int64), **self.splits}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            stamp = (1980, 1, 1, 0, 0, 0)  # so that the same data has the same digest
            archive.writestr(zipfile.ZipInfo("meta.json", stamp), json.dumps(self.meta(), sort_keys=True))
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy", stamp), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


class Dataset:
    """A prepared dataset, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.meta: dict[str, Any] = json.loads(archive.read("meta.json"))
            offsets = {info.filename: _data_offset(path, info) for info in archive.infolist()}
        self.inputs = _mapped(path, offsets["inputs.npy"])
        self.labels = np.array(_mapped(path, offsets["labels.npy"]))
        self._splits = {name: np.array(_mapped(path, offsets[f"{name}.npy"])) for name in SPLITS}

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; label `k` means `classes[k]`."""
        return tuple(self.meta["classes"])

    def numbers(self, split: str) -> Array:
        """The sample numbers of a split, ascending."""
        return self._splits[split]


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: after its local header, whose two lengths stand at byte 26."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise refused(f"{info.filename} in a prepared dataset is compressed")
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name_length, extra_length = np.frombuffer(file.read(4), dtype="<u2")
    return info.header_offset + 30 + int(name_length) + int(extra_length)


def _mapped(path: Path, offset: int) -> Array:
    with path.open("rb") as file:
        file.seek(offset)
        shape, fortran, dtype = read_header(file)
        start = file.tell()
    if dtype.hasobject or fortran:
        raise refused("a prepared dataset holds plain C-ordered arrays only")
    return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type of the `.npy` array at the file's position, which moves to its data.

    Raises:
        ValueError: it is no such array, or of a version that only named fields need.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f".npy version {version} is not read")

"""Datasets in one form: a stored zip of `.npy` arrays and `meta.json`, mapped into memory, never unpickled.

`inputs.npy` is `n x ...` (uint8 pixels, float32, or whole numbers such as token ids), further inputs of the model are
`inputs_1.npy` and so on, and `<split>.npy` holds the sample numbers of each split. `labels.npy` has the targets: int64
`n` for classes, float32 `n` or `n x k` for numbers, int64 `n x t` for tokens. Splits never overlap: `train` and
`calibration` for recovery and scoring, `validation` to choose on, `test` to report on. `app.search.sources` makes it.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from app.search.errors import refused
from app.search.samples.spool import Array, Spool

SPLITS = ("train", "calibration", "validation", "test")
MAX_CALIBRATION = 4096  # more would only be taken away from training
Rows = Array | Spool

_MOST_COUNTED = 1000  # classes, whose samples meta.json counts one by one


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

    def split_all(self, train_count: int, validation_count: int, test_count: int) -> dict[str, Array]:
        """Divide samples whose three sets are given, one after another: only calibration is taken, from train."""
        train = np.random.default_rng(self.seed).permutation(train_count)
        few = self._few(train_count)
        end = train_count + validation_count
        validation, test = np.arange(train_count, end), np.arange(end, end + test_count)
        return _named(train[few:], train[:few], validation, test)

    def split_as_given(self, total: int, given: Mapping[str, int]) -> dict[str, Array]:
        """Divide samples of which `given` were named train, validation or test, in this order; none: all at random.

        Raises:
            DatasetError: some were, and none of them train, or nothing to judge on.
        """
        counts = [given.get(name, 0) for name in ("train", "validation", "test")]
        train, validation, test = counts
        if not any(counts):
            return self.split(total)
        if not train or not validation + test:
            named = [name for name, count in given.items() if count]
            raise refused(f"samples are named {named} alone: give train and test as well, or name none of them")
        if validation and test:
            return self.split_all(train, validation, test)
        return self.split_given(train, validation + test)

    def _few(self, count: int) -> int:
        return min(round(count * self.calibration), MAX_CALIBRATION)


def _named(train: Array, calibration: Array, validation: Array, test: Array) -> dict[str, Array]:
    parts = dict(zip(SPLITS, (train, calibration, validation, test), strict=True))
    if short := [name for name, part in parts.items() if len(part) < 1]:
        raise refused(f"the {short[0]} split would be empty: give more samples, or a larger share")
    return {name: np.sort(part).astype(np.int64) for name, part in parts.items()}


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a source yields: all samples, and who is in which split. No `classes` for numbers and tokens.

    `more_inputs` are further inputs by name; `stated` is what else people must know, such as the tokenizer.
    """

    inputs: Rows
    labels: Rows
    splits: Mapping[str, Array]
    classes: tuple[str, ...]
    source: str
    input_name: str = "input"
    more_inputs: Mapping[str, Rows] = field(default_factory=dict)
    stated: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        taken = np.zeros(len(self.inputs), dtype=np.int8)
        for part in self.splits.values():
            np.add.at(taken, part, 1)
        if (taken > 1).any():
            raise refused(f"sample {int((taken > 1).argmax())} is in two splits: give each to one")

    @property
    def targets(self) -> Literal["classes", "numbers", "tokens"]:
        """What the labels are."""
        if self.classes:
            return "classes"
        return "numbers" if self.labels.dtype.kind == "f" else "tokens"

    def with_stated(self, **more: Any) -> "Prepared":
        """The same, with more that people must know."""
        return replace(self, stated={**self.stated, **more})

    def meta(self) -> dict[str, Any]:
        """What people and checks need to know without opening the arrays."""
        named = {self.input_name: self.inputs, **self.more_inputs}
        return {
            "targets": self.targets,
            "classes": list(self.classes),
            "splits": {name: len(part) for name, part in self.splits.items()},
            "inputs": [
                {"name": name, "shape": list(rows.shape[1:]), "dtype": str(rows.dtype)} for name, rows in named.items()
            ],
            "input_shape": list(self.inputs.shape[1:]),
            "input_dtype": str(self.inputs.dtype),
            "target_shape": list(self.labels.shape[1:]),
            "source": self.source,
            "notes": list(self.notes),
            **self._counted(),
            **self.stated,
        }

    def _counted(self) -> dict[str, Any]:
        """Samples a class and split, or the mean and the variance of the training numbers, a column each."""
        if self.targets == "classes" and len(self.classes) <= _MOST_COUNTED:
            labels = np.asarray(self.labels)
            counts = {n: np.bincount(labels[part], minlength=len(self.classes)) for n, part in self.splits.items()}
            return {"class_counts": {name: found.tolist() for name, found in counts.items()}}
        if self.targets == "numbers":
            values = np.asarray(self.labels, dtype=np.float64)[self.splits["train"]].reshape(
                len(self.splits["train"]), -1
            )
            return {"target_mean": values.mean(axis=0).tolist(), "target_variance": values.var(axis=0).tolist()}
        return {}

    def write(self, path: Path) -> None:
        """Write the stored zip."""
        further = {f"inputs_{n}": rows for n, rows in enumerate(self.more_inputs.values(), start=1)}
        arrays: dict[str, Rows] = {"inputs": self.inputs, **further, "labels": self.labels, **self.splits}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            stamp = (1980, 1, 1, 0, 0, 0)  # so that the same data has the same digest
            archive.writestr(zipfile.ZipInfo("meta.json", stamp), json.dumps(self.meta(), sort_keys=True))
            for name, rows in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy", stamp), "w", force_zip64=True) as member:
                    _save(rows, member)


def _save(rows: Rows, file: IO[bytes]) -> None:
    if isinstance(rows, Spool):
        rows.save(file)
    else:
        np.lib.format.write_array(file, np.ascontiguousarray(rows), allow_pickle=False)


class Dataset:
    """A prepared dataset, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.meta: dict[str, Any] = json.loads(archive.read("meta.json"))
            offsets = {info.filename: _data_offset(path, info) for info in archive.infolist()}
        count = len(self.meta.get("inputs", [None]))
        further = tuple(_mapped(path, offsets[f"inputs_{number}.npy"]) for number in range(1, count))
        self.inputs = _mapped(path, offsets["inputs.npy"])
        self.all_inputs: tuple[Array, ...] = (self.inputs, *further)
        self.labels = _mapped(path, offsets["labels.npy"])  # of tokens, as large as the inputs
        self._splits = {name: np.array(_mapped(path, offsets[f"{name}.npy"])) for name in SPLITS}

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; label `k` means `classes[k]`. None for numbers and tokens."""
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

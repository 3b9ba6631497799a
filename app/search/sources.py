"""Where datasets come from: the built-in digits, `.npz` files, zips of class folders with images.

Uploads are untrusted: no pickles, sizes are checked before anything is unpacked, images are decoded within limits.
"""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from app.search import image_folders
from app.search.data import Array, Prepared, Shares, read_header
from app.search.errors import DatasetError, refused
from app.search.image_folders import Look

Report = Callable[[float, str], None]
MAX_BYTES = 8 * 2**30  # of a dataset once unpacked: it is prepared in memory
MAX_MEMBERS = 4_000_000
MAX_CLASSES = 100_000
_TRAIN_AND_TEST = ("x_train", "y_train", "x_test", "y_test")
_ARRAYS = ("x", "y", *_TRAIN_AND_TEST, "classes")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a dataset's registration may say: the split's seed and shares, and what images are brought to."""

    shares: Shares = field(default_factory=Shares)
    look: Look = field(default_factory=Look)

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> "Options":
        """Read the JSON options; raises DatasetError on unknown keys or wrong values."""
        names = {entry.name for entry in fields(Shares)}
        if unknown := sorted(set(options) - names - {"size", "channels"}):
            known = sorted(names | {"size", "channels"})
            raise refused(f"unknown option {str(unknown[0])[:80]!r}; known are {known}")
        for name in options.keys() & names:
            kinds = int if name == "seed" else int | float
            if isinstance(options[name], bool) or not isinstance(options[name], kinds):
                raise refused(f"option {name} is {str(options[name])[:80]!r}, which is no {_KINDS[kinds]}")
        size, channels = options.get("size"), options.get("channels", 3)
        if size is not None and not _is_size(size):
            raise refused(f"option size is {str(size)[:80]}; it must be [height, width], of 1 ... 4096 pixels")
        if isinstance(channels, bool) or channels not in (1, 3):
            raise refused(f"option channels is {str(channels)[:80]}; it must be 3 (RGB) or 1 (grey)")
        look = Look(size=(size[0], size[1]) if size is not None else None, channels=channels)
        return cls(shares=Shares(**{name: options[name] for name in options.keys() & names}), look=look)


_KINDS: Mapping[Any, str] = {int: "whole number", int | float: "number"}


def _is_size(value: Any) -> bool:
    pair = isinstance(value, list | tuple) and len(value) == 2
    return pair and all(isinstance(side, int) and not isinstance(side, bool) and 1 <= side <= 4096 for side in value)


def digits(_: Path | None, options: Options, report: Report) -> Prepared:
    """scikit-learn's handwritten digits: 1,797 real scans of 8 x 8 pixels with 17 grey levels, bundled with it."""
    from sklearn.datasets import load_digits

    report(0.1, "reading digits")
    scans = load_digits()
    inputs = (scans.images.astype(np.float32) / 16.0)[:, None]  # n x 1 x 8 x 8, in [0, 1]
    return Prepared(
        inputs=inputs,
        labels=scans.target.astype(np.int64),
        splits=options.shares.split(len(inputs)),
        classes=tuple(str(digit) for digit in range(10)),
        source="scikit-learn load_digits",
    )


def npz(upload: Path | None, options: Options, report: Report) -> Prepared:
    """Arrays `x` and `y`, or `x_train`, `y_train`, `x_test`, `y_test`; optionally `classes`. Never pickled."""
    with _opened(upload) as archive:
        arrays = _arrays(archive)
    report(0.5, "checking arrays")
    if set(_TRAIN_AND_TEST) <= set(arrays):
        first, given = _pair(arrays, "x_train", "y_train"), _pair(arrays, "x_test", "y_test")
        if first[0].shape[1:] != given[0].shape[1:] or first[0].dtype != given[0].dtype:
            raise refused(f"x_train is {_shape(first[0])} but x_test is {_shape(given[0])}: make them alike")
        inputs, labels = (np.concatenate([a, b]) for a, b in zip(first, given, strict=True))
        splits = options.shares.split_given(len(first[0]), len(given[0]))
    elif {"x", "y"} <= set(arrays):
        inputs, labels = _pair(arrays, "x", "y")
        splits = options.shares.split(len(inputs))
    else:
        held = sorted(arrays) or "no such arrays"
        raise refused(f"the file needs the arrays x and y, or {', '.join(_TRAIN_AND_TEST)}; it has {held}")
    classes = _classes(arrays.get("classes"), int(labels.max()) + 1)
    return Prepared(inputs=inputs, labels=labels, splits=splits, classes=classes, source="npz")


def images(upload: Path | None, options: Options, report: Report) -> Prepared:
    """A zip of `class/image` or `train/class/image` and `test/class/image`; pixels as uint8 `n x 3 x h x w`.

    Classes are numbered by their sorted names; with the option channels 1, pixels are grey: `n x 1 x h x w`.
    """
    with _opened(upload) as archive:
        members = image_folders.find_images(archive.infolist())
        classes = tuple(sorted({member.label for member in members}))
        inputs = image_folders.decode(archive, members, options.look, MAX_BYTES, report)
    number = {name: index for index, name in enumerate(classes)}
    tested = sum(member.tested for member in members)
    train = len(members) - tested
    return Prepared(
        inputs=inputs,
        labels=np.array([number[member.label] for member in members], dtype=np.int64),
        splits=options.shares.split_given(train, tested) if tested else options.shares.split(train),
        classes=classes,
        source="image folders",
    )


SOURCES: Mapping[str, Callable[[Path | None, Options, Report], Prepared]] = {
    "digits": digits,
    "npz": npz,
    "images": images,
}


def prepare(kind: str, upload: Path | None, options: Mapping[str, Any], report: Report) -> Prepared:
    """Bring a dataset into the one form.

    Raises:
        DatasetError: it is refused; the message says what is wrong and what would help.
    """
    if kind not in SOURCES:
        raise refused(f"unknown kind {kind[:80]!r}; known are {sorted(SOURCES)}")
    return SOURCES[kind](upload, Options.read(options), report)


def _opened(upload: Path | None) -> zipfile.ZipFile:
    if upload is None:
        raise refused("this kind of dataset needs a file")
    try:
        archive = zipfile.ZipFile(upload)
    except Exception:  # a broken directory is reported in many ways
        raise refused("the file is no zip archive (an .npz is one as well)") from None
    members = archive.infolist()
    total_bytes = sum(info.file_size for info in members)
    if len(members) > MAX_MEMBERS or total_bytes > MAX_BYTES:
        archive.close()
        raise refused(
            f"the file unpacks to {len(members)} members of {total_bytes} bytes; "
            f"the limits are {MAX_MEMBERS} and {MAX_BYTES}: give fewer or smaller samples"
        )
    return archive


def _arrays(archive: zipfile.ZipFile) -> dict[str, Array]:
    found = {}
    for name in set(_ARRAYS) & {member.removesuffix(".npy") for member in archive.namelist()}:
        try:
            found[name] = _array(archive, name)
        except (DatasetError, MemoryError):
            raise
        except Exception as error:  # zip and array readers may raise anything on hostile bytes
            raise refused(f"array {name} cannot be read: {str(error)[:120] or type(error).__name__}") from None
    return found


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        shape, _, dtype = read_header(member)
        size_bytes = info.file_size - member.tell()
    if dtype.hasobject:
        raise refused(f"array {name} holds Python objects, which are pickled and never loaded: save plain numbers")
    if prod(shape) * dtype.itemsize != size_bytes:  # or numpy would reserve what the header says
        raise refused(f"array {name} should have {prod(shape) * dtype.itemsize} bytes, but has {size_bytes}")
    with archive.open(info) as member:
        array: Array = np.lib.format.read_array(member, allow_pickle=False)
    return array


def _pair(arrays: Mapping[str, Array], x: str, y: str) -> tuple[Array, Array]:
    inputs, labels = arrays[x], arrays[y]
    if inputs.dtype not in (np.uint8, np.float32, np.float64) or inputs.ndim < 2 or not inputs.size:
        raise refused(f"{x} is {_shape(inputs)}; it must be samples of uint8, float32 or float64, one a row")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(inputs):
        raise refused(f"{y} is {_shape(labels)}; it must be {len(inputs)} whole numbers, one for each row of {x}")
    if labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise refused(f"{y} runs from {labels.min()} to {labels.max()}; classes count from 0 to below {MAX_CLASSES}")
    if inputs.dtype != np.uint8:
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
            inputs = inputs.astype(np.float32)
        if not np.isfinite(inputs).all():
            raise refused(f"{x} holds NaN or infinite values: remove these samples")
    return inputs, labels.astype(np.int64)


def _classes(names: Array | None, count: int) -> tuple[str, ...]:
    if names is None:
        return tuple(str(index) for index in range(count))
    if names.ndim != 1 or names.dtype.kind != "U" or not count <= len(names) <= MAX_CLASSES:
        raise refused(f"classes is {_shape(names)}, but the labels need {count} names as text")
    classes = tuple(str(name)[:200] for name in names)
    if len(set(classes)) < len(classes):
        raise refused("classes names one class twice")
    return classes


def _shape(array: Array) -> str:
    return f"{'x'.join(map(str, array.shape)) or 'a scalar'} of {array.dtype}"

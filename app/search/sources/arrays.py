"""Arrays as numpy writes them: an `.npz`, or a zip of `.npy` files, which is the same. Never pickled."""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from app.search.errors import DatasetError, refused
from app.search.samples.dataset import Prepared, read_header
from app.search.samples.spool import Array, Spool
from app.search.sources import archive as archives
from app.search.sources.base import Report
from app.search.sources.options import Options

MAX_CLASSES = 100_000
MAX_WHOLE_BYTES = 2 * 2**30  # of an array that must be read at once: targets, and inputs in Fortran's order
_SETS = ("train", "validation", "test")
_PIECE_BYTES = 2**24
_FLOATS = (np.float32, np.float64)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An array of the archive, of which only the header was read."""

    name: str
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape)) or 'a scalar'} of {self.dtype}"


def read_arrays(upload: Path | None, options: Options, report: Report, folder: Path | None = None) -> Prepared:
    """Arrays `x` and `y`, or `x_train`, `y_train`, `x_test`, `y_test`, `_validation` likewise; perhaps `classes`.

    Whole numbers in `y`, one a sample, are classes; floats are numbers to predict; whole numbers shaped like whole `x`
    are tokens.
    """
    with archives.opened(upload) as archive:
        found = _stored(archive)
        sets = _sets(found)
        report(0.1, "checking arrays")
        first = found[_named("x", sets[0])]
        _check_inputs(first)
        labels = _joined([_labels(archive, found, name, options) for name in sets])
        inputs = Spool(_row(first.shape[1:], options), _dtype(first, labels), folder)
        for done, name in enumerate(sets):
            report(0.2 + 0.7 * done / len(sets), f"reading {_named('x', name)}")
            _read_inputs(archive, found[_named("x", name)], first, options, inputs)
        names = _whole(archive, found["classes"]) if "classes" in found else None
    counts = {name: found[_named("y", name)].shape[0] for name in sets if name}
    classes = _classes(names, int(labels.max()) + 1) if labels.ndim == 1 and labels.dtype.kind == "i" else ()
    stated: dict[str, Any] = {"normalisation": "as given; pixels are read as [0, 1]"}
    if counts:
        stated["given_splits"] = sorted(counts)
    if inputs.dtype == np.int32:
        stated["vocabulary"] = 1 + max(_highest(inputs), int(labels.max()) if _are_tokens(labels) else -1)
    splits = options.shares.split_as_given(len(inputs), counts)
    return Prepared(inputs=inputs, labels=labels, splits=splits, classes=classes, source="npz", stated=stated)


def _named(letter: str, part: str) -> str:
    return f"{letter}_{part}" if part else letter


def _stored(archive: zipfile.ZipFile) -> dict[str, Stored]:
    wanted = {"classes"} | {_named(letter, part) for letter in "xy" for part in ("", *_SETS)}
    found = {}
    for name in wanted & {member.removesuffix(".npy") for member in archive.namelist()}:
        with _honest(name):
            found[name] = _header(archive, name)
    return found


def _header(archive: zipfile.ZipFile, name: str) -> Stored:
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:
        shape, fortran, dtype = read_header(member)
        size_bytes = info.file_size - member.tell()
    if dtype.hasobject:
        raise refused(f"array {name} holds Python objects, which are pickled and never loaded: save plain numbers")
    if prod(shape) * dtype.itemsize != size_bytes:  # or numpy would reserve what the header says
        raise refused(f"array {name} should have {prod(shape) * dtype.itemsize} bytes, but has {size_bytes}")
    return Stored(name=name, info=info, shape=shape, fortran=fortran, dtype=dtype)


class _honest:
    """Inside, whatever zip and array readers raise on hostile bytes is a refusal of the array."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, DatasetError | MemoryError) or not isinstance(error, Exception):
            return
        raise refused(f"array {self.name} cannot be read: {str(error)[:120] or type(error).__name__}") from None


def _sets(found: Mapping[str, Stored]) -> list[str]:
    """Which sets the file has, in their order; one without a name where it has `x` and `y`."""
    there = [part for part in _SETS if {_named("x", part), _named("y", part)} <= set(found)]
    if "train" in there and len(there) > 1:
        return there
    if {"x", "y"} <= set(found):
        return [""]
    held = sorted(found) or "no such arrays"
    raise refused(f"the file needs the arrays x and y, or x_train, y_train, x_test, y_test; it has {held}")


def _labels(archive: zipfile.ZipFile, found: Mapping[str, Stored], part: str, options: Options) -> Array:
    x, y = found[_named("x", part)], found[_named("y", part)]
    count = x.shape[0] if x.shape else 0
    numbers = y.dtype.kind == "f" or (options.task == "regression" and y.dtype.kind in "iu")
    tokens = y.dtype.kind in "iu" and y.shape == x.shape and x.dtype.kind in "iu" and len(y.shape) == 2
    if numbers and options.task in (None, "regression") and len(y.shape) in (1, 2) and y.shape[0] == count:
        return _finite(_whole(archive, y).astype(np.float32), y.name)
    if tokens and options.task in (None, "language_modelling"):
        return _tokens(_whole(archive, y).astype(np.int64), y.name, lowest=-100)
    if len(y.shape) != 1 or y.dtype.kind not in "iu" or y.shape[0] != count or options.task in ("language_modelling",):
        raise refused(
            f"{y.name} is {y}; it must be {count} whole numbers, one for each row of {x.name} (classes), floats "
            f"(numbers to predict), or whole numbers shaped like {x.name} (tokens)"
        )
    labels = _whole(archive, y).astype(np.int64)
    if count and (labels.min() < 0 or labels.max() >= MAX_CLASSES):
        worst = int(((labels < 0) | (labels >= MAX_CLASSES)).argmax())
        raise refused(
            f"{y.name} runs from {labels.min()} to {labels.max()}, sample {worst} has {labels[worst]}; classes count "
            f"from 0 to below {MAX_CLASSES}"
        )
    return cast(Array, labels)


def _joined(parts: list[Array]) -> Array:
    """The targets of all sets, which must be of one kind."""
    kinds = {(part.dtype.kind, part.shape[1:]) for part in parts}
    if len(kinds) > 1:
        raise refused(
            "the sets' targets are of different kinds or shapes: give whole numbers in all of them, or floats of one "
            'shape; with the option {"task": "regression"} whole numbers are read as floats'
        )
    return np.concatenate(parts)


def _check_inputs(first: Stored) -> None:
    whole = first.dtype.kind in "iu" and first.dtype != np.uint8
    if (first.dtype not in (np.uint8, *_FLOATS) and not whole) or len(first.shape) < 2 or not prod(first.shape):
        raise refused(f"{first.name} is {first}; it must be samples of uint8, float32 or float64, or tokens, one a row")
    if whole and len(first.shape) != 2:
        raise refused(f"{first.name} is {first}; whole numbers are tokens, n x t: save pixels as uint8")


def _dtype(first: Stored, labels: Array) -> type[np.generic]:
    """Of the inputs, as they are kept: pixels, tokens or other numbers."""
    if first.dtype == np.uint8 and not _are_tokens(labels):
        return np.uint8
    return np.int32 if first.dtype.kind in "iu" else np.float32


def _are_tokens(labels: Array) -> bool:
    return labels.ndim == 2 and labels.dtype.kind == "i"


def _highest(rows: Spool) -> int:
    return max(int(rows[start : start + 65_536].max()) for start in range(0, len(rows), 65_536))


def _row(shape: tuple[int, ...], options: Options) -> tuple[int, ...]:
    if options.layout != "nhwc":
        return shape
    if len(shape) != 3:
        raise refused('the option layout "nhwc" is for images, n x height x width x channels: leave it out')
    return shape[2], shape[0], shape[1]


def _read_inputs(archive: zipfile.ZipFile, stored: Stored, first: Stored, options: Options, inputs: Spool) -> None:
    if stored.shape[1:] != first.shape[1:] or stored.dtype != first.dtype:
        raise refused(f"{first.name} is {first} but {stored.name} is {stored}: make them alike")
    done = 0
    for rows in _pieces(archive, stored):
        if inputs.dtype == np.float32:
            with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
                rows = _finite(rows.astype(np.float32), stored.name, done)
        elif inputs.dtype == np.int32:
            rows = _tokens(rows, stored.name, done)
        done += len(rows)
        inputs.add(rows.transpose(0, 3, 1, 2) if options.layout == "nhwc" else rows)


def _pieces(archive: zipfile.ZipFile, stored: Stored) -> Iterator[Array]:
    """The rows of an array, a few megabytes at a time."""
    if stored.fortran:
        yield _whole(archive, stored)
        return
    row_bytes = prod(stored.shape[1:]) * stored.dtype.itemsize
    many = max(1, _PIECE_BYTES // max(1, row_bytes))
    with _honest(stored.name), archive.open(stored.info) as member:
        read_header(member)
        for start in range(0, stored.shape[0], many):
            count = min(many, stored.shape[0] - start)
            content = _exactly(member, count * row_bytes)
            yield np.frombuffer(content, dtype=stored.dtype).reshape(count, *stored.shape[1:])
        member.read()  # to the end, where the check sum is


def _exactly(member: IO[bytes], count: int) -> bytes:
    content = member.read(count)
    if len(content) != count:
        raise ValueError("it ends too early")
    return content


def _whole(archive: zipfile.ZipFile, stored: Stored) -> Array:
    if stored.info.file_size > MAX_WHOLE_BYTES:
        raise refused(
            f"array {stored.name} has {stored.info.file_size} bytes and would be read at once: "
            "save inputs with np.ascontiguousarray, and fewer targets"
        )
    with _honest(stored.name), archive.open(stored.info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _finite(values: Array, name: str, before: int = 0) -> Array:
    if not np.isfinite(values).all():
        bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        raise refused(
            f"{name} holds NaN or infinite values, first in sample {before + int(bad.argmax())}: remove these samples"
        )
    return values


def _tokens(values: Array, name: str, before: int = 0, lowest: int = 0) -> Array:
    outside = ((values < 0) & (values != lowest)) | (values >= 2**31)
    if outside.any():
        sample = before + int(outside.any(axis=1).argmax())
        raise refused(f"{name} holds tokens that are negative or too large, first in sample {sample}")
    return values


def _classes(names: Array | None, count: int) -> tuple[str, ...]:
    if names is None:
        return tuple(str(index) for index in range(count))
    if len(names.shape) != 1 or names.dtype.kind != "U" or not count <= len(names) <= MAX_CLASSES:
        shown = f"{'x'.join(map(str, names.shape)) or 'a scalar'} of {names.dtype}"
        raise refused(f"classes is {shown}, but the labels need {count} names as text")
    with _honest("classes"):
        classes = tuple(str(name)[:200] for name in names)
    return classes

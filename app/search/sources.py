"""Where datasets come from: the built-in digits, `.npz` files, zips of class folders with images.

Uploads are untrusted: no pickles, sizes are checked before anything is unpacked, images are decoded within limits.
"""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from app.search.data import Array, Prepared, Shares
from app.search.errors import DatasetError

Report = Callable[[float, str], None]
MAX_BYTES = 16 * 2**30
MAX_MEMBERS = 4_000_000
MAX_PIXELS = 64_000_000
MAX_CLASSES = 100_000
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm")
_GIVEN = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a dataset's registration may say: the split's seed and shares, and a size for images."""

    shares: Shares = Shares()
    size: tuple[int, int] | None = None  # height, width

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> "Options":
        """Read the JSON options; raises DatasetError on unknown keys or wrong values."""
        known = {"seed", "validation", "test", "calibration", "size"}
        if unknown := sorted(set(options) - known):
            raise _refused(f"unknown option {unknown[0]!r}; known are {sorted(known)}")
        try:
            size = options.get("size")
            pair = (int(size[0]), int(size[1])) if size is not None else None
            shares = {k: float(v) for k, v in options.items() if k not in ("seed", "size")}
            found = cls(shares=Shares(seed=int(options.get("seed", 0)), **shares), size=pair)
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise _refused(f"the options {str(dict(options))[:120]} cannot be read: {str(error)[:120]}") from None
        if found.size is not None and not all(1 <= side <= 4096 for side in found.size):
            raise _refused(f"size {found.size} is outside 1 ... 4096 pixels")
        return found


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
    arrays = _read_npz(_there(upload))
    report(0.5, "checking arrays")
    if {"x_train", "y_train", "x_test", "y_test"} <= set(arrays):
        first, given = _pair(arrays, "x_train", "y_train"), _pair(arrays, "x_test", "y_test")
        if first[0].shape[1:] != given[0].shape[1:] or first[0].dtype != given[0].dtype:
            raise _refused(f"x_train is {_shape(first[0])} but x_test is {_shape(given[0])}: make them alike")
        inputs, labels = (np.concatenate([a, b]) for a, b in zip(first, given, strict=True))
        splits = options.shares.split_given(len(first[0]), len(given[0]))
    elif {"x", "y"} <= set(arrays):
        inputs, labels = _pair(arrays, "x", "y")
        splits = options.shares.split(len(inputs))
    else:
        raise _refused(f"the file holds {sorted(arrays)[:8]}; it needs x and y, or x_train, y_train, x_test, y_test")
    classes = _classes(arrays, int(labels.max()) + 1)
    return Prepared(inputs=inputs, labels=labels, splits=splits, classes=classes, source="npz")


def images(upload: Path | None, options: Options, report: Report) -> Prepared:
    """A zip of `class/image` or `train/class/image` and `test/class/image`; pixels as uint8 RGB `n x 3 x h x w`."""
    with _opened(_there(upload)) as archive:
        members = sorted(_image_members(archive))
        parts = {len(path.parts) for path in members}
        given = parts == {3} and {path.parts[0] for path in members} <= set(_GIVEN)
        if parts != {2} and not given:
            raise _refused("images must lie as class/image, or as train/class/image and test/class/image")
        classes = tuple(sorted({path.parts[-2] for path in members}))
        number = {name: index for index, name in enumerate(classes)}
        if given:
            members.sort(key=lambda path: path.parts[0] == "test")  # train first
        inputs = _decode(archive, members, options.size, report)
    labels = np.array([number[path.parts[-2]] for path in members], dtype=np.int64)
    tested = sum(path.parts[0] == "test" for path in members) if given else 0
    if given and not 0 < tested < len(members):
        raise _refused("both train/ and test/ must hold images")
    shares = options.shares
    splits = shares.split_given(len(members) - tested, tested) if given else shares.split(len(members))
    return Prepared(inputs=inputs, labels=labels, splits=splits, classes=classes, source="image folders")


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
        raise _refused(f"unknown kind {kind!r}; known are {sorted(SOURCES)}")
    return SOURCES[kind](upload, Options.read(options), report)


def _read_npz(upload: Path) -> dict[str, Array]:
    with _opened(upload) as archive:
        _check_sizes(archive)
    try:
        with np.load(upload, allow_pickle=False) as stored:
            wanted = ("x", "y", "x_train", "y_train", "x_test", "y_test", "classes")
            return {name: stored[name] for name in stored.files if name in wanted}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _refused(f"the .npz cannot be read: {str(error)[:160]} (pickled arrays are never loaded)") from None


def _pair(arrays: Mapping[str, Array], x: str, y: str) -> tuple[Array, Array]:
    inputs, labels = arrays[x], arrays[y]
    if inputs.dtype not in (np.uint8, np.float32, np.float64) or inputs.ndim < 2 or not len(inputs):
        raise _refused(f"{x} is {_shape(inputs)}; it must be samples of uint8 or float, one a row")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(inputs):
        raise _refused(f"{y} is {_shape(labels)}; it must be {len(inputs)} whole numbers, one for each row of {x}")
    if labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise _refused(f"{y} runs from {labels.min()} to {labels.max()}; classes count from 0")
    if inputs.dtype != np.uint8:
        inputs = inputs.astype(np.float32)
        if not np.isfinite(inputs).all():
            raise _refused(f"{x} holds NaN or infinite values")
    return inputs, labels.astype(np.int64)


def _classes(arrays: Mapping[str, Array], count: int) -> tuple[str, ...]:
    names = arrays.get("classes")
    if names is None:
        return tuple(str(index) for index in range(count))
    if names.ndim != 1 or len(names) < count:
        raise _refused(f"classes is {_shape(names)}, but labels need {count} names")
    return tuple(str(name)[:200] for name in names)


def _opened(upload: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(upload)
    except (zipfile.BadZipFile, OSError):
        raise _refused("the file is no zip archive (an .npz is one as well)") from None


def _check_sizes(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    total_bytes = sum(info.file_size for info in members)
    if len(members) > MAX_MEMBERS or total_bytes > MAX_BYTES:
        raise _refused(f"{len(members)} members of {total_bytes} bytes; the limits are {MAX_MEMBERS} and {MAX_BYTES}")
    return members


def _image_members(archive: zipfile.ZipFile) -> Sequence[PurePosixPath]:
    found = []
    for info in _check_sizes(archive):
        path = PurePosixPath(info.filename)
        if info.is_dir() or path.parts[0] == "__MACOSX" or path.name.startswith("."):
            continue
        if path.is_absolute() or ".." in path.parts or len(info.filename) > 500:
            raise _refused(f"member {info.filename[:80]!r} has a path that is not allowed")
        if path.suffix.lower() not in _IMAGES:
            raise _refused(f"member {info.filename[:80]!r} is no image; known endings are {', '.join(_IMAGES)}")
        found.append(path)
    if not found:
        raise _refused("the zip holds no images")
    return found


def _decode(
    archive: zipfile.ZipFile, members: Sequence[PurePosixPath], size: tuple[int, int] | None, report: Report
) -> Array:
    pixels: Array | None = None
    for index, path in enumerate(members):
        image = _image(archive, path, size)
        if pixels is None:
            pixels = np.empty((len(members), *image.shape), dtype=np.uint8)
        if image.shape != pixels.shape[1:]:
            here, first = image.shape[1:], pixels.shape[2:]
            raise _refused(
                f"{str(path)[:80]!r} is {here[0]} x {here[1]} pixels, the first image {first[0]} x {first[1]}: "
                'give the option {"size": [height, width]}'
            )
        pixels[index] = image
        if index % 500 == 0:
            report(index / len(members), f"decoding images, {index} of {len(members)}")
    assert pixels is not None
    return pixels


def _image(archive: zipfile.ZipFile, path: PurePosixPath, size: tuple[int, int] | None) -> Array:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(archive.read(str(path)))) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _refused(f"{str(path)[:80]!r} has {image.width} x {image.height} pixels, over {MAX_PIXELS}")
            shown = image.convert("RGB")
            if size is not None and (shown.height, shown.width) != size:
                shown = shown.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            return np.asarray(shown, dtype=np.uint8).transpose(2, 0, 1)
    except DatasetError:
        raise
    except Exception as error:  # a decoder may raise anything on hostile bytes
        raise _refused(f"{str(path)[:80]!r} cannot be decoded: {type(error).__name__}") from None


def _there(upload: Path | None) -> Path:
    if upload is None:
        raise _refused("this kind of dataset needs a file")
    return upload


def _shape(array: Array) -> str:
    return f"{'x'.join(map(str, array.shape)) or 'a scalar'} of {array.dtype}"


def _refused(reason: str) -> DatasetError:
    return DatasetError("dataset_refused", reason)

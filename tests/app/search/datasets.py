"""Small datasets for tests: prepared ones, `.npz` files, zips of images."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.search.samples.dataset import Array, Dataset, Prepared, Shares
from app.search.sources import prepare


def quiet(_fraction: float, _text: str) -> None:
    """A report that nobody reads."""


def prepared(inputs: Array, labels: Array | None = None, classes: tuple[str, ...] = ("a", "b", "c")) -> Prepared:
    """These samples, divided by default; labels go round."""
    count = len(inputs)
    given = np.arange(count) % len(classes) if labels is None else labels
    return Prepared(inputs=inputs, labels=given, splits=Shares().split(count), classes=classes, source="test")


def dataset(folder: Path, inputs: Array, **options: Any) -> Dataset:
    """The same, written and mapped."""
    prepared(inputs, **options).write(folder / "arrays.zip")
    return Dataset(folder / "arrays.zip")


def picture(height: int, width: int, colour: tuple[int, int, int] = (10, 20, 30), kind: str = "PNG") -> bytes:
    """An image of one colour, but for its first pixel, which is white."""
    image = Image.new("RGB", (width, height), colour)
    image.putpixel((0, 0), (255, 255, 255))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    """A zip with these members, as they are named."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def flat(count: int = 8, **options: Any) -> dict[str, bytes]:
    """`count` images of each of the classes cat and dog, told apart by their red."""
    reds = {"cat": 0, "dog": 100}
    return {
        f"{name}/{index:03d}.png": picture(5, 4, (red + index, 7, 9), **options)
        for name, red in reds.items()
        for index in range(count)
    }


def images(path: Path, members: Mapping[str, bytes], **options: Any) -> Prepared:
    """A zip with these members, prepared."""
    return prepare("images", zipped(path / "images.zip", members), options, quiet)

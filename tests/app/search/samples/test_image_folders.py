"""Zips of images: both layouts, what is refused and how it is put, and what hostile files cannot do."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.search.errors import DatasetError
from app.search.samples import image_folders
from app.search.sources import archive, prepare
from tests.app.search.datasets import flat, images, picture, quiet, zipped


def refused(folder: Path, members: Mapping[str, bytes], message: str, **options: Any) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        images(folder, members, **options)
    assert caught.value.failure.code == "dataset_refused"
    assert len(str(caught.value)) < 400


def test_class_folders_are_divided_by_the_seed(tmp_path: Path) -> None:
    found = images(tmp_path, flat(), seed=4)
    assert found.classes == ("cat", "dog")
    assert found.inputs.shape == (16, 3, 5, 4)
    assert found.inputs.dtype == np.uint8
    assert np.array_equal(found.labels, [0] * 8 + [1] * 8)
    assert found.inputs[:, 0, 2, 2].tolist() == [*range(8), *range(100, 108)]  # pixels go with their labels
    assert found.inputs[0, :, 0, 0].tolist() == [255, 255, 255]
    assert np.array_equal(np.sort(np.concatenate(list(found.splits.values()))), np.arange(16))


def test_train_and_test_folders_are_kept_apart(tmp_path: Path) -> None:
    members = {f"test/{name}": picture(5, 4, (200, 0, 0)) for name in flat(3)}
    found = images(tmp_path, members | {f"train/{name}": content for name, content in flat(10).items()})
    assert found.classes == ("cat", "dog")
    given = np.concatenate([found.splits["validation"], found.splits["test"]])
    assert (found.inputs[given, 0, 2, 2] == 200).all()
    rest = np.concatenate([found.splits["train"], found.splits["calibration"]])
    assert (found.inputs[rest, 0, 2, 2] < 200).all()
    assert np.array_equal(found.labels, [0] * 10 + [1] * 10 + [0] * 3 + [1] * 3)


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    litter = {"__MACOSX/cat/._000.png": b"?", "cat/.DS_Store": b"?", "dog/": b"", "./cat/100.png": picture(5, 4)}
    assert len(images(tmp_path, litter | flat()).inputs) == 17


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "PPM", "WEBP", "PNG"])
def test_the_known_formats_are_read_by_content(tmp_path: Path, kind: str) -> None:
    found = images(tmp_path, flat(kind=kind))
    assert abs(int(found.inputs[15, 0, 3, 2]) - 107) < 60  # JPEG and WebP lose something


def test_sizes_and_grey_are_options(tmp_path: Path) -> None:
    members = flat() | {"dog/999.png": picture(50, 40, (60, 60, 60))}
    refused(
        tmp_path, members, r"'dog/999.png' is 50 x 40 pixels, the first image 5 x 4 .*: give the option .\"size\": \["
    )
    found = images(tmp_path, members, size=[6, 7], channels=1)
    assert found.inputs.shape == (17, 1, 6, 7)
    assert found.inputs[16, 0, 5, 5] == 60


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"cat/README.txt": b"hello"}, "'cat/README.txt' is no image; known endings are .jpg"),
        ({"cat/a.svg": b"<svg/>"}, "is no image"),
        ({"a.png": picture(5, 4)}, "'a.png': images must lie as class/image, or as train/class/image and"),
        ({"deep/er/cat/a.png": picture(5, 4)}, "images must lie as class/image"),
        ({"train/cat/a.png": picture(5, 4)}, "'train/cat/a.png': images must lie"),
        ({"train/a.png": picture(5, 4)}, "'train/a.png': images must lie"),
        ({"../cat/a.png": picture(5, 4)}, "'../cat/a.png' has a path that is not allowed"),
        ({"cat/../../a.png": picture(5, 4)}, "a path that is not allowed"),
        ({"/cat/a.png": picture(5, 4)}, "a path that is not allowed"),
        ({"cat\\a.png": picture(5, 4)}, "use relative paths with forward slashes"),
        ({"cat/" + "a" * 600 + ".png": picture(5, 4)}, "a path that is not allowed"),
        ({"cat/./000.png": picture(5, 4)}, "'cat/000.png' is in the zip twice"),
        ({"cat/a.png": b""}, "'cat/a.png' cannot be decoded .*: replace it or leave it out"),
        ({"cat/a.png": picture(5, 4)[:60]}, "cannot be decoded"),
        ({"cat/a.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"}, "cannot be decoded"),
    ],
)
def test_strange_members_are_refused_by_name(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    refused(tmp_path, flat() | members, message)


def test_layouts_that_lack_something_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, {}, "holds no images")
    refused(tmp_path, {".hidden": b"", "cat/": b""}, "holds no images")
    for only in ("train", "test"):
        refused(tmp_path, {f"{only}/{k}": v for k, v in flat().items()}, "both train/ and test/ must hold images")
    refused(tmp_path, {"cat/a.png": picture(5, 4)}, "split would be empty")


def test_no_decoder_that_starts_programs_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    postscript = io.BytesIO()
    Image.new("RGB", (4, 5)).save(postscript, "EPS")
    assert Image.open(io.BytesIO(postscript.getvalue())).format == "EPS"  # left to itself, Pillow takes it
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("was run"))
    refused(tmp_path, flat() | {"cat/a.png": postscript.getvalue()}, "'cat/a.png' cannot be decoded")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _bomb(width: int, height: int) -> bytes:
    """A few bytes of PNG that say they are this large."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")


@pytest.mark.parametrize(("side", "shown"), [(8_001, "8001 x 8001 pixels"), (50_000, "too many pixels")])
def test_pixel_bombs_are_refused_before_they_are_decoded(tmp_path: Path, side: int, shown: str) -> None:
    refused(tmp_path, {"a/a.png": _bomb(side, side), **flat()}, f"'a/a.png' has {shown}; the limit for one image is")


def test_pixels_are_summed_before_they_are_reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 40_000)
    monkeypatch.setattr(image_folders, "Spool", lambda *_, **__: pytest.fail("was reserved"))
    refused(
        tmp_path,
        flat(),
        r"16 images of 30 x 30 pixels take 43200 bytes; the limit is 40000: give a smaller .\"size\"",
        size=[30, 30],
    )


def test_a_huge_member_is_refused_by_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folders, "MAX_IMAGE_BYTES", 1000)
    refused(tmp_path, flat() | {"cat/big.png": picture(5, 4) + bytes(2000)}, "'cat/big.png' has 20.. bytes; the limit")


def test_sixteen_bits_are_not_silently_clipped(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((5, 4), 40_000, np.uint16)).save(file, "PNG")
    refused(tmp_path, flat() | {"cat/a.png": file.getvalue()}, "'cat/a.png' has more than 8 bits a channel")


def test_a_name_that_stands_twice_cannot_swap_images(tmp_path: Path) -> None:
    path = zipped(tmp_path / "images.zip", flat())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("cat/000.png", picture(5, 4, (99, 0, 0)))
    with pytest.raises(DatasetError, match="is in the zip twice"):
        prepare("images", path, {}, quiet)

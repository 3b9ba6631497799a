"""Zips of class folders with images: what lies where, and its pixels. Nothing is unpacked to disk.

Uploads are untrusted: members are only ever read by their entry in the archive, the decoders are a short list (others
start programs), and sizes are checked before anything is decoded or reserved.
"""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from app.search.errors import DatasetError, refused
from app.search.samples.spool import Array, Spool

Report = Callable[[float, str], None]
MAX_PIXELS = 64_000_000  # of one image
MAX_IMAGE_BYTES = 256 * 2**20  # of one image file
_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm")
_DECODERS = ("JPEG", "PNG", "BMP", "WEBP", "PPM")  # Pillow knows more, one of which runs Ghostscript
_MODES = {1: "L", 3: "RGB"}
GIVEN = ("train", "validation", "test")
SPLIT_OF: Mapping[str, str] = {  # what people call the sets
    **{name: name for name in GIVEN},
    **dict.fromkeys(("val", "valid", "dev"), "validation"),
}


@dataclass(frozen=True)
class Member:
    """One image of the archive and the path it claims, of which only the folder names are used."""

    info: zipfile.ZipInfo
    path: PurePosixPath

    @property
    def label(self) -> str:
        """The class: the name of the folder it lies in."""
        return self.path.parts[-2]

    @property
    def split(self) -> str:
        """The set it was given to, where the layout has them; else nothing."""
        return SPLIT_OF.get(self.path.parts[0], "") if len(self.path.parts) == 3 else ""

    def __str__(self) -> str:
        return repr(str(self.path)[:80])


@dataclass(frozen=True, kw_only=True)
class Look:
    """What every image is brought to: `size` (height, width), or as it comes; 3 channels (RGB) or 1 (grey)."""

    size: tuple[int, int] | None = None
    channels: int = 3


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How many bytes of pixels there may be, and the folder where they are kept."""

    max_bytes: int
    folder: Path | None = None


def find_images(members: Sequence[zipfile.ZipInfo]) -> list[Member]:
    """The images in layout `class/image`, or `train/class/image` and so on; train, validation, test, then by path.

    Raises:
        DatasetError: another layout, a path out of the archive, or a file that is no image.
    """
    found = sorted((m for m in map(_member, members) if m is not None), key=_place)
    if not found:
        raise refused("the zip holds no images")
    depth = 3 if found[0].split else 2
    for member in found:
        if len(member.path.parts) != depth or (member.path.parts[0] in SPLIT_OF) != (depth == 3):
            raise refused(f"{member}: images must lie as class/image, or as train/class/image and test/class/image")
    for before, after in pairwise(found):
        if before.path == after.path:
            raise refused(f"{after} is in the zip twice")
    if depth == 3 and (found[0].split != "train" or found[-1].split == "train"):
        raise refused("both train/ and test/ must hold images; to have them divided here, leave these two folders out")
    return found


def _place(member: Member) -> tuple[int, str]:
    return GIVEN.index(member.split) if member.split else -1, str(member.path)


def _member(info: zipfile.ZipInfo) -> Member | None:
    path = PurePosixPath(info.filename)
    shown = repr(info.filename[:80])
    if path.is_absolute() or ".." in path.parts or "\\" in info.filename or len(info.filename) > 500:
        raise refused(f"member {shown} has a path that is not allowed: use relative paths with forward slashes")
    if info.filename.endswith("/") or "__MACOSX" in path.parts[:1] or path.name.startswith("."):
        return None
    if path.suffix.lower() not in _ENDINGS:
        raise refused(f"member {shown} is no image; known endings are {', '.join(_ENDINGS)}")
    if info.file_size > MAX_IMAGE_BYTES:
        raise refused(f"member {shown} has {info.file_size} bytes; the limit for one image is {MAX_IMAGE_BYTES}")
    return Member(info, path)


def decode(archive: zipfile.ZipFile, members: Sequence[Member], look: Look, limit: Limit, report: Report) -> Spool:
    """The pixels of all members, uint8 `n x channels x h x w`.

    Raises:
        DatasetError: an image that cannot be decoded, images of different sizes, or more pixels than the limit.
    """
    first = _pixels(archive, members[0], look)
    if (total_bytes := len(members) * first.nbytes) > limit.max_bytes:
        raise refused(
            f"{len(members)} images of {_sides(first)} pixels take {total_bytes} bytes; the limit is "
            f'{limit.max_bytes}: give a smaller {{"size": [height, width]}} as option'
        )
    pixels = Spool(first.shape, np.uint8, limit.folder)
    for index, member in enumerate(members):
        image = _pixels(archive, member, look)
        if image.shape != first.shape:
            raise refused(
                f"{member} is {_sides(image)} pixels, the first image {_sides(first)} (height x width): "
                'give the option {"size": [height, width]}'
            )
        pixels.add(image[None])
        if index % 500 == 0:
            report(index / len(members), f"decoding images, {index} of {len(members)}")
    return pixels


def _pixels(archive: zipfile.ZipFile, member: Member, look: Look) -> Array:
    try:
        content = archive.read(member.info)
    except MemoryError:
        raise
    except Exception as error:  # as of a decoder
        raise _unreadable(str(member), error) from None
    return pixels_of(content, str(member), look)


def pixels_of(content: bytes, name: str, look: Look) -> Array:
    """The pixels of an encoded image, uint8 `channels x h x w`.

    Raises:
        DatasetError: it cannot be decoded, or is too large; `name` says which it is.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=_DECODERS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(name, f"{image.width} x {image.height}")
            if image.mode[0] in "IF":
                raise refused(f"{name} has more than 8 bits a channel: save it with 8")
            shown = image.convert(_MODES[look.channels])
            if look.size is not None and (shown.height, shown.width) != look.size:
                shown = shown.resize((look.size[1], look.size[0]), Image.Resampling.BILINEAR)
            pixels = np.asarray(shown, dtype=np.uint8)
    except (DatasetError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise _too_large(name, "too many") from None
    except Exception as error:  # a decoder may raise anything on hostile bytes
        raise _unreadable(name, error) from None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _unreadable(name: str, error: Exception) -> DatasetError:
    return refused(f"{name} cannot be decoded ({type(error).__name__}): replace it or leave it out")


def _too_large(name: str, pixels: str) -> DatasetError:
    return refused(f"{name} has {pixels} pixels; the limit for one image is {MAX_PIXELS}: make it smaller")


def _sides(image: Array) -> str:
    return f"{image.shape[1]} x {image.shape[2]}"

"""Zips of class folders with images."""

from pathlib import Path

import numpy as np

from app.search.samples import image_folders
from app.search.samples.dataset import Prepared
from app.search.sources import archive as archives
from app.search.sources.base import Report
from app.search.sources.options import Options


def read_images(upload: Path | None, options: Options, report: Report, folder: Path | None = None) -> Prepared:
    """A zip of `class/image`, or of `train/`, `validation/` and `test/` with such folders; uint8 `n x 3 x h x w`.

    Classes are numbered by their sorted names; with the option channels 1, pixels are grey: `n x 1 x h x w`.
    """
    with archives.opened(upload) as archive:
        members = image_folders.find_images(archive.infolist())
        classes = tuple(sorted({member.label for member in members}))
        limit = image_folders.Limit(max_bytes=archives.MAX_BYTES, folder=folder)
        inputs = image_folders.decode(archive, members, options.look, limit, report)
    number = {name: index for index, name in enumerate(classes)}
    counts = {split: sum(member.split == split for member in members) for split in image_folders.GIVEN}
    stated: dict[str, object] = {"normalisation": _looked(options.look)}
    if any(member.split for member in members):
        stated["given_splits"] = [split for split, count in counts.items() if count]
    return Prepared(
        inputs=inputs,
        labels=np.array([number[member.label] for member in members], dtype=np.int64),
        splits=options.shares.split_as_given(len(members), counts),
        classes=classes,
        source="image folders",
        stated=stated,
    )


def _looked(look: image_folders.Look) -> str:
    size = f"resized to {look.size[0]} x {look.size[1]} (bilinear)" if look.size else "as large as they came"
    colour = "RGB" if look.channels == 3 else "grey"
    return f"{size}, {colour}, 8 bits a channel; read as [0, 1], then task.mean and task.std"

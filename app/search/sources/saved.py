"""Hugging Face `datasets` as `save_to_disk` writes them: a zip of that folder, Arrow streams and JSON.

Only the files are read, with pyarrow (the extra `datasets`); no script of a dataset is ever run.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from app.search.errors import DatasetError, refused
from app.search.samples.dataset import Prepared
from app.search.samples.image_folders import SPLIT_OF, pixels_of
from app.search.samples.spool import Spool
from app.search.sources import archive as archives
from app.search.sources.base import Report
from app.search.sources.options import Column, Options
from app.search.sources.parts import Part, Row, divided, in_order, targets_of
from app.search.sources.sheets import LABELS, TEXTS
from app.search.sources.table import numbers_of
from app.search.sources.text import tokenizer_of
from app.search.sources.tokens import classified, modelled

_IMAGES = ("image", "img", "picture")


@dataclass(frozen=True, kw_only=True)
class Folder:
    """One saved split: its name, its files in order, and what is known of its columns."""

    name: str
    files: tuple[zipfile.ZipInfo, ...]
    features: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Picked:
    """The columns that are used: what goes in, of which kind, and what comes out; classes, if they are named."""

    kind: str  # text, image or numbers
    content: tuple[str, ...]
    label: str | None
    names: tuple[str, ...] = ()


def read_saved(upload: Path | None, options: Options, report: Report, folder: Path | None = None) -> Prepared:
    """A saved `Dataset` or `DatasetDict`; the options `text`, `image` or `numbers`, and `label`, name its columns."""
    with archives.opened(upload) as archive:
        folders = _folders(archive)
        picked = _picked(folders[0].features, options)
        picked = replace(picked, names=_names(folders[0], picked))
        parts = in_order([_part(archive, each, picked) for each in folders])
        prepared = _prepared(archive, parts, picked, options, report, folder)
    columns = {picked.kind: list(picked.content), "label": picked.label}
    return prepared.with_stated(columns=columns, saved_by="datasets")


def _prepared(
    archive: zipfile.ZipFile,
    parts: list[Part],
    picked: Picked,
    options: Options,
    report: Report,
    folder: Path | None,
) -> Prepared:
    if picked.kind == "text":
        tokenizer = tokenizer_of(archive, options)
        if options.task == "language_modelling":
            return modelled(parts, tokenizer, options, report, folder)
        return classified(parts, tokenizer, options, report, folder, picked.names)
    targets = targets_of(parts, options, picked.names)
    splits, stated = divided(options.shares, targets)
    inputs = numbers_of(parts, folder, report) if picked.kind == "numbers" else _images(parts, options, folder, report)
    return Prepared(
        inputs=inputs, labels=targets.labels, splits=splits, classes=targets.classes, source="datasets", stated=stated
    )


def _folders(archive: zipfile.ZipFile) -> list[Folder]:
    members = {path: info for info in archive.infolist() if (path := archives.checked_path(info)) is not None}
    states = [path for path in members if path.name == "state.json"]
    if not states:
        raise refused("the zip holds no state.json: zip the folder that `save_to_disk` of Hugging Face datasets writes")
    found = []
    for path in sorted(states):
        state = _json(archive, members[path])
        info = path.with_name("dataset_info.json")
        features = _json(archive, members[info]).get("features") if info in members else None
        listed = state.get("_data_files")
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        names = [PurePosixPath(str(entry.get("filename", ""))).name for entry in entries]
        files = [members.get(path.with_name(name)) for name in names if name]
        if not files or None in files:
            raise refused(f"{str(path)[:80]!r} names Arrow files that are not in the zip: zip the whole folder")
        kept = tuple(file for file in files if file is not None)
        found.append(Folder(name=path.parent.name, files=kept, features=_features(features)))
    return found


def _features(value: Any) -> dict[str, Any]:
    """Columns with printable names: they are stated, and shown."""
    found = value if isinstance(value, dict) else {}
    return {name: feature for name, feature in found.items() if name.isprintable()}


def _json(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> dict[str, Any]:
    try:
        document = json.loads(archive.read(info)) if info.file_size < 2**24 else None
    except (ValueError, RecursionError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError):
        document = None
    if not isinstance(document, dict):
        raise refused(f"{info.filename[:80]!r} is no JSON object: save the dataset again")
    return document


def _picked(features: Mapping[str, Any], options: Options) -> Picked:
    asked = options.columns
    label = _column(asked.label, features, LABELS)
    if asked.numbers is not None:
        return Picked(kind="numbers", content=tuple(_known(c, features) for c in asked.numbers), label=label)
    if asked.image is None and (text := _column(asked.text, features, TEXTS)) is not None:
        return Picked(kind="text", content=(text,), label=label)
    if (image := _column(asked.image, features, _IMAGES)) is not None:
        return Picked(kind="image", content=(image,), label=label)
    raise refused(
        f"the dataset has the columns {list(features)[:20]}: say what goes in with the option text, image or numbers, "
        "and what comes out with label"
    )


def _column(
    asked: Column | tuple[Column, ...] | None, features: Mapping[str, Any], usual: tuple[str, ...]
) -> str | None:
    if asked is None:
        return next((name for name in usual if name in features), None)
    if isinstance(asked, tuple):
        raise refused("option label is a list, but a saved dataset has one label: name one column")
    return _known(asked, features)


def _known(column: Column, features: Mapping[str, Any]) -> str:
    if column not in features:
        raise refused(f"the dataset has no column {str(column)[:80]!r}; it has {list(features)[:20]}")
    return str(column)


def _names(folder: Folder, picked: Picked) -> tuple[str, ...]:
    """The classes, where the dataset names them."""
    feature = folder.features.get(picked.label or "", {})
    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    return tuple(str(name)[:200] for name in names) if isinstance(names, list) else ()


def _part(archive: zipfile.ZipFile, folder: Folder, picked: Picked) -> Part:
    name = folder.name[:80] or "the dataset"
    wanted = [*picked.content, *([picked.label] if picked.label else [])]

    def rows() -> Iterator[Row]:
        number = 0
        for file in folder.files:
            for columns in _batches(archive, file, wanted):
                for values in zip(*(columns[column] for column in wanted), strict=True):
                    number += 1
                    content = values[: len(picked.content)]
                    label = values[-1] if picked.label else None
                    yield Row(number, _content(content, picked, name, number), label)

    return Part(name=name, split=SPLIT_OF.get(folder.name.lower(), ""), rows=rows)


def _content(values: tuple[Any, ...], picked: Picked, name: str, number: int) -> Any:
    if picked.kind == "numbers":
        return [item for value in values for item in (value if isinstance(value, list) else [value])]
    (value,) = values
    if picked.kind == "image":
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise refused(f"{name} row {number} holds no image of its own: save the dataset with its images embedded")
        return content
    if not isinstance(value, str) or not value.strip():
        raise refused(f"{name} row {number} has an empty text: leave the row out")
    return value


def _batches(archive: zipfile.ZipFile, file: zipfile.ZipInfo, wanted: list[str]) -> Iterator[dict[str, list[Any]]]:
    try:
        from pyarrow import ipc  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise refused(
            "saved datasets need pyarrow, which is not installed here: pip install 'espalier[datasets]' where the "
            "worker runs, or give the data in another form"
        ) from None
    try:
        with archive.open(file) as raw, ipc.open_stream(raw) as stream:
            for batch in stream:
                batch.validate(full=True)
                yield {name: batch.column(name).to_pylist() for name in wanted}
    except (DatasetError, MemoryError):
        raise
    except Exception as error:  # an Arrow reader may raise anything on hostile bytes
        raise refused(
            f"{file.filename[:80]!r} cannot be read ({type(error).__name__}): save the dataset again"
        ) from None


def _images(parts: list[Part], options: Options, folder: Path | None, report: Report) -> Spool:
    spool: Spool | None = None
    for part in parts:
        report(0.5, f"decoding {part.name}")
        for row in part.rows():
            image = pixels_of(row.content, f"{part.name} row {row.where}", options.look)
            spool = spool or Spool(image.shape, np.uint8, folder)
            if image.shape != spool.shape[1:]:
                raise refused(
                    f"{part.name} row {row.where} is {image.shape[1]} x {image.shape[2]} pixels, the first image "
                    f'{spool.shape[2]} x {spool.shape[3]}: give the option {{"size": [height, width]}}'
                )
            spool.add(image[None])
    if spool is None:
        raise refused("there are no rows")
    return spool

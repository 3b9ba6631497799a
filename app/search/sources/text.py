"""Texts: CSV and TSV files with a label column, or plain text for language modelling; tokenized to a fixed length."""

import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from app.search.errors import refused
from app.search.samples.dataset import Prepared
from app.search.sources import archive as archives
from app.search.sources.base import Report
from app.search.sources.options import Options
from app.search.sources.parts import Part, Row, in_order
from app.search.sources.sheets import LABELS, TEXTS, File, Layout, files_of, layout_of, longer_column
from app.search.sources.tokens import classified, modelled
from app.search.tokenizing.wordpiece import WordPiece, from_json, from_vocabulary

_MOST_TOKENIZER_BYTES = 64 * 2**20


def read_text(upload: Path | None, options: Options, report: Report, folder: Path | None = None) -> Prepared:
    """Tokens `n x length` and their mask, with a class or a number a text, or with the token that comes next.

    A zip holds one file, or one each named train, validation (or dev) and test, and may hold the tokenizer's files as
    `transformers` saves them.
    """
    assert upload is not None
    with archives.opened(upload) if archives.is_zip(upload) else nullcontext() as archive:
        tokenizer = tokenizer_of(archive, options)
        files = files_of(upload, archive)
        if options.task == "language_modelling":
            parts = in_order([_documents(file, options) for file in files])
            return modelled(parts, tokenizer, options, report, folder)
        layouts = [_layout(file, options) for file in files]
        parts = in_order([_part(file, *found, options) for file, found in zip(files, layouts, strict=True)])
        prepared = classified(parts, tokenizer, options, report, folder)
    layout, content, label = layouts[0]
    named = {what: layout.names[n] if layout.header else n for what, n in (("text", content), ("label", label))}
    return prepared.with_stated(columns=named)


def tokenizer_of(archive: zipfile.ZipFile | None, options: Options) -> WordPiece | None:
    """The tokenizer whose files are in the upload; None for words.

    Raises:
        DatasetError: WordPiece was asked for and its files are missing, or they are another tokenizer's.
    """
    if options.tokens.tokenizer == "words":
        return None
    members = archive.infolist() if archive is not None else []
    found = {path.name: info for info in members if (path := archives.checked_path(info)) is not None}
    if archive is not None and "tokenizer.json" in found:
        return from_json(_read(archive, found["tokenizer.json"]))
    if archive is not None and "vocab.txt" in found:
        return from_vocabulary(_read(archive, found["vocab.txt"]), lowercase=options.tokens.lowercase)
    if options.tokens.tokenizer == "wordpiece":
        raise refused(
            "wordpiece needs the tokenizer's files: put tokenizer.json or vocab.txt into a zip with the texts"
        )
    return None


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    if info.file_size > _MOST_TOKENIZER_BYTES:
        raise refused(f"{info.filename[:80]!r} has {info.file_size} bytes; the limit is {_MOST_TOKENIZER_BYTES}")
    try:
        return archive.read(info).decode("utf-8")
    except (UnicodeDecodeError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise refused(f"{info.filename[:80]!r} cannot be read ({type(error).__name__}): save it as UTF-8") from None


def _layout(file: File, options: Options) -> tuple[Layout, int, int]:
    """The layout of a file, and its columns of texts and labels."""
    layout = layout_of(file, options)
    asked = options.columns
    if isinstance(asked.label, tuple):
        raise refused("option label is a list, but texts have one label: name one column")
    content = layout.usual(TEXTS) if asked.text is None else layout.find(asked.text, file.name)
    label = layout.usual(LABELS) if asked.label is None else layout.find(asked.label, file.name)
    if len(layout.names) == 2:
        if content is None:
            content = 1 - label if label is not None else longer_column(file, options)
        label = 1 - content if label is None else label
    if content is None or label is None or content == label:
        held = list(layout.names[:20]) if layout.header else f"{len(layout.names)} columns without names"
        raise refused(
            f'{file.name} has {held}: say which hold texts and labels with the options {{"text": ..., "label": ...}}'
        )
    return layout, content, label


def _part(file: File, layout: Layout, content: int, label: int, options: Options) -> Part:
    def rows() -> Iterator[Row]:
        for line, cells in file.samples(options.sheet, header=layout.header):
            if not cells[content].strip():
                raise refused(f"{file.name} line {line} has an empty text: leave the row out")
            yield Row(line, cells[content], cells[label])

    return Part(name=file.name, split=file.split, rows=rows)


def _documents(file: File, options: Options) -> Part:
    """A file's texts for language modelling: its lines, or a column where one is named."""
    column: Any = options.columns.text
    layout = layout_of(file, options) if column is not None else None

    def rows() -> Iterator[Row]:
        if layout is None:
            lines = enumerate(file.lines(), start=1)
            yield from (Row(number, line, None) for number, line in lines if line.strip())
            return
        place = layout.find(column, file.name)
        for line, cells in file.samples(options.sheet, header=layout.header):
            yield Row(line, cells[place], None)

    return Part(name=file.name, split=file.split, rows=rows)

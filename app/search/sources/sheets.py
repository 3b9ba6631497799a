"""CSV and TSV files, by themselves or in a zip, one a split: which columns hold what, row by row, never whole."""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal

from app.search.errors import refused
from app.search.samples.image_folders import SPLIT_OF
from app.search.sources import archive as archives
from app.search.sources.options import Column, Options, Sheet

TEXTS = ("text", "sentence", "review", "content", "document", "comment")  # columns that are usually the text
LABELS = ("label", "labels", "target", "class", "category", "sentiment", "y")
_ENDINGS = (".tsv", ".csv", ".txt")
_LOOKED_AT = 200  # rows, to see which of two nameless columns is the text


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of rows: its name for people, its split or nothing, and how it is opened."""

    name: str
    split: str
    open: Callable[[], IO[bytes]]

    def lines(self) -> Iterator[str]:
        """Its lines without their ends.

        Raises:
            DatasetError: it is no UTF-8 text.
        """
        with _readable(self.name), self.open() as raw, io.TextIOWrapper(raw, "utf-8-sig", newline=None) as text:
            for line in text:
                yield line.removesuffix("\n")

    def cells(self, sheet: Sheet) -> Iterator[tuple[int, list[str]]]:
        """Its rows that are not empty, each with the number of its line, from 1.

        Raises:
            DatasetError: it cannot be decoded or taken apart, or a row has another number of cells than the first.
        """
        first = next(filter(None, self.lines()), "")
        delimiter = sheet.delimiter or next((sign for sign in "\t,;" if sign in first), ",")
        quoted = delimiter != "\t" if sheet.quoted is None else sheet.quoted
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        width = 0
        with _readable(self.name), self.open() as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as text:
            rows = csv.reader(text, delimiter=delimiter, quoting=quoting, strict=True)
            for cells in rows:
                if not cells:
                    continue
                width = width or len(cells)
                if len(cells) != width:
                    raise refused(
                        f"{self.name} line {rows.line_num} has {len(cells)} cells, the first has {width}: quote cells "
                        f'that hold {delimiter!r}, or say how it is written with the options "delimiter" and "quoted"'
                    )
                yield rows.line_num, cells

    def samples(self, sheet: Sheet, *, header: bool) -> Iterator[tuple[int, list[str]]]:
        """Its rows as `cells` gives them, without the header's."""
        return islice(self.cells(sheet), int(header), None)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise refused(f"{name} is no UTF-8 text ({error.reason} near byte {error.start}): save it as UTF-8") from None
    except (csv.Error, zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise refused(f"{name} cannot be read: {str(error)[:120] or type(error).__name__}") from None


def files_of(upload: Path, archive: zipfile.ZipFile | None) -> list[File]:
    """The files of rows: the upload itself, or those of the archive, by their names.

    Raises:
        DatasetError: there are none, or a path leads out of the archive.
    """
    if archive is None:
        return [File(name="the file", split="", open=lambda: upload.open("rb"))]
    found = []
    for info in archive.infolist():
        path = archives.checked_path(info)
        if path is None or path.suffix.lower() not in _ENDINGS or path.name == "vocab.txt":
            continue
        opener = _opener(archive, info)
        found.append(File(name=path.name[:80], split=SPLIT_OF.get(path.stem.lower(), ""), open=opener))
    if not found:
        raise refused(f"the zip holds no file that ends in {', '.join(_ENDINGS)}")
    return found


def _opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(info)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where things stand in a file: whether its first row is a header, and the numbers of columns."""

    header: bool
    names: tuple[str, ...]

    def find(self, column: Column, file: str) -> int:
        """The number of a column.

        Raises:
            DatasetError: there is no such column; the message lists those that are there.
        """
        if isinstance(column, int):
            if column >= len(self.names):
                raise refused(f"{file} has no column {column}: it has {len(self.names)}, counted from 0")
            return column
        if not self.header or column not in self.names:
            held = list(self.names[:20]) if self.header else f"no header, and {len(self.names)} columns"
            raise refused(f"{file} has no column {column!r}; it has {held}")
        return self.names.index(column)

    def usual(self, words: Sequence[str]) -> int | None:
        """The first column with one of these names."""
        lowered = [name.strip().lower() for name in self.names] if self.header else []
        return next((lowered.index(word) for word in words if word in lowered), None)


def layout_of(file: File, options: Options) -> Layout:
    """Look at a file's first row.

    Raises:
        DatasetError: it has none.
    """
    _, first = next(file.cells(options.sheet), (0, None))
    if first is None:
        raise refused(f"{file.name} holds no rows")
    header = options.sheet.header
    if header is None:
        asked = options.columns
        label = asked.label if isinstance(asked.label, tuple) else (asked.label,)
        named = any(isinstance(column, str) for column in (asked.text, *label, *(asked.numbers or ())))
        usual = {cell.strip().lower() for cell in first} & {*TEXTS, *LABELS}
        header = named or bool(usual)
    return Layout(header=header, names=tuple(first))


def longer_column(file: File, options: Options) -> int:
    """Which of two columns without names holds the longer texts."""
    rows = [cells for _, cells in islice(file.cells(options.sheet), _LOOKED_AT)]
    lengths = [sum(len(cells[column]) for cells in rows) for column in (0, 1)]
    return int(lengths[1] >= lengths[0])

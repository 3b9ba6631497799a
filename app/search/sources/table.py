"""Tables of numbers as CSV or TSV: some columns go in, one comes out as a class, or one or several as numbers."""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.search.errors import refused
from app.search.samples.dataset import Prepared
from app.search.samples.spool import Spool
from app.search.sources import archive as archives
from app.search.sources.base import Report
from app.search.sources.options import Column, Options
from app.search.sources.parts import Part, Row, divided, in_order, number, targets_of
from app.search.sources.sheets import LABELS, File, Layout, files_of, layout_of

_MANY = 4096  # rows written at a time


def read_table(upload: Path | None, options: Options, report: Report, folder: Path | None = None) -> Prepared:
    """Numbers `n x columns`, float32, as given: `numbers` names the columns, else all but `label` are taken."""
    assert upload is not None
    with archives.opened(upload) if archives.is_zip(upload) else nullcontext() as archive:
        files = files_of(upload, archive)
        layouts = [layout_of(file, options) for file in files]
        parts = in_order([_part(file, lay, options) for file, lay in zip(files, layouts, strict=True)])
        report(0.1, "reading targets")
        targets = targets_of(parts, options)
        inputs = numbers_of(parts, folder, report)
    splits, stated = divided(options.shares, targets)
    label, columns = _columns(files[0], layouts[0], options)
    names = [layouts[0].names[column] if layouts[0].header else column for column in (*columns, *label)]
    stated |= {"columns": {"numbers": names[: len(columns)], "label": names[len(columns) :]}}
    stated |= {"normalisation": "as given, then task.mean and task.std"}
    return Prepared(
        inputs=inputs, labels=targets.labels, splits=splits, classes=targets.classes, source="table", stated=stated
    )


def numbers_of(parts: list[Part], folder: Path | None, report: Report) -> Spool:
    """The rows' numbers, float32.

    Raises:
        DatasetError: a cell is no finite number; the message names its row.
    """
    spool: Spool | None = None
    rows: list[list[float]] = []
    for part in parts:
        report(0.5, f"reading {part.name}")
        for row in part.rows():
            rows.append([number(value, part, row.where, "value") for value in row.content])
            spool = spool or Spool((len(rows[0]),), np.float32, folder)
            if len(rows[-1]) != spool.shape[1]:
                raise refused(
                    f"{part.name} row {row.where} has {len(rows[-1])} numbers, the first has {spool.shape[1]}"
                )
            if len(rows) == _MANY:
                spool.add(np.array(rows, dtype=np.float32))
                rows.clear()
    if spool is None:
        raise refused("there are no rows")
    if rows:
        spool.add(np.array(rows, dtype=np.float32))
    return spool


def _part(file: File, layout: Layout, options: Options) -> Part:
    label, columns = _columns(file, layout, options)

    def rows() -> Iterator[Row]:
        for line, cells in file.samples(options.sheet, header=layout.header):
            target: Any = cells[label[0]] if len(label) == 1 else [cells[column] for column in label]
            yield Row(line, [cells[column] for column in columns], target)

    return Part(name=file.name, split=file.split, rows=rows)


def _columns(file: File, layout: Layout, options: Options) -> tuple[list[int], list[int]]:
    """The columns that come out, and those that go in."""
    find = partial(layout.find, file=file.name)
    asked = options.columns.label
    if asked is None:
        usual = layout.usual(LABELS)
        label = [len(layout.names) - 1 if usual is None else usual]
    else:
        several: tuple[Column, ...] = asked if isinstance(asked, tuple) else (asked,)
        label = [find(column) for column in several]
    if len(label) > 1 and options.task != "regression":
        raise refused('several label columns are numbers to predict: give the option {"task": "regression"}')
    if options.columns.numbers is not None:
        return label, [find(column) for column in options.columns.numbers]
    columns = [column for column in range(len(layout.names)) if column not in label]
    if not columns:
        raise refused(f"{file.name} has no column beside {layout.names[label[0]]!r}: give inputs as well")
    return label, columns

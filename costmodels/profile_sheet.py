"""The table of the spreadsheet form: its lines as rows and descriptions of layers, every mistake with its line."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from costmodels.profile import ProfileLayer, ProfileRow
from costmodels.profile_cells import bare, number, read_cell, read_pattern
from costmodels.profile_checks import missing_dense
from costmodels.profile_columns import (
    LAYER_COLUMNS,
    LAYER_FIELDS,
    ROW_COLUMNS,
    SCALES,
    SPARSE_COLUMNS,
    UNITS,
    column_problems,
)
from costmodels.profile_part_checks import layer_problems, row_problems

Line = tuple[int, list[str]]  # its number in the file, and its cells
_PLAIN = [column for column in ROW_COLUMNS if column not in SCALES and column not in ("layer", "pattern")]


@dataclass(kw_only=True)
class Sheet:
    """What a table said so far."""

    rows: list[ProfileRow] = field(default_factory=list)
    layers: dict[str, ProfileLayer] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unit: str = "ms"  # of the latencies as they were written
    seen: dict[Any, int] = field(default_factory=dict)  # the line of each row's key and each described layer


def read_sheet(table: Sequence[Line]) -> Sheet:
    """Read a header line and the lines under it."""
    sheet = Sheet()
    if not table:
        sheet.problems.append("there is no header line; it must name at least layer and latency_ms")
        return sheet
    first, cells = table[0]
    columns = [cell.strip() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    sheet.problems += [f"line {first}: {problem}" for problem in column_problems(columns)]
    if sheet.problems:
        return sheet
    sheet.unit = next(unit for unit in UNITS if f"latency_{unit}" in columns)
    for line, cells in table[1:]:
        wrong = list(_read_line(sheet, line, dict(zip(columns, map(bare, cells), strict=False))))
        if any(cell.strip() for cell in cells[len(columns) :]):
            wrong.append(f"has more cells than the {len(columns)} columns of the header")
        sheet.problems += [f"line {line}: {problem}" for problem in wrong]
    sheet.problems += missing_dense(sheet.rows)
    return sheet


def _read_line(sheet: Sheet, line: int, cells: Mapping[str, str]) -> Iterator[str]:
    described = any(cells.get(column) for column in LAYER_COLUMNS)
    if described:
        yield from _read_layer(sheet, line, cells)
    timed = any(cells.get(column) for column in (*SCALES, *SPARSE_COLUMNS, *_PLAIN, "pattern"))
    if timed or not described:
        yield from _read_row(sheet, line, cells)


def _read_row(sheet: Sheet, line: int, cells: Mapping[str, str]) -> Iterator[str]:
    wrong: list[str] = []
    found: dict[str, Any] = {"latency_ms": math.nan}
    for column, scale in SCALES.items():
        if cells.get(column):
            value = number(column, cells[column], wrong)
            found[f"{column.rpartition('_')[0]}_ms"] = value if scale == 1.0 else value * scale
    found |= {
        column: read_cell(ROW_COLUMNS[column], column, cells[column], wrong) for column in _PLAIN if cells.get(column)
    }
    row = ProfileRow(layer=cells.get("layer", ""), pattern=read_pattern(cells, wrong), **found)
    if not cells.get(f"latency_{sheet.unit}"):
        wrong.append(f"latency_{sheet.unit} is empty")
    yield from wrong or row_problems(row)
    if sheet.seen.setdefault(row.key, line) != line:
        yield f"repeats line {sheet.seen[row.key]} ({row.layer!r}, {row.pattern}, same channels)"
    sheet.rows.append(row)


def _read_layer(sheet: Sheet, line: int, cells: Mapping[str, str]) -> Iterator[str]:
    wrong: list[str] = []
    found = {
        LAYER_FIELDS[column]: read_cell(kind, column, cells[column], wrong)
        for column, kind in LAYER_COLUMNS.items()
        if cells.get(column)
    }
    if wrong:
        yield from wrong
        return
    layer = ProfileLayer(name=cells.get("layer", ""), **found)
    yield from layer_problems(layer)
    if sheet.layers.setdefault(layer.name, layer) != layer:
        yield f"describes layer {layer.name!r} otherwise than line {sheet.seen[layer.name]}"
    sheet.seen.setdefault(layer.name, line)

"""The spreadsheet form of a profile.

Lines that start with `#` come first and hold `# key: value`; then a header line; then one row a line. Latency
columns carry their unit in the name (`latency_ms`, `latency_us`, `latency_s`); all is kept in milliseconds. A
cell that a spreadsheet would take for a formula is written with a leading apostrophe, taken off when read.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from costmodels.errors import ProfileError
from costmodels.profile import (
    HEADER_FIELDS,
    MAX_ROWS,
    NUMBERS,
    Profile,
    ProfileRow,
    missing_dense,
    refuse,
    row_problems,
)
from pruning.errors import PatternError
from pruning.patterns import parse

_UNITS = {"ms": 1.0, "us": 1e-3, "s": 1e3}
_SCALES = {f"{base}_{unit}": scale for base in ("latency", "latency_std") for unit, scale in _UNITS.items()}
_PLAIN = ("layer", "pattern", "sparsity", "density", "in_channels", "out_channels", "note")
_WRITTEN = ("layer", "pattern", "in_channels", "out_channels", "latency_ms", "latency_std_ms")
_FORMULA = ("=", "+", "-", "@")
Key = tuple[str, str, int | None, int | None]


def write_csv(profile: Profile) -> str:
    """The spreadsheet of a profile; fields at their default are left out."""
    out = io.StringIO()
    sheet = csv.writer(out, lineterminator="\n")
    for key in HEADER_FIELDS:
        value = getattr(profile, key)
        if value not in (None, ""):
            sheet.writerow([f"# {key}: {value}"])
    sheet.writerow(_WRITTEN)
    for row in profile.rows:
        cells = [getattr(row, column) for column in _WRITTEN]
        sheet.writerow(["" if cell is None else _armour(cell) for cell in cells])
    return out.getvalue()


def read_csv(text: str, header: Mapping[str, Any]) -> Profile:
    """Build a profile from a spreadsheet.

    Raises:
        ProfileError: with every problem and its line number.
    """
    lines = list(_lines(text))
    problems: list[str] = []
    stated, table = _split(lines, problems)
    fields = {**header, **stated}
    problems += [f"{key} is missing: add a line '# {key}: ...'" for key in _missing(fields)]
    rows = _rows(table, problems) if table or "accelerator" not in fields else []
    refuse(str(fields.get("name", "")), problems)
    return Profile(**fields, rows=tuple(rows))


def _missing(fields: Mapping[str, Any]) -> list[str]:
    return [key for key in ("name", "device", "batch", "precision", "source") if key not in fields]


def _armour(cell: object) -> str:
    text = repr(cell) if isinstance(cell, float) else str(cell)
    return f"'{text}" if text.startswith((*_FORMULA, "'", "#")) else text


def _bare(cell: str) -> str:
    cell = cell.strip()
    return cell[1:] if cell.startswith("'") and cell[1:2] in (*_FORMULA, "'", "#") else cell


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    text = text.removeprefix("\ufeff")
    first = next((line for line in text.splitlines() if line.strip() and line.lstrip(' "')[:1] != "#"), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
            if reader.line_num > MAX_ROWS + 100:
                raise ProfileError(f"the file has more than {MAX_ROWS} rows")
    except csv.Error as error:
        raise ProfileError(f"line {reader.line_num}: not a CSV line: {error}") from error


def _split(
    lines: Sequence[tuple[int, list[str]]], problems: list[str]
) -> tuple[dict[str, Any], Sequence[tuple[int, list[str]]]]:
    stated: dict[str, Any] = {}
    for index, (number, cells) in enumerate(lines):
        if not cells[0].lstrip().startswith("#"):
            return stated, lines[index:]
        while cells and not cells[-1].strip():  # a spreadsheet pads short lines with empty cells
            cells = cells[:-1]
        key, colon, value = ",".join(cells).lstrip()[1:].partition(":")
        key, value = key.strip(), value.strip()
        if colon and key in HEADER_FIELDS and key in stated:
            problems.append(f"line {number}: {key} stands twice")
        elif colon and key in HEADER_FIELDS:
            stated[key] = _header_value(number, key, value, problems)
        else:
            known = ", ".join(HEADER_FIELDS)
            problems.append(f"line {number}: '# {key[:40]}' is not known; known are {known}")
    return stated, ()


def _header_value(number: int, key: str, value: str, problems: list[str]) -> Any:
    if key not in (*NUMBERS, "batch"):
        return value
    try:
        return int(value) if key == "batch" else float(value)
    except ValueError:
        kind = "whole number" if key == "batch" else "number"
        problems.append(f"line {number}: {key} {value[:40]!r} is not a {kind}")
        return 1


def _rows(table: Sequence[tuple[int, list[str]]], problems: list[str]) -> list[ProfileRow]:
    if not table:
        problems.append("there is no header line; it must name at least layer and latency_ms")
        return []
    number, cells = table[0]
    columns = [cell.strip() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    found = [f"line {number}: {problem}" for problem in _column_problems(columns)]
    problems += found
    if found:
        return []
    rows: list[ProfileRow] = []
    seen: dict[Key, int] = {}
    for line, line_cells in table[1:]:
        row, wrong = _row(dict(zip(columns, (_bare(c) for c in line_cells), strict=False)))
        if any(cell.strip() for cell in line_cells[len(columns) :]):
            wrong.append(f"has more cells than the {len(columns)} columns of the header")
        if not wrong:
            wrong += row_problems(row)
        if row.key in seen:
            wrong.append(f"repeats line {seen[row.key]} ({row.layer!r}, {row.pattern}, same channels)")
        seen.setdefault(row.key, line)
        rows.append(row)
        problems += [f"line {line}: {problem}" for problem in wrong]
    problems += missing_dense(rows)
    return rows


def _column_problems(columns: Sequence[str]) -> Iterator[str]:
    for column in dict.fromkeys(columns):
        if columns.count(column) > 1:
            yield f"column {column[:40]!r} stands twice"
        if column not in _PLAIN and column not in _SCALES:
            time_like = any(word in column.lower() for word in ("latency", "time", "duration", "runtime"))
            unit = "say the unit: latency_ms, latency_us or latency_s"
            hint = unit if time_like else f"known are {', '.join(_PLAIN)}"
            yield f"column {column[:40]!r} is not known; {hint}"
    if "layer" not in columns:
        yield "column 'layer' is missing"
    for base in ("latency", "latency_std"):
        units = [f"{base}_{unit}" for unit in _UNITS if f"{base}_{unit}" in columns]
        if len(units) > 1:
            yield f"columns {' and '.join(units)} say the same thing: keep one"
        if base == "latency" and not units:
            yield "a latency column is missing: latency_ms, latency_us or latency_s"


def _row(cells: Mapping[str, str]) -> tuple[ProfileRow, list[str]]:
    wrong: list[str] = []
    times = {"latency_ms": math.nan}
    for column, scale in _SCALES.items():
        if cells.get(column):
            value = _number(column, cells[column], wrong)
            times[f"{column.rpartition('_')[0]}_ms"] = value if scale == 1.0 else value * scale
    if not any(cells.get(f"latency_{unit}") for unit in _UNITS):
        wrong.append("latency is empty")
    row = ProfileRow(
        layer=cells.get("layer", ""),
        pattern=_pattern(cells, wrong),
        in_channels=_whole("in_channels", cells, wrong),
        out_channels=_whole("out_channels", cells, wrong),
        latency_ms=times["latency_ms"],
        latency_std_ms=times.get("latency_std_ms"),
    )
    return row, wrong


def _pattern(cells: Mapping[str, str], wrong: list[str]) -> str:
    text = cells.get("pattern") or "dense"
    density: float | None = None
    for column in ("sparsity", "density"):
        if cells.get(column):
            value = _number(column, cells[column], wrong)
            if not 0.0 <= value <= 1.0:
                text_now = cells[column][:20]
                wrong.append(f"{column} {text_now!r} is outside 0 ... 1: a share, not a percentage")
                return text
            density = value if column == "density" else 1.0 - value
    if text == "unstructured" and density is not None:
        text = f"unstructured@{1.0 - density:g}"
    try:
        pattern = parse(text)
    except PatternError as error:
        wrong.append(str(error))
        return text
    if density is not None and abs(pattern.density - density) > 1e-6:
        wrong.append(f"pattern {text} keeps {pattern.density:g} of the weights but the row says {density:g}")
    return str(pattern)


def _number(column: str, text: str, wrong: list[str]) -> float:
    try:
        return float(text)
    except ValueError:
        hint = " (use a point, not a comma)" if "," in text else ""
        wrong.append(f"{column} {text[:40]!r} is not a number{hint}")
        return math.nan


def _whole(column: str, cells: Mapping[str, str], wrong: list[str]) -> int | None:
    text = cells.get(column)
    try:
        return int(text) if text else None
    except ValueError:
        wrong.append(f"{column} {str(text)[:40]!r} is not a whole number")
        return None

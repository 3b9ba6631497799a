"""The spreadsheet form of a profile: what a person can write by hand, and what `write_csv` writes of any profile.

Lines that start with `#` come first. They hold `# key: value` for the header, and `# file:`, `# capability:` and
`# group:` with one JSON object each. Then a header line, then one row a line. Times carry their unit in the column's
name; all is kept in milliseconds. What is known of a layer stands in further columns of its first line; a line with an
empty latency describes a layer that has no time of its own here. Columns that would be empty are left out, so that
`layer,latency_ms` is a whole sheet.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from costmodels.errors import ProfileError, refuse
from costmodels.profile import HEADER_FIELDS, MAX_ROWS, Profile, ProfileLayer
from costmodels.profile_cells import armour, read_cell, write_cell
from costmodels.profile_checks import MAX_PARTS
from costmodels.profile_columns import LAYER_COLUMNS, LAYER_FIELDS, ROW_COLUMNS
from costmodels.profile_fields import KINDS, PART_KINDS, PART_WORDS, missing, read_fields, read_part, shown, stated
from costmodels.profile_sheet import Line, read_sheet

_PARTS = {PART_WORDS[key]: key for key in ("files", "capabilities", "groups")}
_MAX_HEAD = 4 * MAX_PARTS  # lines before the table
_MAX_LINES = 2 * MAX_ROWS + _MAX_HEAD  # rows, layers without rows, and what comes before them


def write_csv(profile: Profile) -> str:
    """The spreadsheet of a profile; fields at their default are left out."""
    out = io.StringIO()
    sheet = csv.writer(out, lineterminator="\n")
    header = stated(profile)
    sheet.writerows([f"# {key}: {header[key]}"] for key in HEADER_FIELDS if key in header)
    for word, key in _PARTS.items():
        parts = (json.dumps(stated(part), ensure_ascii=False) for part in getattr(profile, key))
        sheet.writerows([f"# {word}: {document}"] for document in parts)
    lines = list(_lines_of(profile))
    filled = {column for line in lines for column, cell in line.items() if cell}
    if all(line.get("pattern", "dense") == "dense" for line in lines):
        filled.discard("pattern")
    columns = [column for column in (*ROW_COLUMNS, *LAYER_COLUMNS) if column in filled | {"layer", "latency_ms"}]
    if lines:
        sheet.writerow(columns)
    sheet.writerows([armour(line.get(column, "")) for column in columns] for line in lines)
    return out.getvalue()


def read_csv(text: str, header: Mapping[str, Any]) -> Profile:
    """Build a profile from a spreadsheet.

    Raises:
        ProfileError: with every problem and its line number.
    """
    problems: list[str] = []
    head, table = _split(list(_read_lines(text)))
    found, parts = _read_head(head, problems)
    fields: dict[str, Any] = {**read_fields(Profile, header, problems), **found}
    problems += [f"{key} is missing: add a line '# {key}: ...'" for key in missing(Profile, fields)]
    if table or "accelerator" not in fields:
        sheet = read_sheet(table)
        problems += sheet.problems
        parts |= {"rows": sheet.rows, "layers": list(sheet.layers.values())}
        if sheet.unit != "ms":
            fields.setdefault("original_unit", sheet.unit)
    refuse(f"profile {shown(fields.get('name', ''))}", problems)
    fields |= {key: tuple(values) for key, values in parts.items()}
    return Profile(**fields)


def _lines_of(profile: Profile) -> Iterator[dict[str, str]]:
    """The table's lines by column: rows and descriptions of layers, so merged that both keep their order."""
    place = {layer.name: index for index, layer in enumerate(profile.layers)}
    written = 0
    for row in profile.rows:
        here = place.get(row.layer, -1)
        description = {}
        if here >= written:
            yield from map(_description, profile.layers[written:here])
            description = _description(profile.layers[here])
            written = here + 1
        cells = {column: write_cell(kind, getattr(row, column)) for column, kind in ROW_COLUMNS.items()}
        yield description | cells
    yield from map(_description, profile.layers[written:])


def _description(layer: ProfileLayer) -> dict[str, str]:
    """The cells of a layer; `role` is always written, and so says that the layer is described."""
    cells = {"layer": layer.name, "role": layer.role}
    for column, field in LAYER_FIELDS.items():
        value = getattr(layer, field)
        if value != KINDS[ProfileLayer][field].default:
            cells[column] = write_cell(LAYER_COLUMNS[column], value)
    return cells


def _read_lines(text: str) -> Iterator[Line]:
    text = text.removeprefix("\ufeff")
    first = next((line for line in io.StringIO(text) if line.strip() and line.lstrip(' "')[:1] != "#"), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
            if reader.line_num > _MAX_LINES:
                raise ProfileError(f"the file has more than {_MAX_LINES} lines")
    except csv.Error as error:
        raise ProfileError(f"line {reader.line_num}: not a CSV line: {error}") from error


def _split(lines: Sequence[Line]) -> tuple[list[tuple[int, str]], Sequence[Line]]:
    """The `#` lines, each as one text, and the table after them."""
    head: list[tuple[int, str]] = []
    for index, (number, cells) in enumerate(lines):
        if not cells[0].lstrip().startswith("#"):
            return head, lines[index:]
        while not cells[-1].strip():  # a spreadsheet pads short lines with empty cells
            cells.pop()
        head.append((number, ",".join(cells).lstrip()[1:]))
        if len(head) > _MAX_HEAD:
            raise ProfileError(f"more than {_MAX_HEAD} lines begin with '#'")
    return head, ()


def _read_head(head: Sequence[tuple[int, str]], problems: list[str]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    found: dict[str, Any] = {}
    parts: dict[str, list[Any]] = {}
    known = KINDS[Profile]
    for number, text in head:
        key, colon, value = (part.strip() for part in text.partition(":"))
        wrong: list[str] = []
        if colon and key in found:
            wrong.append(f"{key} stands twice")
        elif colon and key in known and value:
            found[key] = read_cell(known[key], key, value, wrong)
        elif colon and key in _PARTS:
            parts.setdefault(_PARTS[key], []).extend(_read_object(PART_KINDS[_PARTS[key]], value, wrong))
        elif key not in known or not colon:
            wrong.append(f"'# {key[:40]}' is not known; known are {', '.join((*known, *_PARTS))}")
        problems += [f"line {number}: {problem}" for problem in wrong]
    return found, parts


def _read_object(part: type, text: str, wrong: list[str]) -> list[Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        wrong.append(f"{text[:40]!r} is not a JSON object")
        return []
    return read_part(part, document, wrong)

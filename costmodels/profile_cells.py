"""Cells of the spreadsheet form: one value as the text of a cell, and back.

A cell that a spreadsheet would take for a formula is written with a leading apostrophe, taken off when read. Sizes are
written `3x3`; names that belong together `conv1 | relu1`, or as a JSON list where one of them holds a bar.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from costmodels.profile_fields import FieldKind
from pruning.errors import PatternError
from pruning.patterns import NM, parse

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # a spreadsheet may take the wide forms for the plain ones
_ARMOURED = (*_FORMULA, "'", "#")
_BAR = " | "
Cells = Mapping[str, str]


def armour(text: str) -> str:
    """The text of a cell that no spreadsheet evaluates."""
    return f"'{text}" if text.startswith(_ARMOURED) else text


def bare(cell: str) -> str:
    """Inverse of `armour`, blanks at the ends left out."""
    cell = cell.strip()
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_ARMOURED) else cell


def write_cell(kind: FieldKind, value: Any) -> str:
    """A field as a cell; what is not there is empty."""
    if value is None or value == ():
        return ""
    if kind.many:
        return "x".join(map(str, value)) if kind.of is int else _join(value)
    return repr(float(value)) if kind.of is float else str(value)


def read_cell(kind: FieldKind, column: str, text: str, wrong: list[str]) -> Any:
    """Inverse of `write_cell`; what cannot be read is added to `wrong` and stands for nothing."""
    if kind.many and kind.of is str:
        return _parted(column, text, wrong)
    if kind.many:
        return tuple(whole(column, part, wrong) or 0 for part in text.replace("×", "x").split("x"))
    if kind.of is int:
        return whole(column, text, wrong)
    return number(column, text, wrong) if kind.of is float else text


def number(column: str, text: str, wrong: list[str]) -> float:
    """A decimal number; NaN, added to `wrong`, where it is none."""
    try:
        if "_" not in text:  # Python's own way to write numbers, nobody else's
            return float(text)
    except ValueError:
        pass
    hint = " (use a point, not a comma)" if "," in text else " (write a share such as 0.8)" if "%" in text else ""
    wrong.append(f"{column} {text[:40]!r} is not a number{hint}")
    return math.nan


def whole(column: str, text: str, wrong: list[str]) -> int | None:
    """A whole number; None, added to `wrong`, where it is none."""
    try:
        if "_" not in text:
            return int(text)
    except ValueError:
        pass
    wrong.append(f"{column} {text[:40]!r} is not a whole number")
    return None


def read_pattern(cells: Cells, wrong: list[str]) -> str:
    """The pattern of a line, put together from its text, its sparsity or density, and its keep and group.

    They may say the same thing twice, but never two things.
    """
    text = cells.get("pattern") or ("nm" if cells.get("keep") or cells.get("group") else "dense")
    before = len(wrong)
    density, kept = _density(cells, wrong), _kept(cells, wrong)
    if len(wrong) > before:
        return text
    if text == "nm":
        text = str(kept) if kept else text
    elif density is not None and (text in ("unstructured", "kernel") or text.startswith("block")) and "@" not in text:
        text = f"{text}@{1.0 - density:g}"
    try:
        pattern = parse(text)
    except PatternError as error:
        wrong.append(_explained(text, error))
        return text
    if density is not None and abs(pattern.density - density) > 1e-6:
        wrong.append(f"pattern {text} keeps {pattern.density:g} of the weights but the row says {density:g}")
    if kept is not None and pattern != kept:
        wrong.append(f"pattern {text} is not keep {kept.keep} of {kept.group}, as the row says: keep one of them")
    return str(pattern)


def _density(cells: Cells, wrong: list[str]) -> float | None:
    density: float | None = None
    for column in ("sparsity", "density"):
        if not cells.get(column):
            continue
        share = number(column, cells[column], wrong)
        if 0.0 <= share <= 1.0:
            density = share if column == "density" else 1.0 - share
        elif not math.isnan(share):
            wrong.append(f"{column} {cells[column][:20]!r} is outside 0 ... 1: a share, not a percentage")
    return density


def _kept(cells: Cells, wrong: list[str]) -> NM | None:
    if not (cells.get("keep") or cells.get("group")):
        return None
    if not (cells.get("keep") and cells.get("group")):
        wrong.append("keep and group belong together: keep 1, group 4 leaves one weight of four")
        return None
    keep, group = whole("keep", cells["keep"], wrong), whole("group", cells["group"], wrong)
    if keep is None or group is None:
        return None
    try:
        return NM(keep=keep, group=group)
    except PatternError as error:
        wrong.append(str(error))
        return None


def _explained(text: str, error: PatternError) -> str:
    if text == "nm":
        return "pattern 'nm' needs keep and group, or write it as keep1of4"
    if text in ("unstructured", "kernel", "block"):
        return f"pattern {text!r} needs its sparsity: a column of that name, or {text}@0.8"
    return f"{error}; sparsity is a share below 1, not a percentage" if "@" in text or "%" in text else str(error)


def _join(names: tuple[str, ...]) -> str:
    listed = names[0].startswith("[") or any("|" in name for name in names)
    return json.dumps(names, ensure_ascii=False) if listed else _BAR.join(names)


def _parted(column: str, text: str, wrong: list[str]) -> tuple[str, ...]:
    if not text.startswith("["):
        return tuple(part.strip() for part in text.split("|"))
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    wrong.append(f'{column} {text[:40]!r} is neither names with bars between them nor a list such as ["a", "b"]')
    return ()

"""The JSON form of a profile, read strictly: unknown fields and wrong types are refused, all at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from costmodels.errors import ProfileError
from costmodels.profile import HEADER_FIELDS, NUMBERS, SCHEMA, Profile, ProfileRow, refuse

_REQUIRED = ("name", "device", "batch", "precision", "source")
_OPTIONAL_TEXT = ("accelerator", "accelerator_digest")
_ROW_WHOLE = ("in_channels", "out_channels")
_ROW_NUMBERS = ("latency_ms", "latency_std_ms")
_ROW_FIELDS = ("layer", "pattern", *_ROW_WHOLE, *_ROW_NUMBERS)


def read_json(document: Mapping[str, Any]) -> Profile:
    """Build a profile from its JSON form.

    Raises:
        ProfileError: another schema, unknown fields, wrong types or values.
    """
    if document.get("schema", SCHEMA) != SCHEMA:
        raise ProfileError(f"profile schema {str(document.get('schema'))[:20]!r} is not {SCHEMA}")
    header = {key: value for key, value in document.items() if key not in ("schema", "rows")}
    rows = document.get("rows", [])
    if not isinstance(rows, list):
        raise ProfileError("rows is not a list")
    problems = [*_header_problems(header)]
    for number, row in enumerate(rows, start=1):
        problems += [f"row {number}: {problem}" for problem in _row_problems(row)]
    refuse(str(document.get("name", "")), problems)
    built = tuple(ProfileRow(**_floats(row, _ROW_NUMBERS)) for row in rows)
    return Profile(**_floats(header, NUMBERS), rows=built)


def _floats(fields: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Whole numbers as floats, so that 1 and 1.0 are one profile; huge ones are left to be refused."""
    small = {key for key in keys if isinstance(fields.get(key), int) and abs(fields[key]) < 2**53}
    return {key: float(value) if key in small else value for key, value in fields.items()}


def _header_problems(header: Mapping[str, Any]) -> Iterator[str]:
    for key in _REQUIRED:
        if key not in header:
            yield f"{key} is missing"
    for key, value in header.items():
        if key not in HEADER_FIELDS:
            yield f"field {key[:40]!r} is not known; known are {', '.join(HEADER_FIELDS)}, rows"
        elif key == "batch":
            yield from _whole(key, value)
        elif key in NUMBERS:
            yield from _number(key, value, optional=True)
        elif not isinstance(value, str) and not (value is None and key in _OPTIONAL_TEXT):
            yield f"{key} is not text"


def _row_problems(row: Any) -> Iterator[str]:
    if not isinstance(row, Mapping):
        yield "is not an object"
        return
    for key in ("layer", "latency_ms"):
        if key not in row:
            yield f"{key} is missing"
    for key, value in row.items():
        if key not in _ROW_FIELDS:
            yield f"field {str(key)[:40]!r} is not known; known are {', '.join(_ROW_FIELDS)}"
        elif key in _ROW_WHOLE:
            yield from () if value is None else _whole(key, value)
        elif key in _ROW_NUMBERS:
            yield from _number(key, value, optional=key != "latency_ms")
        elif not isinstance(value, str):
            yield f"{key} is not text"


def _whole(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        yield f"{key} {str(value)[:40]!r} is not a whole number"


def _number(key: str, value: Any, *, optional: bool) -> Iterator[str]:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield f"{key} {str(value)[:40]!r} is not a number"

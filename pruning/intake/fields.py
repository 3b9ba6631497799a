"""Typed access to parsed JSON that nobody vouches for; every mismatch is an IntakeError that says where."""

import json
import math
import re
from typing import Any

from pruning.errors import IntakeError

_NAME_LENGTH = 512
_INT64 = 2**63
_SPECIAL = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}  # how exports spell them


def shown(value: object) -> str:
    """At most 60 characters of an untrusted value, printable and quoted."""
    text = value[:200] if isinstance(value, str) else str(value)[:200]
    quoted = ascii(text)
    return quoted if len(quoted) <= 60 else quoted[:56] + "...'"


def parse_json(data: bytes, where: str) -> Any:
    """Parse a member of an archive as JSON; repeated keys are refused, as readers disagree on them."""
    try:
        return json.loads(data, object_pairs_hook=_unique)
    except RecursionError:
        raise IntakeError(f"{where} is nested too deeply to be a model") from None
    except ValueError:  # UnicodeDecodeError and JSONDecodeError too; their texts quote the file
        raise IntakeError(f"{where} is not valid JSON, or repeats a key: export the model again") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("repeated key")
    return found


def member(value: Any, key: str, where: str) -> Any:
    """Field `key` of an object."""
    if not isinstance(value, dict) or key not in value:
        raise IntakeError(f"{where} lacks its field '{key}'")
    return value[key]


def mapping(value: Any, where: str) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise IntakeError(f"{where} should be an object")
    return value


def items(value: Any, where: str, limit: int) -> list[Any]:
    """A list of at most `limit` items."""
    if not isinstance(value, list):
        raise IntakeError(f"{where} should be a list")
    if len(value) > limit:
        raise IntakeError(f"{where} has {len(value)} items; the limit is {limit}")
    return value


def integer(value: Any, where: str, *, low: int = -_INT64, high: int = _INT64 - 1) -> int:
    """An integer between `low` and `high`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise IntakeError(f"{where} should be an integer")
    if not low <= value <= high:
        raise IntakeError(f"{where} is outside {low} to {high}")
    return value


def number(value: Any, where: str) -> float:
    """A float, also in the spellings that exports use for the infinities and NaN."""
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(integer(value, where))
    if not isinstance(value, float):
        raise IntakeError(f"{where} should be a number")
    return value


def flag(value: Any, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise IntakeError(f"{where} should be true or false")
    return value


def text(value: Any, where: str) -> str:
    """A string, short enough to look at."""
    if not isinstance(value, str) or len(value) > _NAME_LENGTH:
        raise IntakeError(f"{where} should be text of at most {_NAME_LENGTH} characters")
    return value


def name(value: Any, where: str) -> str:
    """Text that people will read: printable and not empty."""
    found = text(value, where)
    if not found or not found.isprintable():
        raise IntakeError(f"{where} is named {shown(found)}, which is empty or has unprintable characters")
    return found


def matching(value: Any, pattern: str, where: str) -> str:
    """Text that matches `pattern` in full."""
    found = text(value, where)
    if not re.fullmatch(pattern, found):
        raise IntakeError(f"{where} is {shown(found)}, which is not one of the accepted values")
    return found


def union(value: Any, where: str) -> tuple[str, Any]:
    """The kind and value of a one-of, which the format writes as an object with exactly one key."""
    found = mapping(value, where)
    if len(found) != 1:
        raise IntakeError(f"{where} should hold exactly one value and holds {len(found)}")
    return next(iter(found.items()))

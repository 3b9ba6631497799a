"""How several importers read one value of a file: numbers that may be anything, shares of zeros, parts of documents."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeVar

from costmodels import errors
from costmodels.errors import ProfileError
from costmodels.importers.base import Files
from costmodels.importers.files import SourceFile
from costmodels.profile import MAX_ROWS
from pruning.patterns import Unstructured

T = TypeVar("T")
HEAD = 2**16  # characters that decide whose file it is
_LARGEST = 1e15  # sums and squares of what is read stay finite
_SMALLEST_SHARE = 1e-4  # what the text form of a pattern can say


def number(value: object) -> float | None:
    """A finite number, written as one or as text; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and (len(value) > 40 or "_" in value):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def positive(value: object) -> float | None:
    """A number above zero that a time, a clock or a width can be; None for everything else."""
    found = number(value)
    return found if found is not None and 0.0 < found <= _LARGEST else None


def whole(value: object) -> int | None:
    """A whole number from 1, written as one or as text; None for everything else."""
    found = positive(value)
    return int(found) if found is not None and found == int(found) and found < 2**24 else None


def sparse(share: object) -> str | None:
    """The pattern of a share of zeros anywhere in the layer, "dense" for none; None where it is no such share."""
    found = number(share)
    if found is None or not (found == 0.0 or _SMALLEST_SHARE <= found < 1.0):
        return None
    rounded = round(found, 6)
    return None if rounded >= 1.0 else str(Unstructured(rounded)) if rounded else "dense"


def mapping(value: object) -> Mapping[str, Any]:
    """An object of a document; an empty one for everything else."""
    return value if isinstance(value, dict) else {}


def bad_time(event: Mapping[str, Any], most_us: float) -> str:
    """What is wrong with the time stamp and the duration of an event in a trace, "" if nothing."""
    for key in ("ts", "dur"):
        value = event.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most_us:
            what = quoted(value) if key in event else "missing"
            return f"{key} is {what}, not microseconds from zero up"
    return ""


def only(files: Files, role: str, what: str) -> SourceFile:
    """The one file of a role.

    Raises:
        ProfileError: there are several, or none.
    """
    found = files.get(role, ())
    if len(found) != 1:
        raise ProfileError(f"{len(found)} files are {what}; a profile is made from one: give them one at a time")
    return found[0]


def listed(file: SourceFile, found: list[T], what: str) -> list[T]:
    """The list, once it is known to be no longer than a profile can be.

    Raises:
        ProfileError: it is.
    """
    if len(found) > MAX_ROWS:
        raise file.refusal(f"holds {len(found)} {what}; at most {MAX_ROWS} are read: keep those of one network")
    return found


def refuse(file: SourceFile, problems: list[str]) -> None:
    """Raise ProfileError with all problems of the file; do nothing without any."""
    errors.refuse(f"file {file.name[:80]!r}", problems)


def quoted(value: object) -> str:
    """A value as a message shows it: short, and never a number of a million digits."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return "a number of more than 40 digits"
    return repr(value[:60]) if isinstance(value, str) else repr(value)[:60] if _flat(value) else type(value).__name__


def _flat(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float)

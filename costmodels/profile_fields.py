"""What each field of a profile may hold, read off the dataclasses: one strict reader serves JSON, CSV and frames.

Types alone are judged here; which values make sense is the question of `costmodels.profile_checks`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from costmodels.profile import (
    PARTS,
    Capability,
    Profile,
    ProfileFile,
    ProfileGroup,
    ProfileLayer,
    ProfileRow,
)

PART_KINDS: dict[str, type] = {
    "files": ProfileFile,
    "capabilities": Capability,
    "groups": ProfileGroup,
    "layers": ProfileLayer,
    "rows": ProfileRow,
}
PART_WORDS = {"files": "file", "capabilities": "capability", "groups": "group", "layers": "layer", "rows": "row"}
_EXACT = 2**53  # whole numbers above it have no float of their own: they are left as they are, to be refused


@dataclass(frozen=True, kw_only=True)
class FieldKind:
    """What one field holds: text, whole numbers or numbers, one or a tuple of them."""

    of: type  # str, int or float
    many: bool
    optional: bool  # None is allowed
    default: Any = MISSING

    @property
    def words(self) -> str:
        """For messages."""
        one, several = {
            str: ("text", "a list of texts"),
            int: ("a whole number", "a list of whole numbers"),
            float: ("a number", "a list of numbers"),
        }[self.of]
        return several if self.many else one

    def fits(self, value: Any) -> bool:
        """Whether the value is of this kind; a tuple where many are wanted."""
        if self.many:
            return isinstance(value, tuple) and all(_is(self.of, one) for one in value)
        return (value is None and self.optional) or _is(self.of, value)

    def exact(self, value: Any) -> Any:
        """The value as the field keeps it: lists as tuples, numbers as floats, so that 1 and 1.0 are one profile."""
        if self.many:
            return tuple(value) if isinstance(value, list) else value
        if self.of is float and _is(float, value) and (isinstance(value, float) or abs(value) < _EXACT):
            return float(value)
        return value


def kinds(part: type) -> dict[str, FieldKind]:
    """Fields of a part, or of the header where `part` is `Profile`, and what they hold."""
    hints = get_type_hints(part)
    return {
        field.name: _kind(hints[field.name], field.default)
        for field in fields(part)
        if not (part is Profile and field.name in PARTS)
    }


def _kind(hint: Any, default: Any) -> FieldKind:
    many = get_origin(hint) is tuple
    inner = [one for one in get_args(hint) if one is not NoneType] if many or NoneType in get_args(hint) else [hint]
    of = str if get_origin(inner[0]) is Literal else inner[0]
    return FieldKind(of=of, many=many, optional=NoneType in get_args(hint), default=default)


KINDS: dict[type, dict[str, FieldKind]] = {part: kinds(part) for part in (Profile, *PART_KINDS.values())}


def read_part(part: type, document: Any, problems: list[str]) -> list[Any]:
    """The part that a JSON object describes, alone in a list; an empty one, and why in `problems`, if it is wrong."""
    if not isinstance(document, Mapping):
        problems.append(f"{shown(document)} is not an object")
        return []
    before = len(problems)
    found = read_fields(part, document, problems)
    problems += [f"{key} is missing" for key in missing(part, found)]
    return [part(**found)] if len(problems) == before else []


def read_fields(part: type, document: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """The fields of a part out of a JSON object, unknown ones and wrong types added to `problems`."""
    known = KINDS[part]
    if strangers := [shown(key) for key in document if key not in known]:
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        listed = f"field {', '.join(strangers[:3])}{more}"
        problems.append(f"{listed} is not known; known are {', '.join(known)}")
    found = {key: known[key].exact(value) for key, value in document.items() if key in known}
    problems += [
        f"{key} {shown(value)} is not {known[key].words}" for key, value in found.items() if not known[key].fits(value)
    ]
    return found


def missing(part: type, found: Mapping[str, Any]) -> list[str]:
    """Fields that a part must have and that were not found."""
    return [key for key, kind in KINDS[part].items() if kind.default is MISSING and key not in found]


def type_problems(part: Any) -> Iterator[str]:
    """Fields of a part that was built in code and holds something else than it may."""
    for key, kind in KINDS[type(part)].items():
        if not kind.fits(getattr(part, key)):
            yield f"{key} {shown(getattr(part, key))} is not {kind.words}"


def stated(part: Any) -> dict[str, Any]:
    """The fields of a part that are not at their default, as JSON."""
    found = {}
    for key, kind in KINDS[type(part)].items():
        value = getattr(part, key)
        if kind.default is MISSING or value != kind.default:
            found[key] = list(value) if isinstance(value, tuple) else kind.exact(value)
    return found


def shown(value: Any) -> str:
    """A value for a message, short whatever it is: nested and huge ones are named, not written out."""
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, int) and abs(value) >= 10**40:
        return "(a huge number)"
    if value is None or isinstance(value, int | float):
        return repr(value)
    return f"({type(value).__name__})"


def _is(of: type, value: Any) -> bool:
    if of is str:
        return isinstance(value, str)
    return isinstance(value, int if of is int else (int, float)) and not isinstance(value, bool)

"""The JSON form of a profile, read strictly: unknown fields and wrong types are refused, all at once."""

import json
from collections.abc import Mapping
from typing import Any

from costmodels.errors import ProfileError, refuse
from costmodels.profile import MAX_BYTES, MAX_ROWS, PARTS, SCHEMA, Profile
from costmodels.profile_fields import PART_KINDS, PART_WORDS, missing, read_fields, read_part, shown, stated

_READABLE = (1, SCHEMA)  # schema 2 only added fields: a document of schema 1 is one of schema 2 that says less


def write_json(profile: Profile) -> dict[str, Any]:
    """The document of a profile; what is at its default is left out."""
    parts = {key: [stated(part) for part in getattr(profile, key)] for key in PARTS if getattr(profile, key)}
    return {"schema": SCHEMA, **stated(profile), **parts}


def read_json(document: Mapping[str, Any]) -> Profile:
    """Build a profile from its document.

    Raises:
        ProfileError: another schema, unknown fields, wrong types or values, by part and number.
    """
    schema = document.get("schema", SCHEMA)
    if isinstance(schema, bool) or schema not in _READABLE:
        raise ProfileError(f"profile schema {shown(schema)} is not one of {', '.join(map(str, _READABLE))}")
    problems: list[str] = []
    header = {key: value for key, value in document.items() if key not in ("schema", *PARTS)}
    found = read_fields(Profile, header, problems)
    problems += [f"{key} is missing" for key in missing(Profile, found)]
    for key in PARTS:
        found[key] = _read_parts(key, document.get(key, []), problems)
    refuse(f"profile {shown(document.get('name', ''))}", problems)
    return Profile(**found)


def read_bytes(raw: bytes, header: Mapping[str, Any]) -> Profile:
    """Build a profile from a file, JSON where it begins with a brace, else CSV.

    Raises:
        ProfileError: too large, not UTF-8, neither form, or wrong inside.
    """
    text = _text(raw)
    if not text.lstrip().startswith("{"):
        return Profile.from_csv(text, header)
    try:
        document = strict_json(text)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"the profile is not valid JSON: {str(error)[:120]}") from error
    return read_json({**header, **document})


def _read_parts(key: str, documents: Any, problems: list[str]) -> tuple[Any, ...]:
    if not isinstance(documents, list):
        problems.append(f"{key} is not a list")
        return ()
    if len(documents) > MAX_ROWS:
        problems.append(f"{len(documents)} {key} are more than {MAX_ROWS}")
        return ()
    read: list[Any] = []
    for number, document in enumerate(documents, start=1):
        wrong: list[str] = []
        read += read_part(PART_KINDS[key], document, wrong)
        problems += [f"{PART_WORDS[key]} {number}: {problem}" for problem in wrong]
    return tuple(read)


def _text(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise ProfileError(f"the file has {len(raw)} bytes; a profile has at most {MAX_BYTES}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProfileError("the file is not UTF-8 text: save it as CSV (UTF-8) or JSON") from error


def strict_json(text: str) -> Any:
    """JSON without NaN, infinities or repeated keys; raises ValueError, or RecursionError where it nests too deeply."""
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once)


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return document

"""Ways to break a file: bytes, words and numbers, lines, and the values of a JSON document. Same seed, same damage."""

import copy
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

NUMBERS = (b"0", b"-1", b"1e400", b"-1e308", b"1e308", b"1e-320", b"nan", b"NaN", b"inf", b"-Infinity", b"0x10", b"1_0")
NUMBERS += (b"9" * 400, b"9" * 5000, b"", b"1,5", b"1e", "٣".encode(), b"true", b"null", b"4294967297", b"0.1e-300")
WORDS = (
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"=cmd()",
    b"../../x",
    b"{}",
    b"[]",
    b'"',
    b"'",
    b"\r",
    b"\xc2\x85",
)
WORDS += (
    b"x" * 5000,
    b"&a",
    b"*a",
    b"<a>",
    b"&lt;",
    b"]]>",
    b"# name: x",
    b": ",
    b"- ",
    b",",
    b";",
    b"\t",
    "\u202e".encode(),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**400,
    0.0,
    -0.5,
    1e308,
    1e-320,
    1e15,
    "",
    " ",
    "0",
)
VALUES += (
    "nan",
    "x" * 5000,
    "\ud800",
    "\x00",
    "a\nb",
    [],
    {},
    [[]],
    [None],
    [1, 2, 3],
    {"": {}},
    {"name": {}},
    [[0.0, [0.0]]],
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"\w+")


def mutated(data: bytes, random: Random) -> bytes:
    """The file with one to three things wrong."""
    ways: list[Callable[[bytes, Random], bytes]] = [_cut, _bytes, _span, _number, _number, _word, _line, _line]
    if data.lstrip()[:1] in (b"{", b"["):
        ways += [_value] * 6
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(ways)(data, random)
    return data


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _bytes(data: bytes, random: Random) -> bytes:
    broken = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if broken:
            broken[random.randrange(len(broken))] = random.randrange(256)
    return bytes(broken)


def _span(data: bytes, random: Random) -> bytes:
    """A stretch left out, doubled, or moved."""
    first, last = sorted(random.randrange(len(data) + 1) for _ in range(2))
    last = min(last, first + 400)
    span, rest = data[first:last], data[:first] + data[last:]
    at = random.randrange(len(rest) + 1)
    return random.choice((rest, data[:last] + span + data[last:], rest[:at] + span + rest[at:]))


def _number(data: bytes, random: Random) -> bytes:
    return _replaced(data, _NUMBER, random.choice(NUMBERS), random)


def _word(data: bytes, random: Random) -> bytes:
    return _replaced(data, _WORD, random.choice(WORDS), random)


def _replaced(data: bytes, what: re.Pattern[bytes], by: bytes, random: Random) -> bytes:
    found = what.search(data, random.randrange(len(data) + 1)) or what.search(data)
    return data if found is None else data[: found.start()] + by + data[found.end() :]


def _line(data: bytes, random: Random) -> bytes:
    """A line left out, doubled, swapped with another, or cut."""
    lines = data.split(b"\n")
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case _:
            lines[at] = _cut(lines[at], random)
    return b"\n".join(lines)


def _value(data: bytes, random: Random) -> bytes:
    """A value of a JSON document replaced, left out, doubled, or under another name; the others are as they were."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    document = copy.deepcopy(document)
    holder = _some_holder(document, random)
    if isinstance(holder, dict) and holder:
        _break_object(holder, random)
    elif isinstance(holder, list) and holder:
        _break_list(holder, random)
    return json.dumps(document).encode()


def _some_holder(document: Any, random: Random) -> Any:
    """Walk down to an object or list: near the top as likely as deep inside."""
    holder = document
    while isinstance(holder, dict | list) and random.random() < 0.8:
        below = [
            one for one in (holder.values() if isinstance(holder, dict) else holder) if isinstance(one, dict | list)
        ]
        if not below:
            break
        holder = random.choice(below)
    return holder


def _break_object(holder: dict[str, Any], random: Random) -> None:
    key = random.choice(list(holder))
    match random.randrange(5):
        case 0:
            del holder[key]
        case 1:
            holder[random.choice(("", "x", key + " ", key.upper(), "\ud800"))] = holder.pop(key)
        case _:
            holder[key] = random.choice(VALUES)


def _break_list(holder: list[Any], random: Random) -> None:
    at = random.randrange(len(holder))
    match random.randrange(5):
        case 0:
            del holder[at]
        case 1:
            holder.insert(random.randrange(len(holder) + 1), holder[at])
        case 2:
            holder.reverse()
        case _:
            holder[at] = random.choice(VALUES)

"""Server-sent events as they come over the wire, one value an event."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event; `id` is what to come back with."""

    kind: str
    data: Any
    id: int | None = None


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """Events from the lines of a stream; comments (keep-alive) are skipped."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        elif fields:
            number = fields.get("id", [""])[-1]
            data = "\n".join(fields.get("data", []))
            yield Event(
                kind=fields.get("event", ["message"])[-1],
                data=json.loads(data) if data else None,
                id=int(number) if number.isdecimal() else None,
            )
            fields = {}

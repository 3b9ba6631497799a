"""`Profile`: what a team knows about the cost of one model on one device. Immutable, known by its digest.

A profile is either rows (layer, pattern, channels, latency) or the name of an accelerator of the catalogue,
priced by the roofline. A row's latency is that of the layer with all its calls, for the whole batch, in
milliseconds. Channel counts left out mean "as in the model". Every mistake is reported, not only the first.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any, get_args

from costmodels.base import Source
from costmodels.errors import ProfileError
from pruning.errors import PatternError
from pruning.patterns import Channel, parse

SCHEMA = 1
MAX_BYTES = 16 * 2**20
MAX_ROWS = 100_000
MAX_TEXT = 300
MAX_LATENCY_MS = 1e9
SOURCES: tuple[str, ...] = get_args(Source)
STATISTICS = ("median", "p10", "mean", "min", "p90", "unknown")


@dataclass(frozen=True, kw_only=True)
class ProfileRow:
    """One layer under one pattern (text form) at one shape. `latency_std_ms` is the spread of single runs."""

    layer: str
    pattern: str = "dense"
    in_channels: int | None = None
    out_channels: int | None = None
    latency_ms: float
    latency_std_ms: float | None = None

    @property
    def key(self) -> tuple[str, str, int | None, int | None]:
        """What may stand only once in a profile."""
        return (self.layer, self.pattern, self.in_channels, self.out_channels)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A cost record of one device at one batch size and precision.

    `network_latency_ms` is the whole dense model, measured; with it the overhead follows from the layer sum,
    else `overhead_ms` states it. `accelerator_digest` pins the catalogue entry the profile was made from.
    """

    name: str
    device: str
    batch: int
    precision: str
    source: Source
    runtime: str = ""
    tool: str = ""
    created: str = ""  # ISO 8601
    statistic: str = "unknown"
    note: str = ""
    accelerator: str | None = None
    accelerator_digest: str | None = None
    network_latency_ms: float | None = None
    overhead_ms: float | None = None
    rows: tuple[ProfileRow, ...] = ()

    def __post_init__(self) -> None:
        refuse(self.name, [*_header_problems(self), *_row_problems(self.rows)])

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return sha256(canonical.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """JSON form; `from_json` is its inverse. Empty fields of rows are left out."""
        document = {"schema": SCHEMA, **asdict(self)}
        document["rows"] = [{k: v for k, v in asdict(r).items() if v is not None} for r in self.rows]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Profile":
        """Inverse of `to_json`.

        Raises:
            ProfileError: another schema, unknown fields, wrong types or values; `problems` lists all of them.
        """
        from costmodels.profile_json import read_json

        return read_json(document)

    def to_csv(self) -> str:
        """A spreadsheet: `# key: value` lines, a header, one line a row. `from_csv` is its inverse."""
        from costmodels.profile_csv import write_csv

        return write_csv(self)

    @classmethod
    def from_csv(cls, text: str, header: Mapping[str, Any] | None = None) -> "Profile":
        """Read a spreadsheet; `header` gives what its `# key: value` lines leave out, and loses to them.

        Raises:
            ProfileError: `problems` lists every bad line by its number in the file.
        """
        from costmodels.profile_csv import read_csv

        return read_csv(text, header or {})

    @classmethod
    def from_bytes(cls, raw: bytes, header: Mapping[str, Any] | None = None) -> "Profile":
        """Read an uploaded file, JSON or CSV by its content.

        Raises:
            ProfileError: too large, not UTF-8, neither form, or wrong inside.
        """
        text = _text(raw)
        if not text.lstrip().startswith("{"):
            return cls.from_csv(text, header)
        try:
            document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise ProfileError(f"the profile is not valid JSON: {str(error)[:120]}") from error
        return cls.from_json({**(header or {}), **document})


HEADER_FIELDS = tuple(f.name for f in fields(Profile) if f.name != "rows")
NUMBERS = ("network_latency_ms", "overhead_ms")


def refuse(name: str, problems: list[str]) -> None:
    """Raise ProfileError with all problems, the first ones in the message; do nothing without any."""
    if problems:
        shown = "; ".join(problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ProfileError(f"profile {name[:60]!r} is refused: {shown}{more}", problems)


def finite_above(value: object, floor: float) -> bool:
    """Whether it is a number, finite, above the floor and below what any layer takes."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return floor < value <= MAX_LATENCY_MS  # false for NaN


def _header_problems(profile: Profile) -> Iterator[str]:
    for key in HEADER_FIELDS:
        value = getattr(profile, key)
        if isinstance(value, str):
            yield from _text_problems(key, value)
    for key in ("name", "device", "precision"):
        if not getattr(profile, key):
            yield f"{key} is empty"
    if not 1 <= profile.batch <= 65_536:
        yield f"batch {str(profile.batch)[:40]} is outside 1 ... 65536"
    if profile.source not in SOURCES:
        yield f"source {profile.source!r} is not one of {', '.join(SOURCES)}"
    if profile.statistic not in STATISTICS:
        yield f"statistic {profile.statistic!r} is not one of {', '.join(STATISTICS)}"
    if profile.network_latency_ms is not None and not finite_above(profile.network_latency_ms, 0.0):
        yield f"network_latency_ms {str(profile.network_latency_ms)[:40]} is not a positive finite number"
    if profile.overhead_ms is not None and not finite_above(profile.overhead_ms, -1e-12):
        yield f"overhead_ms {str(profile.overhead_ms)[:40]} is not zero or a positive finite number"
    yield from _kind_problems(profile)


def _kind_problems(profile: Profile) -> Iterator[str]:
    if profile.accelerator is None and not profile.rows:
        yield "there are no rows and no accelerator: a profile needs one of them"
    if profile.accelerator is not None and profile.rows:
        yield "there are rows and an accelerator: give one of them, so that modelled and measured stay apart"
    if profile.accelerator is not None and profile.source != "analytical":
        yield f"an accelerator of the catalogue is analytical, not {profile.source!r}"
    if len(profile.rows) > MAX_ROWS:
        yield f"{len(profile.rows)} rows are more than {MAX_ROWS}"


def _row_problems(rows: tuple[ProfileRow, ...]) -> Iterator[str]:
    first: dict[tuple[str, str, int | None, int | None], int] = {}
    for number, row in enumerate(rows, start=1):
        for problem in row_problems(row):
            yield f"row {number}: {problem}"
        if row.key in first:
            yield f"row {number}: repeats row {first[row.key]} ({row.layer!r}, {row.pattern}, same channels)"
        first.setdefault(row.key, number)
    yield from missing_dense(rows)


def missing_dense(rows: Iterable[ProfileRow]) -> Iterator[str]:
    """Layers that have sparse rows and no dense one."""
    rows = tuple(rows)
    with_dense = {row.layer for row in rows if row.pattern == "dense"}
    for layer in dict.fromkeys(row.layer for row in rows):
        if layer not in with_dense:
            yield f"layer {layer!r} has no dense row: sparse rows need the dense time of the same run"


def row_problems(row: ProfileRow) -> Iterator[str]:
    """What is wrong with one row by itself."""
    yield from _text_problems("layer", row.layer)
    if not row.layer:
        yield "layer is empty"
    if not finite_above(row.latency_ms, 0.0):
        yield f"latency_ms {str(row.latency_ms)[:40]} is not a positive finite number"
    if row.latency_std_ms is not None and not finite_above(row.latency_std_ms, -1e-12):
        yield f"latency_std_ms {str(row.latency_std_ms)[:40]} is not zero or a positive finite number"
    for key in ("in_channels", "out_channels"):
        value = getattr(row, key)
        if value is not None and not 1 <= value <= 2**24:
            yield f"{key} {str(value)[:40]} is not a positive whole number"
    yield from _pattern_problems(row.pattern)


def _pattern_problems(text: str) -> Iterator[str]:
    try:
        pattern = parse(text)
    except PatternError as error:
        yield str(error)
        return
    if isinstance(pattern, Channel):
        yield f"pattern {text!r}: give in_channels and out_channels of a dense row instead"
    elif str(pattern) != text:
        yield f"pattern {text!r} must be written {str(pattern)!r}"


def _text_problems(key: str, value: str) -> Iterator[str]:
    if len(value) > MAX_TEXT:
        yield f"{key} is longer than {MAX_TEXT} characters"
    if value != value.strip() or not value.isprintable():
        yield f"{key} {value[:40]!r} has blanks at its ends or characters that cannot be printed"


def _text(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise ProfileError(f"the file has {len(raw)} bytes; a profile has at most {MAX_BYTES}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProfileError("the file is not UTF-8 text: save it as CSV (UTF-8) or JSON") from error


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return document

"""The seam of the importers: files of one tool in, a `Profile` out.

An importer recognises its files by content alone. What a file cannot tell (the device, the batch, a clock) the person
states in `Given`; an importer that needs it and does not get it refuses, and says what to give. Times that no layer of
a model explains (reformatting, pooling, quantising) are kept as layers of role "other": they pass on the device too.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from statistics import median, stdev
from typing import Any

from costmodels.errors import ProfileError
from costmodels.importers.files import SourceFile
from costmodels.profile import Profile, ProfileFile, ProfileLayer, ProfileRow

Files = Mapping[str, tuple[SourceFile, ...]]  # by role, at least one each
LONGEST_NAME = 280  # leaves room for a number behind it


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the person states beside the files. None: not stated; what is stated wins over what a file says."""

    name: str | None = None
    device: str | None = None
    runtime: str | None = None
    batch: int | None = None
    precision: str | None = None
    clock_hz: float | None = None  # for files that count cycles
    network_latency_ms: float | None = None
    layer: str | None = None  # for files that hold one layer and do not name it

    def __post_init__(self) -> None:
        if self.batch is not None and not 1 <= self.batch <= 65_536:
            raise ProfileError(f"batch {str(self.batch)[:40]} is outside 1 ... 65536")
        for name in ("clock_hz", "network_latency_ms"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1e15:
                raise ProfileError(f"{name} {str(value)[:40]} is not a positive number")

    def stated(self) -> dict[str, Any]:
        """Only what was stated, `layer` excepted."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value for key, value in found.items() if value is not None and key != "layer"}


@dataclass(frozen=True, kw_only=True)
class Importer:
    """How the files of one tool are recognised and read.

    `roles` says in words what each role's file is. `recognise` answers the role of a file, or None; it never raises
    anything but ProfileError, whatever the bytes. `read` may rely on every file having been recognised, and on nothing
    else.
    """

    name: str
    title: str
    roles: Mapping[str, str]
    required: tuple[str, ...]
    recognise: Callable[[SourceFile], str | None]
    read: Callable[[Files, Given], Profile]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A layer and what it took; zero means that the tool measured none, as for what was fused into others."""

    layer: ProfileLayer
    latency_ms: float
    latency_std_ms: float | None = None

    @classmethod
    def over_runs(cls, layer: ProfileLayer, runs_ms: Sequence[float]) -> "Timed":
        """The median of several runs, and their spread where there are two or more."""
        spread_ms = stdev(runs_ms) if len(runs_ms) > 1 else None
        return cls(layer=layer, latency_ms=median(runs_ms), latency_std_ms=spread_ms)


def build(
    files: Files, given: Given, layers: Iterable[ProfileLayer], rows: Iterable[ProfileRow], **header: Any
) -> Profile:
    """The profile of an import: the file's header under what the person stated, and the files' hashes.

    Raises:
        ProfileError: what a profile must say and neither side said, or rows that are wrong.
    """
    sources = [(role, file) for role, found in files.items() for file in found]
    stated = {key: value for key, value in header.items() if value is not None} | given.stated()
    stated.setdefault("name", printable(" + ".join(file.name for _, file in sources)) or "profile")
    missing = [key for key in ("device", "batch", "precision") if key not in stated]
    if missing:
        them = "it" if len(missing) == 1 else "them"
        raise ProfileError(
            f"{sources[0][1].name[:80]!r} does not say {' and '.join(missing)}: state {them} with the upload",
            [f"{key} is not in the file: state it" for key in missing],
        )
    kept = tuple(
        ProfileFile(name=printable(file.name) or "file", sha256=file.sha256, format=role) for role, file in sources
    )
    return Profile(**stated, files=kept, layers=tuple(layers), rows=tuple(rows))


def tabulated(timed: Iterable[Timed]) -> tuple[list[ProfileLayer], list[ProfileRow]]:
    """Layers under unique names, and a dense row for each that took time; the others are only described."""
    timed = list(timed)
    layers = unique(one.layer for one in timed)
    rows = [
        ProfileRow(layer=layer.name, latency_ms=one.latency_ms, latency_std_ms=one.latency_std_ms)
        for layer, one in zip(layers, timed, strict=True)
        if one.latency_ms > 0.0
    ]
    return layers, rows


def unique(layers: Iterable[ProfileLayer]) -> list[ProfileLayer]:
    """The same layers under printable names that stand once: the second "conv" becomes "conv #2"."""
    taken: set[str] = set()
    counts: dict[str, int] = {}
    found = []
    for layer in layers:
        name = plain = printable(layer.name) or "unnamed"
        while name in taken:
            counts[plain] = counts.get(plain, 1) + 1
            name = f"{plain} #{counts[plain]}"
        taken.add(name)
        members = tuple(dict.fromkeys(filter(None, map(printable, layer.members))))
        found.append(replace(layer, name=name, members=members))
    return found


def printable(text: str) -> str:
    """The text as a profile may hold it: no control characters, no blanks at its ends, at most 280 characters.

    What is longer keeps its start and a mark of its whole, so that two long names stay two.
    """
    shown = "".join(c for c in text if c.isprintable()).strip()
    if len(shown) <= LONGEST_NAME:
        return shown
    mark = sha256(shown.encode()).hexdigest()[:8]
    return f"{shown[: LONGEST_NAME - 10].strip()} {mark}"

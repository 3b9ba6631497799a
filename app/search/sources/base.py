"""The form of a source, and what is checked of whatever one yields."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import category

import numpy as np

from app.search.errors import refused
from app.search.samples.dataset import Prepared
from app.search.samples.spool import Array
from app.search.sources.options import Options

Report = Callable[[float, str], None]
Read = Callable[[Path | None, Options, Report, Path | None], Prepared]
_NAMED = 5  # classes that a message names
_PIECE = 4096  # rows looked at a time


@dataclass(frozen=True, kw_only=True)
class Source:
    """A kind of dataset: how it is read, and which options it takes. `read` gets the folder for its large files."""

    read: Read
    takes: frozenset[str]


def checked(prepared: Prepared, options: Options) -> Prepared:
    """The same data, once it can be trained and judged on; what is odd but usable is noted.

    Raises:
        DatasetError: one class alone, classes that train lacks, or numbers that do not vary.
    """
    if bad := next((name for name in prepared.classes if not _writable(name)), None):
        raise refused(f"class {bad[:80]!a} has characters that cannot be written, such as NUL: rename it")
    if len(set(prepared.classes)) < len(prepared.classes):
        raise refused("two classes have one name: rename one of them")
    if prepared.targets == "classes":
        return replace(prepared, notes=(*prepared.notes, *_check_classes(prepared, options)))
    if prepared.targets == "numbers":
        values = np.asarray(prepared.labels, dtype=np.float64).reshape(len(prepared.labels), -1)
        for name, part in prepared.splits.items():
            if len(part) > 1 and (values[part].var(axis=0) == 0).any():
                column = int((values[part].var(axis=0) == 0).argmax())
                raise refused(f"target {column} is the same number in all of {name}: there is nothing to learn")
    if prepared.targets == "tokens":
        _check_tokens(prepared)
    return prepared


def _writable(name: str) -> bool:
    """Neither control characters nor halves of pairs, which no page, file or database takes."""
    return not any(category(letter) in ("Cc", "Cs") for letter in name)


def _check_tokens(prepared: Prepared) -> None:
    for name, part in prepared.splits.items():
        pieces = (prepared.labels[part[start : start + _PIECE]] for start in range(0, len(part), _PIECE))
        if not any((piece >= 0).any() for piece in pieces):
            raise refused(f"no place of {name} is judged, all its targets are -100: give tokens as targets")


def _check_classes(prepared: Prepared, options: Options) -> list[str]:
    labels = np.asarray(prepared.labels)
    counts = {n: np.bincount(labels[part], minlength=len(prepared.classes)) for n, part in prepared.splits.items()}
    total: Array = np.sum(list(counts.values()), axis=0)
    if (total > 0).sum() < 2:
        name = prepared.classes[int(total.argmax())]
        raise refused(f"all samples are of one class, {name[:80]!r}: give samples of at least two")
    learned = counts["train"] + counts["calibration"]
    if unlearned := [name for name, n, all_n in zip(prepared.classes, learned, total, strict=True) if all_n and not n]:
        raise refused(
            f"train has no sample of {_some(unlearned)}, which validation or test have: give more samples of each, "
            "or leave these classes out"
        )
    notes = []
    if absent := [name for name, n in zip(prepared.classes, total, strict=True) if not n]:
        notes.append(f"no sample at all of {_some(absent)}")
    unjudged = (counts["validation"] + counts["test"] == 0) & (total > 0)
    names = [name for name, missing in zip(prepared.classes, unjudged, strict=True) if missing]
    if names and prepared.stated.get("given_splits") and options.missing_classes == "refuse":
        raise refused(
            f"validation and test have no sample of {_some(names)}, which train has: add some, or give the option "
            '{"missing_classes": "allow"}'
        )
    for split in ("validation", "test"):
        missing = [
            name for name, n, all_n in zip(prepared.classes, counts[split], total, strict=True) if all_n and not n
        ]
        if missing:
            notes.append(f"{split} has no sample of {_some(missing)}")
    return notes


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more classes"

"""What tables of rows have in common, whatever they hold: parts with rows, their targets, and who is in which split."""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from app.search.errors import refused
from app.search.samples.dataset import Shares
from app.search.samples.image_folders import GIVEN
from app.search.samples.spool import Array
from app.search.sources.options import Options

MAX_CLASSES = 100_000
_MOST_DISTINCT = 1000  # labels, of as many samples, that are still taken for classes without being told


@dataclass(frozen=True)
class Row:
    """One sample: the line or row people find it at, what goes in, and what is to come out."""

    where: int
    content: Any
    label: Any


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file of rows, which can be gone through again; `split` is the set it was given to, or nothing."""

    name: str
    split: str
    rows: Callable[[], Iterator[Row]]


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The targets of all rows in order; `classes` are empty where they are numbers."""

    labels: Array
    classes: tuple[str, ...]
    counts: Mapping[str, int]  # rows by given split


def in_order(parts: Sequence[Part]) -> list[Part]:
    """The parts as `Shares.split_as_given` wants them.

    Raises:
        DatasetError: two for one split, or some with and some without one.
    """
    splits = [part.split for part in parts]
    if len(parts) > 1 and (twice := [split for split in splits if splits.count(split) > 1 or not split]):
        named = ", ".join(part.name[:80] for part in parts if part.split == twice[0])
        raise refused(f"{named}: give one file, or one each named train, validation (or dev) and test")
    return sorted(parts, key=lambda part: GIVEN.index(part.split) if part.split else -1)


def targets_of(parts: Sequence[Part], options: Options, names: Sequence[str] = ()) -> Targets:
    """Read the targets of all rows; `names` are the classes where the source knows them, labels are then numbers.

    Raises:
        DatasetError: an empty or unreadable target, with its place.
    """
    if options.task == "regression":
        return _numbers(parts)
    if len(set(names)) < len(names):
        raise refused("two classes have one name: rename one of them")
    places: dict[str, int] = {name: number for number, name in enumerate(names)}
    labels, counts = array("q"), dict.fromkeys((part.split for part in parts), 0)
    for part in parts:
        for row in part.rows():
            name = names[row.label] if names and _is_place(row, len(names), part) else _class(row, part)
            labels.append(places.setdefault(name, len(places)))
            counts[part.split] += 1
        if len(places) > MAX_CLASSES or (len(places) > _MOST_DISTINCT and 2 * len(places) > len(labels)):
            raise refused(
                f"{part.name} has {len(places)} different labels in {len(labels)} rows, which are hardly classes: name "
                'the right column with the option {"label": ...}, or give {"task": "regression"}'
            )
    classes = tuple(names) or tuple(sorted(places, key=_by_number_or_name))
    rank = {name: number for number, name in enumerate(classes)}
    ranked = np.array([rank[name] for name in places], dtype=np.int64)
    return Targets(labels=ranked[np.frombuffer(labels, dtype=np.int64)], classes=classes, counts=_given(counts))


def _is_place(row: Row, count: int, part: Part) -> bool:
    if not isinstance(row.label, int) or not 0 <= row.label < count:
        raise refused(
            f"{part.name} row {row.where} has the label {str(row.label)[:40]}, but classes run from 0 to {count - 1}: "
            "leave out this row, or a test set without labels"
        )
    return True


def _class(row: Row, part: Part) -> str:
    name = str(row.label).strip() if row.label is not None else ""
    if not name:
        raise refused(f"{part.name} row {row.where} has no label: give it one, or leave the row out")
    return name[:200]


def _numbers(parts: Sequence[Part]) -> Targets:
    values, counts, width = array("d"), dict.fromkeys((part.split for part in parts), 0), 0
    for part in parts:
        for row in part.rows():
            found = row.label if isinstance(row.label, list | tuple) else [row.label]
            values.extend(number(value, part, row.where, "target") for value in found)
            counts[part.split] += 1
            width = width or len(found)
            if len(found) != width:
                raise refused(f"{part.name} row {row.where} has {len(found)} targets, the first has {width}")
    labels = np.frombuffer(values, dtype=np.float64).astype(np.float32)
    return Targets(labels=labels.reshape(-1, width) if width > 1 else labels, classes=(), counts=_given(counts))


def number(value: Any, part: Part, where: int, what: str) -> float:
    """A cell as a number.

    Raises:
        DatasetError: it is none, or not finite.
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = float("nan")
    if not isfinite(found) or abs(found) > 3e38:
        raise refused(
            f"{part.name} row {where} has the {what} {str(value)[:40]!r}, which is no finite number: mend the row or "
            "leave it out"
        )
    return found


def divided(shares: Shares, targets: Targets) -> tuple[dict[str, Array], dict[str, Any]]:
    """The splits, and what is to be stated of them."""
    stated = {"given_splits": sorted(targets.counts)} if targets.counts else {}
    return shares.split_as_given(len(targets.labels), targets.counts), stated


def _given(counts: Mapping[str, int]) -> dict[str, int]:
    return {split: count for split, count in counts.items() if split}


def _by_number_or_name(name: str) -> tuple[int, float, str]:
    digits = name.removeprefix("-")
    whole = digits.isascii() and digits.isdigit() and len(digits) < 16
    return (0, float(name), name) if whole else (1, 0.0, name)

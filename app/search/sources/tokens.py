"""Texts as tokens of a fixed length: a row a text, with its target; or windows of running text, and what comes next."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app.search.errors import refused
from app.search.samples.dataset import SPLITS, Prepared
from app.search.samples.spool import Array, Spool
from app.search.sources.base import Report
from app.search.sources.options import Options
from app.search.sources.parts import Part, divided, targets_of
from app.search.tokenizing import Tokenizer, framed, padded
from app.search.tokenizing.wordpiece import WordPiece
from app.search.tokenizing.words import Words

IGNORED = -100  # as target: a place that is not judged
_MANY = 2048  # rows written at a time


@dataclass
class _Rows:
    """Tokens and masks on their way to disk, and how long texts were."""

    length: int
    folder: Path | None
    tokens: Spool = field(init=False)
    mask: Spool = field(init=False)
    texts: int = 0
    longest: int = 0
    total: int = 0
    cut: int = 0
    _waiting: list[Array] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokens = Spool((self.length,), np.int32, self.folder)
        self.mask = Spool((self.length,), np.int8, self.folder)

    def add(self, row: Array, whole: int) -> None:
        """One row, of a text that has `whole` tokens."""
        self.texts += 1
        self.total += whole
        self.longest = max(self.longest, whole)
        self.cut += whole > self.length
        self._waiting.append(row)
        self._counts.append(min(whole, self.length))
        if len(self._waiting) == _MANY:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            self.tokens.add(np.stack(self._waiting))
            self.mask.add((np.arange(self.length) < np.array(self._counts)[:, None]).astype(np.int8))
            self._waiting.clear()
            self._counts.clear()

    def stated(self) -> dict[str, Any]:
        """How long the texts are."""
        mean = self.total / max(1, self.texts)
        return {"mean": round(mean, 1), "longest": self.longest, "cut": self.cut, "kept": self.length}


def classified(
    parts: Sequence[Part],
    wordpiece: WordPiece | None,
    options: Options,
    report: Report,
    folder: Path | None,
    names: Sequence[str] = (),
) -> Prepared:
    """Texts with a class, or a number, each."""
    report(0.05, "reading labels")
    targets = targets_of(parts, options, names)
    splits, stated = divided(options.shares, targets)
    report(0.2, "building the vocabulary")
    train = np.zeros(len(targets.labels), dtype=bool)
    train[splits["train"]] = True
    texts = (text for text, kept in zip(_texts(parts), train, strict=True) if kept)
    tokenizer = wordpiece or _words(texts, options)
    rows = _Rows(options.tokens.length, folder)
    for number, text in enumerate(_texts(parts)):
        rows.add(*framed(tokenizer, text, options.tokens.length))
        if number % 1000 == 0:
            report(0.3 + 0.6 * number / len(train), f"tokenizing, {number} of {len(train)}")
    rows.flush()
    return Prepared(
        inputs=rows.tokens,
        input_name="input_ids",
        more_inputs={"attention_mask": rows.mask},
        labels=targets.labels,
        splits=splits,
        classes=targets.classes,
        source="text",
        stated={**stated, **_said(tokenizer, options, rows.stated())},
    )


def modelled(
    parts: Sequence[Part], wordpiece: WordPiece | None, options: Options, report: Report, folder: Path | None
) -> Prepared:
    """Windows of running text, each token's target the one that follows; texts of different splits are never joined.

    Without given sets the lines are divided in blocks, in the order train, calibration, validation, test: neighbours
    of a line tell much about it.
    """
    report(0.05, "counting lines")
    counts = {part.split: sum(1 for _ in part.rows()) for part in parts}
    total = sum(counts.values())
    ends = _blocks(total, counts, options)
    tokenizer = wordpiece or _words((text for _, text in _between(parts, *ends["train"])), options)
    length = options.tokens.length
    rows, labels = _Rows(length, folder), Spool((length,), np.int64, folder)
    splits: dict[str, Array] = {}
    for done, name in enumerate(SPLITS):
        report(0.2 + 0.7 * done / len(SPLITS), f"tokenizing {name}")
        first = rows.texts
        for window, target, kept in _windows(tokenizer, (text for _, text in _between(parts, *ends[name])), length):
            rows.add(window, kept)
            labels.add(target[None])
        if rows.texts == first:
            raise refused(f"the {name} split would be empty: give more text, or a larger share")
        splits[name] = np.arange(first, rows.texts)
    rows.flush()
    stated: dict[str, Any] = {"given_splits": sorted(counts)} if any(counts) else {}
    return Prepared(
        inputs=rows.tokens,
        input_name="input_ids",
        more_inputs={"attention_mask": rows.mask},
        labels=labels,
        splits=splits,
        classes=(),
        source="text",
        stated={**stated, **_said(tokenizer, options, rows.stated())},
    )


def _words(texts: Iterable[str], options: Options) -> Words:
    return Words.of(texts, most=options.tokens.vocabulary, lowercase=options.tokens.lowercase)


def _said(tokenizer: Tokenizer, options: Options, lengths: dict[str, Any]) -> dict[str, Any]:
    framing = {"length": options.tokens.length, "pad": tokenizer.pad, "begin": tokenizer.begin, "end": tokenizer.end}
    return {
        "tokenizer": {**tokenizer.stated(), **{k: list(v) if isinstance(v, tuple) else v for k, v in framing.items()}},
        "vocabulary": tokenizer.size,
        "lengths": lengths,
    }


def _texts(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        for row in part.rows():
            yield row.content


def _blocks(total: int, counts: dict[str, int], options: Options) -> dict[str, tuple[int, int]]:
    """Each split's first line and the one behind its last, in the order of the parts."""
    shares = options.shares
    if not any(counts):
        sizes = {name: round(total * getattr(shares, name)) for name in ("calibration", "validation", "test")}
        given = {"train": total - sum(sizes.values()), **sizes}
    else:
        shares.split_as_given(total, counts)  # refuses what lacks a set
        few = round(counts["train"] * shares.calibration)
        later = [counts.get(name, 0) for name in ("validation", "test")]
        halves = later if all(later) else [sum(later) // 2, sum(later) - sum(later) // 2]
        given = {"train": counts["train"] - few, "calibration": few, "validation": halves[0], "test": halves[1]}
    ends, start = {}, 0
    for name in SPLITS:
        ends[name] = (start, start + given[name])
        start += given[name]
    return ends


def _between(parts: Sequence[Part], start: int, end: int) -> Iterator[tuple[int, str]]:
    for number, text in enumerate(_texts(parts)):
        if number >= end:
            return
        if number >= start:
            yield number, text


def _windows(tokenizer: Tokenizer, texts: Iterable[str], length: int) -> Iterator[tuple[Array, Array, int]]:
    """Tokens, what follows each, and how many there are; a text ends with the tokenizer's last sign."""
    held: list[int] = []
    for text in texts:
        held += [*tokenizer.encode(text), *tokenizer.end]
        start = 0  # what is used up is let go of once a text: a book on one line has a million tokens
        while len(held) - start > length:
            end = start + length
            yield np.array(held[start:end]), np.array(held[start + 1 : end + 1]), length
            start = end
        del held[:start]
    if len(held) > 1:
        yield padded(held[:-1], length, tokenizer.pad), padded(held[1:], length, IGNORED), len(held) - 1

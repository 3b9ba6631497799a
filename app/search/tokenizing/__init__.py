"""Tokenizers of our own: texts in, numbers out; no library is needed and nothing of an upload is run."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Tokenizer(Protocol):
    """A vocabulary and how texts are cut into its words. Numbers run from 0 to below `size`."""

    @property
    def size(self) -> int:
        """The vocabulary's."""

    @property
    def pad(self) -> int:
        """What fills up to a fixed length."""

    @property
    def begin(self) -> tuple[int, ...]:
        """What stands before each text."""

    @property
    def end(self) -> tuple[int, ...]:
        """What stands behind each text."""

    def encode(self, text: str) -> list[int]:
        """The numbers of a text, nothing before or behind it."""

    def stated(self) -> dict[str, Any]:
        """What people must know to cut texts alike."""


def framed(tokenizer: Tokenizer, text: str, length: int) -> tuple[Array, int]:
    """A text's numbers between what begins and ends it, cut and padded to `length`, and how many it has by itself."""
    found = tokenizer.encode(text)
    whole = len(tokenizer.begin) + len(found) + len(tokenizer.end)
    kept = found[: length - len(tokenizer.begin) - len(tokenizer.end)]
    return padded((*tokenizer.begin, *kept, *tokenizer.end), length, tokenizer.pad), whole


def padded(numbers: Iterable[int], length: int, fill: int) -> Array:
    """The numbers, filled up to `length`."""
    row = np.full(length, fill, dtype=np.int64)
    found = list(numbers)
    row[: len(found)] = found
    return row

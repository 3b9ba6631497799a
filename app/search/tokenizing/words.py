"""A small word tokenizer: runs of letters and digits are words, every other sign is one of its own."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_LONGEST = 100  # letters of a word of the vocabulary, which is stated: longer ones are no words of a language
_WORD = re.compile(r"\w+|[^\w\s]")


def cut(text: str, *, lowercase: bool = True) -> list[str]:
    """The words of a text."""
    return _WORD.findall(text.lower() if lowercase else text)


@dataclass(frozen=True)
class Words:
    """A vocabulary of words, the four special ones first; unknown words are one number."""

    vocabulary: tuple[str, ...]
    lowercase: bool = True

    @classmethod
    def of(cls, texts: Iterable[str], *, most: int, lowercase: bool = True) -> "Words":
        """The most frequent words of the texts, `most` with the special ones; of equals the first by letters."""
        counts = Counter(_all(texts, lowercase=lowercase))
        ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return cls((*SPECIAL, *(word for word, _ in ordered[: most - len(SPECIAL)])), lowercase)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary)}

    @property
    def size(self) -> int:
        """The vocabulary's."""
        return len(self.vocabulary)

    @property
    def pad(self) -> int:
        """What fills up to a fixed length."""
        return 0

    @property
    def begin(self) -> tuple[int, ...]:
        """[CLS]."""
        return (2,)

    @property
    def end(self) -> tuple[int, ...]:
        """[SEP]."""
        return (3,)

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's words."""
        return [self._number.get(word, 1) for word in cut(text, lowercase=self.lowercase)]

    def stated(self) -> dict[str, Any]:
        """Kind, size, lower case, and the vocabulary itself."""
        return {"kind": "words", "lowercase": self.lowercase, "vocabulary": list(self.vocabulary)}


def _all(texts: Iterable[str], *, lowercase: bool) -> Iterator[str]:
    for text in texts:
        yield from (word for word in cut(text, lowercase=lowercase) if len(word) <= _LONGEST)

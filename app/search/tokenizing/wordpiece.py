"""BERT's tokenizer, from its vocabulary: the basic cut at spaces and signs, then WordPiece, longest first.

Written after what `tokenizers` does with `BertNormalizer`, `BertPreTokenizer` and `WordPiece` (Wu et al.,
arXiv:1609.08144; Devlin et al., arXiv:1810.04805), and tested against it where it is installed. What a sign is comes
from this Python's Unicode tables: signs that are younger than its or the other's tables may be cut differently.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.search.errors import DatasetError, refused

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MOST_WORDS = 1_000_000
_LONGEST = 1000  # letters of a word that a tokenizer may ask to look up
_IDEOGRAPHS = (  # blocks whose every sign is a word, first and last
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WordPiece:
    """A vocabulary of words and continuations, and how texts are made plain before they are looked up."""

    vocabulary: Mapping[str, int]
    lowercase: bool = True
    strip_accents: bool | None = None  # None: as lower case
    ideographs: bool = True  # each a word
    clean: bool = True  # control signs away, every space a plain one
    prefix: str = "##"  # of continuations
    longest: int = 100  # letters of a word that is looked up at all

    def __post_init__(self) -> None:
        if absent := [word for word in SPECIAL[:4] if word not in self.vocabulary]:
            raise refused(f"the tokenizer's vocabulary has no {absent[0]}: give the files of a BERT-like tokenizer")

    @cached_property
    def size(self) -> int:
        """One more than the highest number."""
        return max(self.vocabulary.values()) + 1

    @property
    def pad(self) -> int:
        """[PAD]."""
        return self.vocabulary["[PAD]"]

    @property
    def begin(self) -> tuple[int, ...]:
        """[CLS]."""
        return (self.vocabulary["[CLS]"],)

    @property
    def end(self) -> tuple[int, ...]:
        """[SEP]."""
        return (self.vocabulary["[SEP]"],)

    def encode(self, text: str) -> list[int]:
        """The numbers of a text; special words that stand in it are themselves."""
        found: list[int] = []
        for part in self._special.split(text):
            if part in SPECIAL and part in self.vocabulary:
                found.append(self.vocabulary[part])
            else:
                for word in _cut(self._plain(part)):
                    found += self._pieces(word)
        return found

    def stated(self) -> dict[str, Any]:
        """Kind, size and what is done to texts."""
        strip = self.lowercase if self.strip_accents is None else self.strip_accents
        return {"kind": "wordpiece", "lowercase": self.lowercase, "strip_accents": strip}

    @cached_property
    def _special(self) -> re.Pattern[str]:
        known = [re.escape(word) for word in SPECIAL if word in self.vocabulary]
        return re.compile(f"({'|'.join(known)})")

    def _plain(self, text: str) -> str:
        if self.clean:
            text = "".join(" " if _is_space(c) else c for c in text if not _is_control(c))
        if self.ideographs:
            text = "".join(f" {c} " if _is_ideograph(c) else c for c in text)
        if self.lowercase if self.strip_accents is None else self.strip_accents:
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
        if self.lowercase:
            text = "".join(c.lower() for c in text)  # letter by letter: a last sigma stays like any other
        return text

    def _pieces(self, word: str) -> list[int]:
        if len(word) > self.longest:
            return [self.vocabulary["[UNK]"]]
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = word[start:end] if start == 0 else self.prefix + word[start:end]
                if piece in self.vocabulary:
                    found.append(self.vocabulary[piece])
                    start = end
                    break
            else:
                return [self.vocabulary["[UNK]"]]
        return found


def from_vocabulary(text: str, *, lowercase: bool = True) -> WordPiece:
    """A tokenizer from a `vocab.txt`: one word a line, its number is the line's, counted from 0.

    Raises:
        DatasetError: special words are missing.
    """
    words = text.removesuffix("\n").split("\n")
    return WordPiece(vocabulary={word.rstrip("\r"): number for number, word in enumerate(words)}, lowercase=lowercase)


def from_json(text: str) -> WordPiece:
    """A tokenizer from a `tokenizer.json` that says it is BERT's.

    Raises:
        DatasetError: it is no JSON, or another kind of tokenizer; the message names the part.
    """
    try:
        return _from_document(json.loads(text))
    except DatasetError:
        raise
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise refused(
            f"tokenizer.json cannot be read ({type(error).__name__}): give it as transformers saves it"
        ) from None


def _from_document(document: Mapping[str, Any]) -> WordPiece:
    model, normalizer = document["model"], document["normalizer"] or {}
    wanted = (("model", model, "WordPiece"), ("normalizer", normalizer, "BertNormalizer"))
    cutter = ("pre_tokenizer", document["pre_tokenizer"] or {}, "BertPreTokenizer")
    for part, found, kind in (*wanted, cutter):
        if found.get("type") != kind:
            raise refused(
                f"the tokenizer's {part} is {str(found.get('type'))[:40]!r}; only {kind} is read: tokenize the texts "
                "yourself and give the numbers as .npz"
            )
    vocabulary = model["vocab"]
    good = all(isinstance(number, int) and 0 <= number < _MOST_WORDS for number in vocabulary.values())
    if not good or not all(isinstance(word, str) for word in vocabulary):
        raise refused("tokenizer.json has words without a number: give it as transformers saves it")
    longest = int(model.get("max_input_chars_per_word", 100))
    if not 1 <= longest <= _LONGEST:  # to look a word up takes time with its length squared
        raise refused(f"tokenizer.json has max_input_chars_per_word {longest}; it may be 1 ... {_LONGEST}")
    return WordPiece(
        vocabulary=vocabulary,
        lowercase=bool(normalizer["lowercase"]),
        strip_accents=normalizer.get("strip_accents"),
        ideographs=bool(normalizer["handle_chinese_chars"]),
        clean=bool(normalizer["clean_text"]),
        prefix=str(model.get("continuing_subword_prefix", "##")),
        longest=longest,
    )


def _cut(text: str) -> Iterator[str]:
    """Words between spaces, every sign of punctuation by itself."""
    word = ""
    for c in text:
        if not (_is_sign(c) or _is_space(c)):
            word += c
            continue
        if word:
            yield word
            word = ""
        if not _is_space(c):
            yield c
    if word:
        yield word


def _is_space(c: str) -> bool:
    return c.isspace() and c not in "\x1c\x1d\x1e\x1f"


def _is_control(c: str) -> bool:
    return c not in "\t\n\r" and (c == "\ufffd" or unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs"))


def _is_ideograph(c: str) -> bool:
    return any(first <= ord(c) <= last for first, last in _IDEOGRAPHS)


def _is_sign(c: str) -> bool:
    ascii_sign = 33 <= ord(c) <= 47 or 58 <= ord(c) <= 64 or 91 <= ord(c) <= 96 or 123 <= ord(c) <= 126
    return ascii_sign or unicodedata.category(c).startswith("P")

"""What a dataset's registration may say. Every kind of source takes some of it and refuses the rest."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.search.errors import refused
from app.search.samples.dataset import Shares
from app.search.samples.image_folders import Look

Column = str | int  # by its name in the header, or by its number from 0
Task = Literal["classification", "regression", "language_modelling"]
_MOST_TOKENS = 4096


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns hold what; None where the source may choose. `numbers` are the inputs of a table."""

    text: Column | None = None
    image: Column | None = None
    numbers: tuple[Column, ...] | None = None
    label: Column | tuple[Column, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """How a CSV or TSV file is written; None where that is seen from its first line."""

    delimiter: str | None = None
    header: bool | None = None
    quoted: bool | None = None  # whether cells may stand in double quotes: not in TSV, if left out


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """How texts become numbers: `words` or `wordpiece` (None: wordpiece where its files are there), and how many."""

    tokenizer: Literal["words", "wordpiece"] | None = None
    length: int = 128
    vocabulary: int = 20_000  # of words: the most frequent of the training texts
    lowercase: bool = True


@dataclass(frozen=True, kw_only=True)
class Options:
    """All options, with what holds where one is left out."""

    shares: Shares = field(default_factory=Shares)
    missing_classes: Literal["refuse", "allow"] = "refuse"  # in given validation and test sets
    task: Task | None = None
    layout: Literal["nchw", "nhwc"] = "nchw"  # of arrays: where the channels stand
    look: Look = field(default_factory=Look)
    columns: Columns = field(default_factory=Columns)
    sheet: Sheet = field(default_factory=Sheet)
    tokens: Tokens = field(default_factory=Tokens)

    @classmethod
    def read(cls, options: Mapping[str, Any], takes: Collection[str] | None = None) -> "Options":
        """Read the JSON options, of which a source `takes` some, or all.

        Raises:
            DatasetError: unknown keys or wrong values.
        """
        takes = sorted(_CHECKS if takes is None else takes)
        if unknown := sorted(set(options) - set(takes)):
            raise refused(f"unknown option {str(unknown[0])[:80]!r}; known are {takes}")
        for name, value in options.items():
            wanted, holds = _CHECKS[name]
            if not holds(value):
                raise refused(f"option {name} is {str(value)[:80]!r}, which is no {wanted}")
        return cls(
            shares=Shares(**_of(options, "seed", "validation", "test", "calibration")),
            look=Look(**{key: _fixed(value) for key, value in _of(options, "size", "channels").items()}),
            columns=Columns(**{k: _fixed(v) for k, v in _of(options, "text", "image", "numbers", "label").items()}),
            sheet=Sheet(**_of(options, "delimiter", "header", "quoted")),
            tokens=Tokens(**_of(options, "tokenizer", "length", "vocabulary", "lowercase")),
            **_of(options, "missing_classes", "task", "layout"),
        )


def _of(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if options.get(name) is not None}


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    pair = isinstance(value, list | tuple) and len(value) == 2
    return value is None or (pair and all(_whole(1, 4096)(side) for side in value))


def _is_column(value: Any) -> bool:
    return (isinstance(value, str) and 0 < len(value) <= 200) or _whole(0, 10_000)(value)


def _are_columns(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 10_000 and all(_is_column(column) for column in value)


def _one_of(*words: str) -> tuple[str, Callable[[Any], bool]]:
    return f"word out of {list(words)}", lambda value: isinstance(value, str) and value in words


_NUMBER = ("number", _is_number)
_YES_OR_NO = ("true or false", lambda value: isinstance(value, bool))
_COLUMN = ("column: write its name, or its number from 0", _is_column)
_CHECKS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "seed": ("whole number", _is_whole),
    "validation": _NUMBER,
    "test": _NUMBER,
    "calibration": _NUMBER,
    "missing_classes": _one_of("refuse", "allow"),
    "task": _one_of("classification", "regression", "language_modelling"),
    "layout": _one_of("nchw", "nhwc"),
    "size": ("size: it must be [height, width], of 1 ... 4096 pixels", _is_size),
    "channels": ("number of channels: it must be 3 (RGB) or 1 (grey)", lambda v: _is_whole(v) and v in (1, 3)),
    "text": _COLUMN,
    "image": _COLUMN,
    "label": ("column, or list of columns", lambda value: _is_column(value) or _are_columns(value)),
    "numbers": ("list of columns", _are_columns),
    "delimiter": (
        "single character",
        lambda value: isinstance(value, str) and len(value) == 1 and value not in '\r\n"',
    ),
    "header": _YES_OR_NO,
    "quoted": _YES_OR_NO,
    "tokenizer": _one_of("words", "wordpiece"),
    "length": (f"whole number in 4 ... {_MOST_TOKENS}", _whole(4, _MOST_TOKENS)),
    "vocabulary": ("whole number in 16 ... 1000000", _whole(16, 1_000_000)),
    "lowercase": _YES_OR_NO,
}
SPLIT = frozenset({"seed", "validation", "test", "calibration", "missing_classes"})
LOOK = frozenset({"size", "channels"})
SHEET = frozenset({"delimiter", "header", "quoted"})
TOKENS = frozenset({"tokenizer", "length", "vocabulary", "lowercase"})

"""Where zeros may fall: `Dense`, `Unstructured`, `NM`, `Block`, `Kernel`, `Channel`.

A pattern says nothing about *which* weights become zero; that is a pruner's question. Sparsity is the share
of zeros, in [0, 1). `NM(keep=1, group=4)` keeps one of four consecutive weights **along the input dimension**
(for a convolution: along input channels at a fixed kernel position); the literature writes "1:4" for this and
for its opposite, so that text is refused. A tail shorter than a group keeps `min(keep, tail)` weights.
"""

import re
from dataclasses import dataclass
from math import floor
from typing import Any

from pruning.errors import PatternError

_ROUNDING = 1e-9  # (1 - 0.7) * 10 is 3.0000000000000004 and (1 - 0.71) * 100 is 29.000000000000004 or less


def kept_count(units: int, sparsity: float) -> int:
    """How many of `units` survive: `floor((1 - sparsity) * units)`, as in PDP."""
    return floor((1.0 - sparsity) * units + _ROUNDING)


def _check_sparsity(kind: str, sparsity: float) -> None:
    if not 0.0 <= sparsity < 1.0:
        raise PatternError(
            f"{kind} sparsity {sparsity!r} is outside [0, 1): it is the share of zeros, not a percentage"
        )


@dataclass(frozen=True)
class Dense:
    """No zeros asked for."""

    kind = "dense"

    @property
    def density(self) -> float:
        """Share of weights that may be non-zero."""
        return 1.0

    def __str__(self) -> str:
        return "dense"


@dataclass(frozen=True)
class Unstructured:
    """Zeros anywhere in the layer: exactly `kept_count(weights, sparsity)` weights survive."""

    sparsity: float
    kind = "unstructured"

    def __post_init__(self) -> None:
        _check_sparsity(self.kind, self.sparsity)

    @property
    def density(self) -> float:
        """Share of weights that may be non-zero."""
        return 1.0 - self.sparsity

    def __str__(self) -> str:
        return f"unstructured@{self.sparsity:g}"


@dataclass(frozen=True)
class NM:
    """At most `keep` non-zeros in every `group` consecutive weights along the input dimension."""

    keep: int
    group: int
    kind = "nm"

    def __post_init__(self) -> None:
        if not 1 <= self.keep <= self.group <= 64:
            raise PatternError(f"keep {self.keep} of {self.group} is impossible: need 1 <= keep <= group <= 64")

    @property
    def density(self) -> float:
        """Share of weights that may be non-zero, on a layer without a ragged tail."""
        return self.keep / self.group

    def __str__(self) -> str:
        return f"keep{self.keep}of{self.group}"


@dataclass(frozen=True)
class Block:
    """Whole tiles of `rows` output by `cols` input channels, at a fixed kernel position; edge tiles may be smaller.

    Exactly `kept_count(tiles, sparsity)` tiles survive, at least one.
    """

    rows: int
    cols: int
    sparsity: float
    kind = "block"

    def __post_init__(self) -> None:
        _check_sparsity(self.kind, self.sparsity)
        if not (1 <= self.rows <= 256 and 1 <= self.cols <= 256):
            raise PatternError(f"block {self.rows} x {self.cols} is impossible: both sides lie in 1 ... 256")

    @property
    def density(self) -> float:
        """Share of tiles that survive, before rounding to whole tiles."""
        return 1.0 - self.sparsity

    def kept(self, tiles: int) -> int:
        """Whole tiles that survive of `tiles`."""
        return max(1, kept_count(tiles, self.sparsity))

    def __str__(self) -> str:
        return f"block{self.rows}x{self.cols}@{self.sparsity:g}"


@dataclass(frozen=True)
class Kernel:
    """Whole 2-D kernels: all positions of one output-input channel pair of a convolution. At least one survives."""

    sparsity: float
    kind = "kernel"

    def __post_init__(self) -> None:
        _check_sparsity(self.kind, self.sparsity)

    @property
    def density(self) -> float:
        """Share of kernels that survive, before rounding to whole kernels."""
        return 1.0 - self.sparsity

    def kept(self, kernels: int) -> int:
        """Whole kernels that survive of `kernels`."""
        return max(1, kept_count(kernels, self.sparsity))

    def __str__(self) -> str:
        return f"kernel@{self.sparsity:g}"


@dataclass(frozen=True)
class Channel:
    """Whole output channels; the channels of a group go together. At least one channel survives."""

    sparsity: float
    kind = "channel"

    def __post_init__(self) -> None:
        _check_sparsity(self.kind, self.sparsity)

    @property
    def density(self) -> float:
        """Share of output channels that survive, before rounding to whole channels."""
        return 1.0 - self.sparsity

    def kept(self, channels: int) -> int:
        """Whole channels that survive of `channels`."""
        return max(1, kept_count(channels, self.sparsity))

    def __str__(self) -> str:
        return f"channel@{self.sparsity:g}"


Pattern = Dense | Unstructured | NM | Block | Kernel | Channel

_KEEP_OF = re.compile(r"keep(\d{1,2})of(\d{1,2})")
_BARE = re.compile(r"(\d{1,2}):(\d{1,2})")
_SHARE = re.compile(r"(unstructured|kernel|channel)@(0(?:\.\d{1,9})?)")
_BLOCK = re.compile(r"block(\d{1,3})x(\d{1,3})@(0(?:\.\d{1,9})?)")
_SHARED: dict[str, type[Unstructured] | type[Kernel] | type[Channel]] = {
    "unstructured": Unstructured,
    "kernel": Kernel,
    "channel": Channel,
}


def parse(text: str) -> Pattern:
    """Read the text form; also `2:4`, where it is unambiguous.

    `dense`, `unstructured@0.8`, `keep2of4`, `block4x1@0.5`, `kernel@0.5`, `channel@0.5`.

    Raises:
        PatternError: for anything else, with the accepted forms.
    """
    if text == "dense":
        return Dense()
    if match := _SHARE.fullmatch(text):
        return _SHARED[match[1]](float(match[2]))
    if match := _BLOCK.fullmatch(text):
        return Block(rows=int(match[1]), cols=int(match[2]), sparsity=float(match[3]))
    if match := _KEEP_OF.fullmatch(text):
        return NM(keep=int(match[1]), group=int(match[2]))
    if match := _BARE.fullmatch(text):
        few, many = int(match[1]), int(match[2])
        if 2 * few == many:
            return NM(keep=few, group=many)
        raise PatternError(
            f"'{text}' is ambiguous: papers use it for {few} kept and for {few} zeroed of {many}; "
            f"write keep{few}of{many} or keep{max(many - few, 1)}of{many}"
        )
    raise PatternError(
        f"unknown pattern {text[:40]!r}: use dense, unstructured@0.8, keep2of4, block4x1@0.5, kernel@0.5 or channel@0.5"
    )


def to_json(pattern: Pattern) -> dict[str, Any]:
    """The JSON form, e.g. `{"kind": "nm", "keep": 2, "group": 4}`."""
    match pattern:
        case Dense():
            return {"kind": "dense"}
        case NM(keep=keep, group=group):
            return {"kind": "nm", "keep": keep, "group": group}
        case Block(rows=rows, cols=cols, sparsity=sparsity):
            return {"kind": "block", "rows": rows, "cols": cols, "sparsity": sparsity}
        case Unstructured(sparsity=sparsity) | Kernel(sparsity=sparsity) | Channel(sparsity=sparsity):
            return {"kind": pattern.kind, "sparsity": sparsity}


def from_json(document: dict[str, Any]) -> Pattern:
    """Inverse of `to_json`.

    Raises:
        PatternError: on an unknown kind or wrong fields.
    """
    fields = {key: value for key, value in document.items() if key != "kind"}
    match document.get("kind"), sorted(fields):
        case "dense", []:
            return Dense()
        case "nm", ["group", "keep"]:
            return NM(keep=int(fields["keep"]), group=int(fields["group"]))
        case "block", ["cols", "rows", "sparsity"]:
            return Block(int(fields["rows"]), int(fields["cols"]), float(fields["sparsity"]))
        case ("unstructured" | "kernel" | "channel") as kind, ["sparsity"]:
            return _SHARED[kind](float(fields["sparsity"]))
    raise PatternError(f"not a pattern: {str(document)[:80]}")

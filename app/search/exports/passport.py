"""`Passport`: what is known of the files that a trial became, each claim with its proof. Frozen, JSON, no torch.

A trial's model goes from form to form, and each step is a hop: masked (the uploader's shapes, removed channels zero),
smaller (channels gone), `.pt2`, ONNX, ONNX with 8-bit weights; the state bundle leaves from the smaller model. Of each
hop it says by how much the outputs moved, what was counted in the file, and how the file does on the data. A hop that
failed says why, and those before it stand.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from app.search.trial import Failure, Measurement

SCHEMA = 1
HopName = Literal["masked", "smaller", "pt2", "onnx", "int8", "state"]
Format = Literal["pt2", "onnx", "int8", "state"]  # what can be asked for
FORMATS: tuple[Format, ...] = get_args(Format)
FILE_KINDS: Mapping[str, str] = {"pt2": "model", "onnx": "onnx", "int8": "int8", "state": "state"}  # in `Trial.files`
FILES: Mapping[str, str] = {  # every kind of file a trial may have -> the ending of its name
    "weights": "safetensors",
    "model": "pt2",
    "onnx": "onnx",
    "int8": "int8.onnx",
    "state": "zip",
    "passport": "json",
}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Largest difference between the outputs of two forms on calibration samples; `relative` to the largest output."""

    against: HopName
    absolute: float
    relative: float
    samples: int


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """A file: its kind among the trial's files, its digest, its bytes as they are and deflated (zlib, level 6)."""

    kind: str
    sha256: str
    bytes: int
    deflated_bytes: int


@dataclass(frozen=True, kw_only=True)
class Hop:
    """One form. `readings` were measured on the file itself; `facts` has what only this form has (opset, operators)."""

    name: HopName
    state: Literal["done", "failed"]
    difference: Difference | None = None
    readings: tuple[Measurement, ...] = ()
    file: FileFacts | None = None
    failure: Failure | None = None
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LayerProof:
    """One layer: shapes before and after, zeros promised, and by hop what was counted in the file.

    `groups` is the number of N:M groups, None for other patterns; `valid_groups` counts those that keep it.
    """

    name: str
    pattern: str
    shape_before: tuple[int, ...]
    shape: tuple[int, ...]
    weights: int
    promised_zeros: int
    zeros: Mapping[str, int]
    holds: bool
    groups: int | None = None
    valid_groups: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Passport:
    """All that is known of one trial's files.

    `sizes` counts parameters, MACs and bytes; `latency` has what was predicted and what was measured, never mixed;
    `hashes`, `versions`, `seeds` and `commands` are what it takes to make the same files again.
    """

    search: str
    number: int
    role: str
    plan: Mapping[str, Any]
    recovery_steps: int
    hops: tuple[Hop, ...]
    layers: tuple[LayerProof, ...]
    unprunable: Mapping[str, str]  # what no plan could touch, and why
    sizes: Mapping[str, Any]
    latency: Mapping[str, Any]
    measurements: tuple[Measurement, ...]  # the trial's own, of the smaller model before it was written
    hashes: Mapping[str, str]
    versions: Mapping[str, str]
    seeds: Mapping[str, int]
    commands: tuple[str, ...]
    learning_rate_factor: float = 1.0  # of the recovery, on the search's learning rate
    schema: int = SCHEMA

    def hop(self, name: str) -> Hop | None:
        """The hop of that name, if it was taken."""
        return next((hop for hop in self.hops if hop.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """JSON form; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Passport":
        """Inverse of `to_json`."""
        return cls(
            **{
                **document,
                "hops": tuple(_hop(hop) for hop in document["hops"]),
                "layers": tuple(_layer(layer) for layer in document["layers"]),
                "measurements": _measurements(document["measurements"]),
                "commands": tuple(document["commands"]),
            }
        )


def _hop(document: Mapping[str, Any]) -> Hop:
    difference, file, failure = (document[name] for name in ("difference", "file", "failure"))
    return Hop(
        **{
            **document,
            "difference": Difference(**difference) if difference else None,
            "readings": _measurements(document["readings"]),
            "file": FileFacts(**file) if file else None,
            "failure": Failure(**failure) if failure else None,
        }
    )


def _layer(document: Mapping[str, Any]) -> LayerProof:
    shapes = {name: tuple(document[name]) for name in ("shape_before", "shape")}
    return LayerProof(**{**document, **shapes})


def _measurements(entries: Any) -> tuple[Measurement, ...]:
    return tuple(Measurement(**entry) for entry in entries)

"""`Profile`: what a team knows about the cost of one model on one device. Immutable, known by its digest.

A profile is either rows (layer, pattern, channels, latency) or the name of an accelerator of the catalogue,
priced by an analytical model. A row's latency is that of the layer with all its calls, for the whole batch, in
milliseconds. Channel counts left out mean "as in the model". `layers` says what is known of the layers beside
their times: what they are, which names a runtime fused into them. Every mistake is reported, not only the first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, get_args

from costmodels.base import Source
from costmodels.errors import refuse

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 2
MAX_BYTES = 16 * 2**20
MAX_ROWS = 100_000
SOURCES: tuple[str, ...] = get_args(Source)
STATISTICS = ("median", "p10", "mean", "min", "p90", "unknown")
Role = Literal["layer", "other"]
Effect = Literal["skip", "gate", "compress", "none"]
Rule = Literal["parallel_max", "cluster_threshold"]


@dataclass(frozen=True, kw_only=True)
class ProfileRow:
    """One layer under one pattern (text form) at one shape. `latency_std_ms` is the spread of single runs.

    `dense_ms` is the dense time of the same campaign where it is not the layer's dense row: tables that were put
    together from several runs must not be divided by each other.
    """

    layer: str
    pattern: str = "dense"
    in_channels: int | None = None
    out_channels: int | None = None
    latency_ms: float
    latency_std_ms: float | None = None
    dense_ms: float | None = None
    energy_mj: float | None = None
    weight_bytes: float | None = None

    @property
    def key(self) -> tuple[str, str, int | None, int | None]:
        """What may stand only once in a profile."""
        return (self.layer, self.pattern, self.in_channels, self.out_channels)


@dataclass(frozen=True, kw_only=True)
class ProfileLayer:
    """What a file tells of one layer as the runtime executes it; None and () mean that it does not say.

    `role` is "other" for what multiplies no weights (pooling, reformatting, quantising): it is no layer a plan can
    touch, but its time passes. `members` are the names the runtime fused into this one, or other names of it.
    """

    name: str
    role: Role = "layer"
    op: str = ""  # conv1d, conv2d, linear, matmul, or the runtime's own word
    members: tuple[str, ...] = ()
    in_channels: int | None = None
    out_channels: int | None = None
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    groups: int | None = None
    input_size: tuple[int, ...] = ()
    output_size: tuple[int, ...] = ()
    positions: int | None = None  # output positions of one sample
    weights: int | None = None  # number of weights
    macs: int | None = None  # of one sample, all calls
    calls: int = 1


@dataclass(frozen=True, kw_only=True)
class ProfileFile:
    """A file the profile was made from."""

    name: str
    sha256: str
    format: str = ""


@dataclass(frozen=True, kw_only=True)
class Capability:
    """Which zeros the device turns into something, and on which layers; without any, only the rows speak.

    `effect`: skip saves time, gate saves energy, compress saves bytes, none is a stated no.
    """

    pattern: str  # unstructured, block, nm, channel
    effect: Effect = "skip"
    keep: int | None = None
    group: int | None = None
    rows: int | None = None
    cols: int | None = None
    ops: tuple[str, ...] = ()  # () means all
    min_sparsity: float = 0.0
    in_channels_multiple: int = 1
    out_channels_multiple: int = 1
    in_channels_min: int = 1
    out_channels_min: int = 1


@dataclass(frozen=True, kw_only=True)
class ProfileGroup:
    """Layers whose times do not simply add up.

    `parallel_max`: they run beside each other, only the slowest counts. `cluster_threshold`: the sparse kernels run
    only if, over all members together, at least `min_sparsity` of the weights are zero (XNNPACK); else all are dense.
    """

    rule: Rule
    members: tuple[str, ...]
    min_sparsity: float | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A cost record of one device at one batch size and precision.

    `network_latency_ms` is the whole dense model, measured; with it the overhead follows from the layer sum,
    else `overhead_ms` states it. `accelerator_digest` pins the catalogue entry the profile was made from.
    `dispatch` says whether the runtime picks the faster of the dense and the sparse kernel ("auto") or always runs
    the sparse one on sparse weights ("forced"). `parent` is the digest of the profile that this one corrects.
    """

    name: str
    device: str
    batch: int
    precision: str
    source: Source
    runtime: str = ""
    tool: str = ""
    tool_version: str = ""
    created: str = ""  # ISO 8601
    statistic: str = "unknown"
    runs: int | None = None
    warm_up_runs: int | None = None
    original_unit: str = ""  # ms, us, s, cycles
    clock_hz: float | None = None
    note: str = ""
    parent: str = ""
    accelerator: str | None = None
    accelerator_digest: str | None = None
    network_latency_ms: float | None = None
    network_latency_std_ms: float | None = None
    overhead_ms: float | None = None
    dispatch: Literal["auto", "forced"] = "auto"
    channel_multiple: int = 1  # the device rounds channel counts up to this
    files: tuple[ProfileFile, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    groups: tuple[ProfileGroup, ...] = ()
    layers: tuple[ProfileLayer, ...] = ()
    rows: tuple[ProfileRow, ...] = ()

    def __post_init__(self) -> None:
        from costmodels.profile_checks import problems
        from costmodels.profile_fields import shown

        refuse(f"profile {shown(self.name)}", problems(self))

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return sha256(canonical.encode()).hexdigest()

    @cached_property
    def rows_by_layer(self) -> Mapping[str, tuple[ProfileRow, ...]]:
        """The rows of each layer, layers in the order of the rows."""
        rows: dict[str, list[ProfileRow]] = {}
        for row in self.rows:
            rows.setdefault(row.layer, []).append(row)
        return {name: tuple(found) for name, found in rows.items()}

    @cached_property
    def described(self) -> tuple[ProfileLayer, ...]:
        """Every layer that has rows, in the order of the file: as `layers` describes it, else by its name alone."""
        known = {layer.name: layer for layer in self.layers}
        names = dict.fromkeys([*known, *(row.layer for row in self.rows)])
        return tuple(known.get(name) or ProfileLayer(name=name) for name in names)

    def to_json(self) -> dict[str, Any]:
        """JSON form; `from_json` is its inverse. What is at its default is left out."""
        from costmodels.profile_json import write_json

        return write_json(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Profile":
        """Inverse of `to_json`; documents of schema 1 are read too.

        Raises:
            ProfileError: another schema, unknown fields, wrong types or values; `problems` lists all of them.
        """
        from costmodels.profile_json import read_json

        return read_json(document)

    def to_csv(self) -> str:
        """A spreadsheet: `# key: value` lines, a header, one line a row. `from_csv` is its inverse."""
        from costmodels.profile_csv import write_csv

        return write_csv(self)

    @classmethod
    def from_csv(cls, text: str, header: Mapping[str, Any] | None = None) -> "Profile":
        """Read a spreadsheet; `header` gives what its `# key: value` lines leave out, and loses to them.

        Raises:
            ProfileError: `problems` lists every bad line by its number in the file.
        """
        from costmodels.profile_csv import read_csv

        return read_csv(text, header or {})

    def to_frame(self) -> "pd.DataFrame":
        """One tidy table, a line a row, in columns with units; `from_frame` is its inverse."""
        from costmodels.profile_frame import write_frame

        return write_frame(self)

    @classmethod
    def from_frame(cls, frame: "pd.DataFrame", header: Mapping[str, Any] | None = None) -> "Profile":
        """Read a tidy table; `header` gives what its `attrs` leave out.

        Raises:
            ProfileError: `problems` lists every bad line.
        """
        from costmodels.profile_frame import read_frame

        return read_frame(frame, header or {})

    @classmethod
    def from_bytes(cls, raw: bytes, header: Mapping[str, Any] | None = None) -> "Profile":
        """Read an uploaded file in our own form, JSON or CSV by its content; other tools': `costmodels.importers`.

        Raises:
            ProfileError: too large, not UTF-8, neither form, or wrong inside.
        """
        from costmodels.profile_json import read_bytes

        return read_bytes(raw, header or {})


PARTS = ("files", "capabilities", "groups", "layers", "rows")
HEADER_FIELDS = tuple(f.name for f in fields(Profile) if f.name not in PARTS)

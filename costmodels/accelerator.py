"""`Accelerator`: a named target as data, every number with its status and source; and the catalogue of them.

The entries are TOML files beside this module. A number that nobody could source is absent and named under
`unknown`; the models then leave its term out and never invent it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from importlib import resources
from math import isfinite
from typing import Any, Literal

from costmodels.errors import AcceleratorError
from pruning.layers import LayerSpec
from pruning.patterns import NM, Pattern, Unstructured

Status = Literal["published", "fitted", "recalled", "assumed"]
_STATUSES = ("published", "fitted", "recalled", "assumed")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number with where it comes from; `recalled` means nobody re-read the source."""

    value: float
    status: Status
    source: str

    def __post_init__(self) -> None:
        if not (isfinite(self.value) and self.value > 0):
            raise AcceleratorError(f"{self.value!r} is not a positive finite number")
        if self.status not in _STATUSES:
            raise AcceleratorError(f"status {self.status!r} is not one of {', '.join(_STATUSES)}")
        if not self.source.strip():
            raise AcceleratorError(f"the number {self.value!r} has no source")


@dataclass(frozen=True, kw_only=True)
class ZeroRule:
    """Which zeros a device turns into time, on which layers, and how much of the dense compute time is left.

    `unstructured`: density x imbalance. `nm`: `time_share`, for `keep` of `group` and whatever satisfies it.
    """

    pattern: Literal["unstructured", "nm"]
    precisions: tuple[str, ...]
    ops: tuple[str, ...] = ("conv1d", "conv2d", "linear")
    imbalance: Figure | None = None
    time_share: Figure | None = None
    keep: int = 0
    group: int = 0
    in_channels_multiple: int = 1
    out_channels_multiple: int = 1
    in_channels_min: int = 1
    out_channels_min: int = 1

    def __post_init__(self) -> None:
        figure = self.imbalance if self.pattern == "unstructured" else self.time_share
        if figure is None:
            raise AcceleratorError("an unstructured rule needs imbalance, an nm rule needs time_share")
        if self.pattern == "nm":
            NM(self.keep, self.group)

    def time_left(self, layer: LayerSpec, pattern: Pattern, precision: str) -> float | None:
        """Share of the dense compute time that is left, or None where the rule does not apply."""
        if precision not in self.precisions or not self._fits(layer):
            return None
        if self.pattern == "unstructured" and isinstance(pattern, Unstructured | NM):
            assert self.imbalance is not None
            return kept_share(layer, pattern) * self.imbalance.value
        if self.pattern == "nm" and isinstance(pattern, NM) and implies(pattern, NM(self.keep, self.group)):
            assert self.time_share is not None
            return self.time_share.value
        return None

    def _fits(self, layer: LayerSpec) -> bool:
        inputs = layer.in_channels // layer.groups
        return (
            layer.op in self.ops
            and inputs >= self.in_channels_min
            and layer.out_channels >= self.out_channels_min
            and inputs % self.in_channels_multiple == 0
            and layer.out_channels % self.out_channels_multiple == 0
        )


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """A target of the catalogue. Missing figures are None and explained in `unknown`."""

    name: str
    title: str
    device: str
    summary: str
    peak_macs_per_s: Mapping[str, Figure]  # by precision
    memory_bytes_per_s: Figure | None = None
    layer_overhead_ms: Figure | None = None
    channel_quantum: Figure | None = None  # input and output channels are processed in multiples of this
    zeros: tuple[ZeroRule, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        if not self.peak_macs_per_s:
            raise AcceleratorError(f"accelerator {self.name!r} states no peak_macs_per_s for any precision")
        for absent in ("memory_bytes_per_s", "layer_overhead_ms", "channel_quantum"):
            if getattr(self, absent) is None and absent not in self.unknown:
                raise AcceleratorError(
                    f"accelerator {self.name!r} has no {absent}: give it with a source, or say why under [unknown]"
                )

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions it can be priced at."""
        return tuple(sorted(self.peak_macs_per_s))

    def to_json(self) -> dict[str, Any]:
        """Everything about it, for people and pages."""
        return {**asdict(self), "precisions": list(self.precisions), "rewards": list(self.rewards())}

    def rewards(self) -> tuple[str, ...]:
        """What it turns into time, in words; every device rewards removed channels."""
        words = [f"keep{r.keep}of{r.group}" if r.pattern == "nm" else r.pattern for r in self.zeros]
        return ("channel", *dict.fromkeys(words))


def kept_share(layer: LayerSpec, pattern: Unstructured | NM) -> float:
    """Share of the weights that may be non-zero, a ragged tail counted as it is kept."""
    if isinstance(pattern, Unstructured):
        return pattern.density
    inputs = layer.in_channels // layer.groups
    full, tail = divmod(inputs, pattern.group)
    return (full * pattern.keep + min(pattern.keep, tail)) / inputs


def implies(strict: NM, loose: NM) -> bool:
    """Whether weights that satisfy `strict` always satisfy `loose` (keep1of4 satisfies keep2of4)."""
    if strict.group % loose.group == 0:
        return strict.keep <= loose.keep
    if loose.group % strict.group == 0:
        return strict.keep * (loose.group // strict.group) <= loose.keep
    return False


def names() -> tuple[str, ...]:
    """The catalogue, by name."""
    files = resources.files("costmodels").joinpath("accelerators").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


@cache
def load(name: str) -> Accelerator:
    """One entry of the catalogue.

    Raises:
        AcceleratorError: a name that is not in the catalogue, or an entry that is broken.
    """
    if name not in names():
        raise AcceleratorError(f"accelerator {name[:60]!r} is not in the catalogue: {', '.join(names())}")
    raw = resources.files("costmodels").joinpath("accelerators", f"{name}.toml").read_bytes()
    try:
        return from_toml(name, raw)
    except (TypeError, KeyError, tomllib.TOMLDecodeError) as error:
        raise AcceleratorError(f"catalogue entry {name!r} is broken: {error}") from error


def from_toml(name: str, raw: bytes) -> Accelerator:
    """Read an entry; its digest is that of the bytes."""
    fields: dict[str, Any] = tomllib.loads(raw.decode())
    for key in ("memory_bytes_per_s", "layer_overhead_ms", "channel_quantum"):
        if key in fields:
            fields[key] = Figure(**fields[key])
    fields["peak_macs_per_s"] = {p: Figure(**f) for p, f in fields["peak_macs_per_s"].items()}
    fields["zeros"] = tuple(_rule(rule) for rule in fields.get("zeros", ()))
    return Accelerator(name=name, digest=sha256(raw).hexdigest(), **fields)


def _rule(fields: Mapping[str, Any]) -> ZeroRule:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    for key in ("imbalance", "time_share"):
        if key in values:
            values[key] = Figure(**values[key])
    return ZeroRule(**values)

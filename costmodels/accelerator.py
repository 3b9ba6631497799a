"""`Accelerator`: a named target as data, every number with its status and source; and the catalogue of them.

The entries are TOML files beside this module. A number that nobody could source is absent and named under
`unknown`; the models then leave its term out and never invent it. `kind` says which model prices the entry: a
roofline (one memory), a systolic array, or the largest of several resources.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any, Literal, get_args

from costmodels.energy import Energy
from costmodels.errors import AcceleratorError
from costmodels.figures import Figure, with_figures
from costmodels.resources import Memory
from costmodels.storage import BITS
from costmodels.systolic import Array
from costmodels.zeros import ZeroRule

Kind = Literal["roofline", "systolic", "resources"]
_EXPECTED: Mapping[Kind, tuple[str, ...]] = {  # what an entry states, or explains under `unknown`
    "roofline": ("memory_bytes_per_s", "layer_overhead_ms", "in_channel_quantum", "out_channel_quantum", "energy"),
    "systolic": ("memory_bytes_per_s", "layer_overhead_ms", "energy"),
    "resources": ("layer_overhead_ms", "in_channel_quantum", "out_channel_quantum", "energy"),
}


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """A target of the catalogue. Missing figures are None and explained in `unknown`.

    `error` is the relative error to expect of a layer's price, where it is more than the 25 % that every price has.
    """

    name: str
    title: str
    device: str
    summary: str
    kind: Kind = "roofline"
    peak_macs_per_s: Mapping[str, Figure]  # by precision
    memory_bytes_per_s: Figure | None = None
    memories: Mapping[str, Memory] = field(default_factory=dict)  # resources only
    array: Array | None = None  # systolic only
    layer_overhead_ms: Figure | None = None
    in_channel_quantum: Figure | None = None  # channels are processed in multiples of these
    out_channel_quantum: Figure | None = None
    winograd: Figure | None = None  # times fewer multiply-adds in 3 x 3 convolutions of stride 1; resources only
    energy: Energy | None = None
    error: Figure | None = None
    zeros: tuple[ZeroRule, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise AcceleratorError(f"accelerator {self.name!r}: kind {self.kind!r} is not one of {get_args(Kind)}")
        if not self.peak_macs_per_s:
            raise AcceleratorError(f"accelerator {self.name!r} states no peak_macs_per_s for any precision")
        for precision in self.peak_macs_per_s:
            if precision not in BITS:
                raise AcceleratorError(
                    f"accelerator {self.name!r}: precision {precision!r} is not one of {', '.join(BITS)}"
                )
        if (self.kind == "systolic") != (self.array is not None) or (self.kind == "resources") != bool(self.memories):
            raise AcceleratorError(
                f"accelerator {self.name!r}: a systolic entry, and only it, has an array; a resources entry, and "
                "only it, has memories"
            )
        for absent in _EXPECTED[self.kind]:
            if getattr(self, absent) is None and absent not in self.unknown:
                raise AcceleratorError(
                    f"accelerator {self.name!r} has no {absent}: give it with a source, or say why under [unknown]"
                )

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions it can be priced at."""
        return tuple(sorted(self.peak_macs_per_s))

    @property
    def all_memories(self) -> Mapping[str, Memory]:
        """Its memories by name; the only one of a roofline or an array is `memory` and carries everything."""
        if self.memory_bytes_per_s is None:
            return self.memories
        return {"memory": Memory(bytes_per_s=self.memory_bytes_per_s)}

    def to_json(self) -> dict[str, Any]:
        """Everything about it, for people and pages."""
        return {**asdict(self), "precisions": list(self.precisions), "rewards": list(self.rewards())}

    def rewards(self) -> tuple[str, ...]:
        """What it turns into time, in words; every device rewards removed channels, gating saves energy alone."""
        return ("channel", *dict.fromkeys(rule.word for rule in self.zeros if rule.effect != "gate"))


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
    return from_toml(name, resources.files("costmodels").joinpath("accelerators", f"{name}.toml").read_bytes())


def from_toml(name: str, raw: bytes) -> Accelerator:
    """Read an entry; its digest is that of the bytes.

    Raises:
        AcceleratorError: names what is wrong with it.
    """
    try:
        fields: dict[str, Any] = with_figures(tomllib.loads(raw.decode()))
        fields["zeros"] = tuple(ZeroRule(**rule) for rule in fields.get("zeros", ()))
        fields["memories"] = {key: Memory(**memory) for key, memory in fields.get("memories", {}).items()}
        for key, made in (("array", Array), ("energy", Energy)):
            if key in fields:
                fields[key] = made(**fields[key])
        return Accelerator(name=name, digest=sha256(raw).hexdigest(), **fields)
    except AcceleratorError as error:
        raise AcceleratorError(f"catalogue entry {name!r}: {error}") from error
    except (TypeError, AttributeError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AcceleratorError(f"catalogue entry {name!r} is broken: {error}") from error

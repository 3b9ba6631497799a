"""`PruningPlan`: a pruner with its settings, one pattern per layer, and post-steps. Immutable, JSON, hashable."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar

from pruning import patterns
from pruning.errors import PlanError
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Channel, Dense, Pattern


@dataclass(frozen=True, kw_only=True)
class Int8:
    """Post-step: symmetric 8-bit weights with one scale per output channel."""

    kind: ClassVar[str] = "int8"

    def to_json(self) -> dict[str, Any]:
        """`{"kind": "int8"}`."""
        return {"kind": self.kind}


@dataclass(frozen=True, kw_only=True)
class DKM:
    """Post-step: each run of `dim` weights becomes one of 2 ** bits entries of the layer's palette."""

    bits: int = 4
    dim: int = 1
    kind: ClassVar[str] = "dkm"

    def __post_init__(self) -> None:
        for name, value, most in (("bits", self.bits, 8), ("dim", self.dim, 16)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise PlanError(f"post-step dkm: {name} is {str(value)[:40]!r}, not a whole number in 1 ... {most}")

    def to_json(self) -> dict[str, Any]:
        """`{"kind": "dkm", "bits": 4, "dim": 1}`."""
        return {"kind": self.kind, "bits": self.bits, "dim": self.dim}


PostStep = Int8 | DKM  # what is done to the weights after pruning
_POST_STEPS: dict[str, type[Int8] | type[DKM]] = {"int8": Int8, "dkm": DKM}


def post_step(document: Mapping[str, Any]) -> PostStep:
    """Inverse of a post-step's `to_json`.

    Raises:
        PlanError: an unknown kind, or fields it does not have.
    """
    fields = {key: value for key, value in document.items() if key != "kind"}
    kind = _POST_STEPS.get(str(document.get("kind")))
    if kind is None:
        raise PlanError(f"there is no post-step {str(document.get('kind'))[:40]!r}; there are {sorted(_POST_STEPS)}")
    if unknown := sorted(set(fields) - set(kind.__dataclass_fields__)):
        raise PlanError(f"post-step {kind.kind!r} has no field {str(unknown[0])[:40]!r}")
    return kind(**fields)


def check_post(steps: Sequence[PostStep]) -> None:
    """Raises PlanError if there are several steps."""
    if len(steps) > 1:
        kinds = " and ".join(step.kind for step in steps)
        raise PlanError(f"post-steps {kinds} each say how weights are stored: give one of them")


@dataclass(frozen=True, kw_only=True)
class PruningPlan:
    """Which pruner, with which settings, puts which pattern on which layer; a layer not named stays dense.

    `post` says how the weights are stored afterwards; at most one step.
    """

    pruner: str
    settings: Mapping[str, float] = field(default_factory=dict)
    patterns: Mapping[str, Pattern] = field(default_factory=dict)
    post: tuple[PostStep, ...] = ()

    def __post_init__(self) -> None:
        check_post(self.post)

    def pattern(self, layer: str) -> Pattern:
        """The pattern of a layer, `Dense()` where the plan is silent."""
        return self.patterns.get(layer, Dense())

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        return sha256(self._canonical().encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self._canonical())

    def _canonical(self) -> str:
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))

    def to_json(self) -> dict[str, Any]:
        """JSON form; `from_json` is its inverse. Dense layers are left out, and so is `post` if it is empty."""
        shown = {name: patterns.to_json(p) for name, p in sorted(self.patterns.items()) if p != Dense()}
        document = {"pruner": self.pruner, "settings": dict(sorted(self.settings.items())), "patterns": shown}
        return document | ({"post": [step.to_json() for step in self.post]} if self.post else {})

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "PruningPlan":
        """Inverse of `to_json`; raises PatternError on a broken pattern, PlanError on a broken post-step."""
        return cls(
            pruner=document["pruner"],
            settings=dict(document["settings"]),
            patterns={name: patterns.from_json(p) for name, p in document["patterns"].items()},
            post=tuple(post_step(step) for step in document.get("post", ())),
        )

    def kept_channels(self, model: ModelSpec) -> dict[str, int]:
        """Channels left in each group that the plan cuts.

        Raises:
            PlanError: an unknown layer, a channel pattern on a layer whose channels cannot go, or two
                producers of one group that disagree.
        """
        names = {layer.name for layer in model.layers}
        if unknown := sorted(set(self.patterns) - names):
            raise PlanError(f"layer {unknown[0]!r} is not in the model, whose layers are {sorted(names)[:8]} ...")
        kept: dict[str, int] = {}
        for name, pattern in self.patterns.items():
            if not isinstance(pattern, Channel):
                continue
            family = model.family_of(name)
            if not family:
                held = next((g for g in model.groups if name in g.producers), None)
                why = held.reason if held else "its channels belong to no group"
                raise PlanError(f"layer {name!r} cannot lose channels: {why}; use another pattern for it")
            producers = dict.fromkeys(p for group in family for p in group.producers)
            odd = next((p for p in producers if self.pattern(p) != pattern), None)
            if odd is not None:
                raise PlanError(
                    f"layers {name!r} and {odd!r} share channels of group {family[0].name!r} but ask for "
                    f"{pattern} and {self.pattern(odd)}; give all of {list(producers)} the same pattern"
                )
            kept |= {group.name: pattern.kept(group.channels) for group in family}
        return kept

    def shrunk(self, model: ModelSpec) -> tuple[LayerSpec, ...]:
        """The model's layers with the channels this plan removes gone (sparsity patterns change no shape)."""
        return model.shrunk(self.kept_channels(model))

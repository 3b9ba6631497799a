"""`PruningPlan`: a pruner with its settings, and one pattern per layer. Immutable, JSON, hashable."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pruning import patterns
from pruning.errors import PlanError
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Channel, Dense, Pattern


@dataclass(frozen=True, kw_only=True)
class PruningPlan:
    """Which pruner, with which settings, puts which pattern on which layer; a layer not named stays dense."""

    pruner: str
    settings: Mapping[str, float] = field(default_factory=dict)
    patterns: Mapping[str, Pattern] = field(default_factory=dict)

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
        """JSON form; `from_json` is its inverse. Dense layers are left out."""
        shown = {name: patterns.to_json(p) for name, p in sorted(self.patterns.items()) if p != Dense()}
        return {"pruner": self.pruner, "settings": dict(sorted(self.settings.items())), "patterns": shown}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "PruningPlan":
        """Inverse of `to_json`; raises PatternError on a broken pattern."""
        return cls(
            pruner=document["pruner"],
            settings=dict(document["settings"]),
            patterns={name: patterns.from_json(p) for name, p in document["patterns"].items()},
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
            group = model.group_of(name)
            if group is None:
                held = next((g for g in model.groups if name in g.producers), None)
                why = held.reason if held else "its channels belong to no group"
                raise PlanError(f"layer {name!r} cannot lose channels: {why}; use another pattern for it")
            odd = next((p for p in group.producers if self.pattern(p) != pattern), None)
            if odd is not None:
                raise PlanError(
                    f"layers {name!r} and {odd!r} share the channels of group {group.name!r} but ask for "
                    f"{pattern} and {self.pattern(odd)}; give all of {list(group.producers)} the same pattern"
                )
            kept[group.name] = pattern.kept(group.channels)
        return kept

    def shrunk(self, model: ModelSpec) -> tuple[LayerSpec, ...]:
        """The model's layers with the channels this plan removes gone (sparsity patterns change no shape)."""
        return model.shrunk(self.kept_channels(model))

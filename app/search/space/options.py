"""What a search may choose from: `Option`, `Unit`, `Space`. Values only; `space.space` builds them.

- A **unit** is decided by itself. There is one for every removable channel group (it decides all layers that
  produce those channels) and one for every other layer. Every layer of the model is in exactly one unit.
- `options[0]` of a unit is dense. Every other option is elementary, so that it can be scored alone: it puts
  one pattern on one layer (an **own** option), or `Channel` on all layers of the unit at once (a **joint**
  option).
- A **choice** for a unit is an option index, or a tuple of them with no layer in common: 0 is dense, 3 one
  option, `(3, 12)` an own option of each of two layers. A joint option stands alone. A unit of one layer (the
  usual case: residual blocks) takes exactly one index; `Unit.combinable` says whether there is more to
  combine.
- A choice for the whole space is a sequence with one entry a unit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pruning import patterns
from pruning.patterns import Pattern
from pruning.plan import PruningPlan

Choice = int | Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Option:
    """One elementary thing that can be done to a unit; no patterns means dense."""

    unit: str
    name: str
    patterns: Mapping[str, Pattern]  # layer -> pattern

    def to_json(self) -> dict[str, Any]:
        """`{layer: pattern}`, the form in which options are scored; empty for dense."""
        return {layer: patterns.to_json(pattern) for layer, pattern in self.patterns.items()}


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Layers that are decided together, and the options for them; the first option is dense."""

    name: str
    layers: tuple[str, ...]
    options: tuple[Option, ...]

    @property
    def joint(self) -> tuple[int, ...]:
        """Indices of the options that decide all layers at once; () for a unit of one layer."""
        if len(self.layers) == 1:
            return ()
        return tuple(i for i, option in enumerate(self.options) if len(option.patterns) > 1)

    def own(self, layer: str) -> tuple[int, ...]:
        """Indices of the options that decide that layer alone, dense (0) first."""
        return (0, *(i for i, option in enumerate(self.options) if set(option.patterns) == {layer}))

    @property
    def combinable(self) -> bool:
        """Whether own options of several layers can be combined."""
        return sum(len(self.own(layer)) > 1 for layer in self.layers) > 1

    def patterns(self, choice: Choice) -> dict[str, Pattern]:
        """The patterns of a choice; ValueError where two of its options decide the same layer."""
        chosen: dict[str, Pattern] = {}
        for index in _indices(choice):
            for layer, pattern in self.options[index].patterns.items():
                if layer in chosen:
                    raise ValueError(f"choice {choice!r} of unit {self.name!r} decides layer {layer!r} twice")
                chosen[layer] = pattern
        return chosen


@dataclass(frozen=True, kw_only=True)
class DroppedOption:
    """An option that was left out, and why. `pattern` is its text form, or a kind where all of it is out."""

    layer: str
    pattern: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Space:
    """Everything a search may choose from, and what it may not, with reasons."""

    units: tuple[Unit, ...]
    dropped: tuple[DroppedOption, ...] = ()

    def patterns(self, choices: Sequence[Choice]) -> dict[str, Pattern]:
        """The patterns of one choice a unit, dense layers left out."""
        chosen: dict[str, Pattern] = {}
        for unit, choice in zip(self.units, choices, strict=True):
            chosen.update(unit.patterns(choice))
        return chosen

    def plan(self, choices: Sequence[Choice], pruner: str, settings: Mapping[str, float] | None = None) -> PruningPlan:
        """The plan of one choice a unit."""
        return PruningPlan(pruner=pruner, settings=settings or {}, patterns=self.patterns(choices))

    def to_json(self) -> dict[str, Any]:
        """For the store and for people: names of units and options, and what was dropped."""
        return {
            "units": [
                {"name": u.name, "layers": list(u.layers), "options": [o.name for o in u.options]} for u in self.units
            ],
            "dropped": [vars(option) for option in self.dropped],
        }


def _indices(choice: Choice) -> Sequence[int]:
    return (choice,) if isinstance(choice, int) else choice

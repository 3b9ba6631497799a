"""The few coordinates a sampler moves in: how far to trust the error table where, and how to prune.

Black-box search over one variable a layer loses to a uniform sweep; so a sampler proposes *how to solve* instead: a
coefficient for the errors of every group of layers (a third of the depth × a kind of layer) and of every pattern, how
sharply errors count, the pruner and its settings, and what the spec lets vary of the recovery. The solver turns them
into a plan (`app.search.proposals.decode`). Where on the latency axis a trial looks is no matter of taste and not the
sampler's: see `app.search.proposals.schedule`.

Errors that were measured one layer at a time are too hopeful together: under their plain sum a strongly pruned plan
ruins the few layers whose error has saturated. So what is minimised is a p-norm, sum e^p: p = 1 is the sum (SPDY), and
large p the worst layer alone (FastNAS's threshold). On ResNet-20 (validation images, 40 recovery steps) p = 2 was
nowhere worse than 1 and far better below a third of dense latency; that is one network.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import exp, prod
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from app.search.proposals.terrain import Floats, Terrain
from app.search.pruners import REFUSES, SOLVERS, PrunerName
from app.search.space.options import Option
from app.search.spec import SearchSpec, Vary
from pruning.layers import LayerSpec, ModelSpec

SHARPNESS = (1.0, 4.0)  # p
USUAL_SHARPNESS = 2.0
_SPAN = 1.5  # errors may be trusted up to e^1.5 = 4.5 times more or less
_STAGES = ("early", "middle", "late")


@dataclass(frozen=True)
class Knob:
    """A setting of a pruner or of the recovery that is worth searching, with its usual value."""

    name: str
    low: float
    high: float
    usual: float
    log: bool


KNOBS: Mapping[str, tuple[Knob, ...]] = {
    "pdp": (
        Knob("tau", 0.005, 0.5, 0.1, log=True),  # of t²; channels, whose norms lie close together, want the lower end
        Knob("ramp", 0.02, 0.4, 0.1, log=True),  # the paper's ε, an epoch's growth of sparsity, is its inverse
    ),
}

RECOVERY_KNOBS: Mapping[Vary, Knob] = {  # factors on what the spec, or the model's default, says
    "learning_rate": Knob("learning_rate", 0.25, 4.0, 1.0, log=True),
    "steps": Knob("steps", 0.25, 1.0, 1.0, log=True),  # what the spec says is the most
}


def distributions(spec: SearchSpec, model: ModelSpec) -> dict[str, BaseDistribution]:
    """What a trial may vary, by name; the same set in every trial of a search."""
    found: dict[str, BaseDistribution] = {
        "band": FloatDistribution(0.0, 1.0),
        "sharpness": FloatDistribution(*SHARPNESS, log=True),
    }
    if len(spec.profiles) > 1:
        found["device"] = CategoricalDistribution(spec.profiles)
    # a factor on all errors changes nothing, so the first of the groups and of the patterns has none
    groups = list(dict.fromkeys(group_of(model).values()))
    for name in (*groups[1:], *spec.patterns[1:]):
        found[f"trust_{name}"] = FloatDistribution(-1.0, 1.0)
    return found | pruning_distributions(spec)


def pruning_distributions(spec: SearchSpec) -> dict[str, BaseDistribution]:
    """The part of the coordinates that says how a plan is pruned, whatever the plan."""
    found: dict[str, BaseDistribution] = {}
    pruners = pruners_of(spec)
    if len(pruners) > 1:
        found["pruner"] = CategoricalDistribution(pruners)
    if spec.recovery.steps:
        for knob in _knobs(spec):
            found[knob.name] = FloatDistribution(knob.low, knob.high, log=knob.log)
    return found


def pruners_of(spec: SearchSpec) -> tuple[PrunerName, ...]:
    """The pruners that can differ: without recovery one is enough of those that learn in it; solvers need none."""
    if spec.recovery.steps:
        return spec.pruners
    learning = [pruner for pruner in spec.pruners if pruner not in SOLVERS]
    able = min(learning, key=lambda pruner: len(REFUSES.get(pruner, ())), default=None)
    return tuple(pruner for pruner in spec.pruners if pruner in SOLVERS or pruner == able)


def neutral(terrain: Terrain, *, device: str, band: float, pruner: str) -> dict[str, Any]:
    """Coordinates that trust the error table alike everywhere."""
    fixed = {"device": device, "band": band, "pruner": pruner, "sharpness": USUAL_SHARPNESS}
    usual = {knob.name: knob.usual for knob in _knobs(terrain.spec)}
    known = distributions(terrain.spec, terrain.prices.model)
    return {name: {**usual, **fixed}.get(name, 0.0) for name in known}


def pruning_of(coordinates: Mapping[str, Any], spec: SearchSpec) -> tuple[str, dict[str, float]]:
    """The pruner and its settings; three digits say all there is to say of a setting."""
    pruner = str(coordinates.get("pruner", pruners_of(spec)[0]))
    knobs = [knob.name for knob in KNOBS.get(pruner, ()) if knob.name in coordinates]
    return pruner, {name: float(f"{coordinates[name]:.3g}") for name in knobs}


def trusted(coordinates: Mapping[str, Any], terrain: Terrain) -> list[Floats]:
    """The error table under these coordinates: each error times e^(1.5 x |x|), x over group and pattern, to the p.

    Without a sharpness, as from another version's trials, p is 1.
    """
    sharpness = coordinates.get("sharpness", 1.0)
    group = group_of(terrain.prices.model)
    found = []
    for unit, errors in zip(terrain.prices.space.units, terrain.errors, strict=True):
        here = _power(coordinates.get(f"trust_{group[unit.layers[0]]}", 0.0))
        factors = [exp(here + _power(coordinates.get(f"trust_{_kind(option)}", 0.0))) for option in unit.options]
        found.append((errors * np.array(factors)) ** sharpness)
    return found


def group_of(model: ModelSpec) -> dict[str, str]:
    """Layer -> its group: a third of the depth and a kind of layer, such as `early_conv`."""
    count = len(model.layers)
    return {
        layer.name: f"{_STAGES[min(3 * index // count, 2)]}_{_layer_kind(layer)}"
        for index, layer in enumerate(model.layers)
    }


def _knobs(spec: SearchSpec) -> Iterator[Knob]:
    for pruner in pruners_of(spec):
        yield from KNOBS.get(pruner, ())
    yield from (RECOVERY_KNOBS[name] for name in spec.vary)


def _power(x: float) -> float:
    """From [-1, 1] to a power of e; quadratic, so that most draws stay near the table and some go far."""
    return _SPAN * x * abs(x)


def _layer_kind(layer: LayerSpec) -> str:
    if layer.depthwise:
        return "depthwise"
    if layer.op == "linear":
        return "linear"
    return "pointwise" if prod(layer.kernel) == 1 else "conv"


def _kind(option: Option) -> str:
    return next((pattern.kind for pattern in option.patterns.values()), "dense")

"""A submission's `Recovery` as what `pruning.recover` takes: what was left open is chosen for the model.

With optimizer "auto", networks normalised by layers (transformers, ConvNeXt) train with AdamW, all others with SGD
and Nesterov momentum. The rates and decays were tried on four tasks: `python -m benchmarks.reference` shows what they
reach without tuning. `learning_rate` and `weight_decay`, where given, replace them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from app.search.spec import SearchSpec
from pruning.distil import Distillation
from pruning.intake.document import GraphDocument
from pruning.recover import RecoveryConfig


@dataclass(frozen=True, kw_only=True)
class Default:
    """What a recovery trains with if nobody says otherwise."""

    learning_rate: float
    weight_decay: float


DEFAULTS = {
    "sgd": Default(learning_rate=0.02, weight_decay=5e-4),
    "adam": Default(learning_rate=5e-4, weight_decay=0.0),  # Adam's decay would be scaled by its moments
    "adamw": Default(learning_rate=5e-4, weight_decay=0.01),
}


def recovery_config(
    spec: SearchSpec,
    steps: int,
    document: GraphDocument,
    judged: Callable[[Any], Tensor],
    learning_rate_factor: float = 1.0,
) -> RecoveryConfig:
    """The config of a recovery of `steps` updates.

    Args:
        spec: the search.
        steps: how many updates; a rung has fewer than the search's last, and so has a trial whose steps vary.
        document: the graph that is trained.
        judged: the tensor among a model's answers that is judged, and distilled.
        learning_rate_factor: on the rate that was given or chosen.
    """
    asked = spec.recovery
    optimizer = chosen(document) if asked.optimizer == "auto" else asked.optimizer
    default = DEFAULTS[optimizer]
    rate = default.learning_rate if asked.learning_rate is None else asked.learning_rate
    distil = None
    if asked.distil:
        distil = Distillation(weight=asked.distil, temperature=asked.temperature, logits=judged)
    return RecoveryConfig(
        steps=steps,
        optimizer=optimizer,
        schedule=asked.schedule,
        learning_rate=learning_rate_factor * rate,
        weight_decay=default.weight_decay if asked.weight_decay is None else asked.weight_decay,
        accumulate=asked.accumulate,
        amp=asked.amp,
        distil=distil,
    )


def chosen(document: GraphDocument) -> str:
    """The optimizer that "auto" means for a network."""
    ops = {node.op for node in document.nodes}
    by_layer = any("layer_norm" in op for op in ops)
    return "adamw" if by_layer and not any("batch_norm" in op for op in ops) else "sgd"

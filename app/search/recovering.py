"""A submission's `Recovery` as what `pruning.recover` takes: what was left open is chosen for the model."""

from app.search.spec import SearchSpec
from pruning.recover import RecoveryConfig

_SGD_RATE, _SGD_DECAY = 0.02, 5e-4


def recovery_config(spec: SearchSpec, steps: int) -> RecoveryConfig:
    """The config of a recovery of `steps` updates."""
    asked = spec.recovery
    return RecoveryConfig(
        steps=steps,
        learning_rate=_SGD_RATE if asked.learning_rate is None else asked.learning_rate,
        weight_decay=_SGD_DECAY if asked.weight_decay is None else asked.weight_decay,
    )

"""How a recovery trains: everything but the model, the data, the loss and the seed."""

import math
from dataclasses import dataclass, fields
from typing import Any

from pruning.distil import Distillation
from pruning.early_stop import EarlyStop
from pruning.errors import RecoveryError
from pruning.optimise import OPTIMIZERS, SCHEDULES, OptimizerFactory, Schedule
from pruning.precision import AMP

_LIMITS: dict[str, tuple[float, float]] = {
    "steps": (0, 10**9),
    "learning_rate": (1e-12, 1e3),
    "momentum": (1e-6, 1.0),
    "weight_decay": (0.0, 1.0),
    "warm_up": (0.0, 1.0),
    "final_learning_rate": (0.0, 1.0),
    "clip_norm": (1e-9, 1e9),
    "accumulate": (1, 10**6),
}


@dataclass(frozen=True, kw_only=True)
class RecoveryConfig:
    """By default SGD with Nesterov momentum; the rate rises for `warm_up` of the steps, then falls as a cosine.

    Weight decay spares biases and norms, as every parameter with fewer than two dimensions; gradients are
    clipped to `clip_norm` together, masks' own scores apart. `momentum` is β₁ of "adam" and "adamw", whose rate
    should be some hundred times smaller. An optimiser may be given as a function of parameter groups (with their
    `lr` and `weight_decay`) whose `step()` needs no closure; a schedule as a function of the step, counted from 0,
    that the learning rate is multiplied by, in place of rise and fall. A step takes `accumulate` batches.
    """

    steps: int = 200
    learning_rate: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.1
    final_learning_rate: float = 0.01  # as a share of `learning_rate`
    clip_norm: float = 1.0
    optimizer: str | OptimizerFactory = "sgd"
    schedule: str | Schedule = "cosine"
    amp: str = "off"
    channels_last: bool = False
    accumulate: int = 1
    distil: Distillation | None = None
    early_stop: EarlyStop | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise RecoveryError(f"recovery {name} {value!r} is outside {low:g} ... {high:g}")
        for name, known in {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "amp": AMP}.items():
            value = getattr(self, name)
            if value not in known and not (callable(value) and name != "amp"):
                raise RecoveryError(f"there is no recovery {name} {str(value)[:40]!r}; there are {sorted(known)}")

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0.

        Raises:
            RecoveryError: a given schedule answers with something that is no factor.
        """
        if not isinstance(self.schedule, str):
            factor = self.schedule(step)
            if not 0.0 <= factor < math.inf:
                raise RecoveryError(f"the schedule gives {factor!r} at step {step}: give a factor of 0 or more")
            return self.learning_rate * factor
        rising = round(self.warm_up * self.steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        fall = SCHEDULES[self.schedule]((step - rising) / max(1, self.steps - 1 - rising))
        return self.learning_rate * (self.final_learning_rate + (1 - self.final_learning_rate) * fall)

    def to_json(self) -> dict[str, Any]:
        """Numbers and names, to compare configs by; functions and models are only said to be there."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Distillation | EarlyStop):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value if isinstance(value, bool | int | float | str | None) else "given"

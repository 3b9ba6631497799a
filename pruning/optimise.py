"""Optimisers and learning rates of a recovery, by name or given; and forgetting the moments of erased weights."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from pruning.errors import RecoveryError
from pruning.masked import erased, score_parameters

Group = dict[str, Any]  # params, lr, weight_decay, and the `multiplier` of its learning rate
OptimizerFactory = Callable[[list[Group]], Optimizer]
Schedule = Callable[[int], float]  # of a step, counted from 0

# The config's momentum is Adam's β₁.
OPTIMIZERS: Mapping[str, Callable[[list[Group], float], Optimizer]] = {
    "sgd": lambda groups, momentum: torch.optim.SGD(groups, momentum=momentum, nesterov=True),
    "adam": lambda groups, momentum: torch.optim.Adam(groups, betas=(momentum, 0.999)),
    "adamw": lambda groups, momentum: torch.optim.AdamW(groups, betas=(momentum, 0.999)),
}
# How much of the way from the highest to the final rate is left, after a share of the steps in [0, 1].
SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "cosine": lambda x: 0.5 + 0.5 * math.cos(math.pi * x),
    "linear": lambda x: 1.0 - x,
    "constant": lambda x: 1.0,  # noqa: ARG005
}


def parameter_groups(model: nn.Module, learning_rate: float, weight_decay: float) -> list[Group]:
    """Two groups, decayed and not, then one for each of the masks' own scores.

    Raises:
        RecoveryError: nothing but scores to train.
    """
    scores = score_parameters(model)
    own = {id(p) for p, _ in scores}
    trained = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
    if not trained:
        raise RecoveryError("the model has no trainable parameters: nothing can be recovered")
    groups: list[Group] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay, "multiplier": 1.0},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0, "multiplier": 1.0},
        *({"params": [p], "weight_decay": 0.0, "multiplier": multiplier} for p, multiplier in scores),
    ]
    return [{**group, "lr": learning_rate * group["multiplier"]} for group in groups]


def make_optimizer(kind: str | OptimizerFactory, groups: list[Group], momentum: float) -> Optimizer:
    """The optimiser over these groups.

    Raises:
        RecoveryError: a factory that made something else, or left groups out.
    """
    if isinstance(kind, str):
        return OPTIMIZERS[kind](groups, momentum)
    made = kind(groups)
    if not isinstance(made, Optimizer):
        raise RecoveryError(f"the optimizer factory made {type(made).__name__}, not a torch.optim.Optimizer")
    if [len(group["params"]) for group in made.param_groups] != [len(group["params"]) for group in groups]:
        raise RecoveryError("the optimizer factory changed the parameter groups: pass them on as they are")
    return made


@torch.no_grad()
def forget_erased(optimizer: Optimizer, model: nn.Module) -> None:
    """Zero the moments of stored weights that the last advance erased: they come back as if new."""
    for weight, where in erased(model):
        for moment in optimizer.state.get(weight, {}).values():
            if isinstance(moment, torch.Tensor) and moment.shape == weight.shape:
                moment.mul_(where)

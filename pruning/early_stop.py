"""Stopping once a score has ceased to rise.

Only once every mask is binary: before, sparsity still grows, and scores are of different models. The weights stay
those of the last step, not of the best one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import nn

from pruning.errors import RecoveryError
from pruning.masked import pruners


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """Take `score(model)`, larger is better, `every` so many steps; stop once `patience` in a row are no better.

    Better is by more than `least`. The model is in evaluation mode meanwhile, without gradients.
    """

    score: Callable[[nn.Module], float]
    every: int = 50
    patience: int = 5
    least: float = 0.0

    def __post_init__(self) -> None:
        if self.every < 1 or self.patience < 1:
            raise RecoveryError(f"early stop needs every and patience of 1 or more, not {self.every}, {self.patience}")
        if not 0.0 <= self.least < inf:
            raise RecoveryError(f"early stop least {self.least!r} is no improvement: try 0")


class Stopper:
    """How far an early stop has come."""

    def __init__(self, rule: EarlyStop | None) -> None:
        self.rule = rule
        self.best = -inf
        self.best_step = 0
        self.waited = 0
        self.stopped = ""  # the reason, once there is one

    def look(self, model: nn.Module, step: int) -> float | None:
        """The score after a step, counted from 1, where it is due; `stopped` may be set."""
        rule = self.rule
        if rule is None or step % rule.every or any(pruner.fixed is None for pruner in pruners(model)):
            return None
        score = _scored(model, rule.score)
        if score > self.best + rule.least:
            self.best, self.best_step, self.waited = score, step, 0
        else:
            self.waited += 1
        if self.waited >= rule.patience:
            self.stopped = f"no score above {self.best:.6g}, that of step {self.best_step}, in {self.waited} looks"
        return score

    def to_json(self) -> dict[str, Any]:
        """Numbers for a checkpoint."""
        return {"best": self.best, "best_step": self.best_step, "waited": self.waited, "stopped": self.stopped}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `to_json`."""
        self.best, self.best_step = float(state["best"]), int(state["best_step"])
        self.waited, self.stopped = int(state["waited"]), str(state["stopped"])


@torch.no_grad()
def _scored(model: nn.Module, score: Callable[[nn.Module], float]) -> float:
    modes = {module: module.training for module in model.modules()}
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    model.eval()
    try:
        with torch.random.fork_rng(devices=devices):
            return float(score(model))
    finally:
        for module, training in modes.items():
            module.training = training

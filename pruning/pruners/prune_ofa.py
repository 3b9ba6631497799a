"""Prune Once for All, downstream (Zafrir et al. 2021, arXiv 2111.05754).

A model pruned in pre-training is made once and fine-tuned for every task with its zeros locked, under distillation.
The first half is another pruner's, over pre-training (the authors': GMP to 0.9 of the encoder's weights); this one
locks the weights' own zeros at once; distillation is the training loop's.

The weights should already be zero where the pattern has zeros. What is not is cut like magnitude pruning would; it
is warned about, and refused above `tolerance`. Weights sparser than the plan keep the zeros it asks for; the others
may train. Recipe as in the authors' code; the paper's own text was not at hand.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.errors import PlanError
from pruning.importance import widened
from pruning.pruners import base


@dataclass(frozen=True, kw_only=True)
class PruneOFASettings(base.Settings):
    """`tolerance` is the share of a layer's norm that may lie where zeros belong: 0 is the recipe, 1 allows all."""

    tolerance: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.tolerance <= 1.0:
            raise PlanError(f"prune_ofa setting tolerance {self.tolerance!r} is outside 0 ... 1")


class PruneOFA(base.Pruner):
    """m = 0 where the weights are zero as they come, fixed from the start."""

    name = "prune_ofa"
    paper = "Zafrir et al. 2021, arXiv 2111.05754"
    Settings = PruneOFASettings
    settings: PruneOFASettings

    def soft(self, table: Tensor) -> Tensor:
        """Everything: before it is locked there is no mask, so `gap` is what locking cut."""
        return torch.ones_like(table)

    def settle(self, values: Tensor, hard: Tensor) -> Tensor:
        """The lock.

        Raises:
            PlanError: weights that are not sparse as the pattern asks.
        """
        outside, whole = (widened(values) * ~hard).norm(), widened(values).norm()
        if outside > self.settings.tolerance * whole:
            raise PlanError(
                f"prune_ofa locks the zeros of weights that are sparse already, but {float(outside / whole):.1%} of "
                f"the norm of these lies outside {self.pattern}: prune them first, plan less, or raise tolerance"
            )
        return hard

    @property
    def warnings(self) -> tuple[str, ...]:
        """Says when the weights were not sparse as the pattern asks."""
        if not self.gap:
            return ()
        return (
            f"the weights were not as sparse as the plan, and locking changed them by {self.gap:.0%}, as magnitude "
            "pruning would: prune_ofa is for models that were pruned in pre-training",
        )

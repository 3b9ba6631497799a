"""Movement pruning, hard and soft (Sanh, Wolf, Rush, NeurIPS 2020, arXiv 2005.07683).

A score S for each weight, trained straight through the mask: dL/dS = g W, so scores fall while a weight moves
towards zero, however large it is; dL/dW = g m. Hard: m is the best share v of S, and v falls by the cubic of GMP.
Soft: m = [σ(S) > τ], where τ rises by that cubic from 0, and so does the weight of a term λ mean σ(S) of the loss.

The hard mask asks only for the order of S, so the learning rate of S is without effect. In the soft one it decides.
The authors use Adam at 1e-2, beside 3e-5 for the weights; under plain gradients the mean over n scores would leave
those of large layers where they are. So here both terms of the soft gradient are times n, which Adam would not
notice: n g W + λ σ'(S). The soft mask cannot be asked for a sparsity: it never falls below what the hard one keeps by
then, where the authors keep 0.5 % of a matrix, and is cut to the plan's count when it hardens. Schedules as in the
authors' code; the paper's own text was not at hand. Theirs averages the penalty over layers; here λ is every layer's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.errors import PlanError
from pruning.pruners import base
from pruning.pruners.learned import Scored, Thresholded
from pruning.pruners.ramps import cubic


@dataclass(frozen=True, kw_only=True)
class MovementSettings(base.Settings):
    """The cubic runs from `begin` to `end`, shares of the recovery; masks are fixed at `harden`.

    On SQuAD the authors have about 0.1 and 0.8, and masks move to the end.
    """

    begin: float = 0.1
    end: float = 0.6
    harden: float = 0.8

    def __post_init__(self) -> None:
        if not 0.0 <= self.begin < self.end <= self.harden <= 1.0:
            raise PlanError(
                f"movement needs 0 <= begin < end <= harden <= 1, not {self.begin!r}, {self.end!r} and {self.harden!r}"
            )


@dataclass(frozen=True, kw_only=True)
class SoftMovementSettings(MovementSettings):
    """`threshold` is the last τ, 0.1 in the paper; `penalty` the last λ, 400 there, averaged over layers.

    Where λ is too small for the scores to fall below τ in time, hardening does what the method should have done; where
    it is too large, it levels the scores and masks flip. Of 10, 100, 400 and 2000, 100 was the best choice for both
    90 % and 95 %, on validation images of the digits. The mask is fixed earlier than the hard one, and the rest of the
    recovery makes up for what hardening did.
    """

    end: float = 0.5
    harden: float = 0.6
    threshold: float = 0.1
    penalty: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.threshold < 0.5:
            raise PlanError(
                f"movement-soft setting threshold {self.threshold!r} is not between 0 and 0.5, where scores start"
            )
        if not 0.0 <= self.penalty <= 1e6:
            raise PlanError(f"movement-soft setting penalty {self.penalty!r} is outside 0 ... 1e6: try 100")


class Movement(Scored):
    """m = 1 for the best S of each row, as many as the cubic schedule allows by now."""

    name = "movement"
    paper = "Sanh, Wolf, Rush 2020, arXiv 2005.07683"
    cost = "a selection among the scores of each layer, every step"
    Settings = MovementSettings
    settings: MovementSettings

    @property
    def hardens_at(self) -> float:
        """Set by `harden`."""
        return self.settings.harden

    def share(self) -> float:
        """The cubic."""
        return cubic(self.progress, self.settings.begin, self.settings.end)

    def soft(self, table: Tensor) -> Tensor:
        """The hard mask of the moment, straight through."""
        return self.straight_through(self.choose(self.scores(table)))


class SoftMovement(Scored, Thresholded):
    """m = [σ(S) > τ], but never fewer than the plan keeps; λ σ(S) of every unit in the loss."""

    name = "movement-soft"
    paper = Movement.paper
    cost = "a sigmoid and a selection among the scores of each layer, every step"
    Settings = SoftMovementSettings
    settings: SoftMovementSettings

    @property
    def hardens_at(self) -> float:
        """Set by `harden`."""
        return self.settings.harden

    @property
    def lever(self) -> str:
        """λ."""
        return "penalty"

    def ramp(self) -> float:
        """How far τ and λ have risen, in [0, 1]."""
        return cubic(self.progress, self.settings.begin, self.settings.end)

    def share(self) -> float:
        """The cubic again: it bounds what τ may have removed by now."""
        return self.ramp()

    def removed(self, table: Tensor) -> Tensor:
        """Units whose σ(S) is at most τ, but none of the best that `share` keeps."""
        scores = self.scores(table)
        return (torch.sigmoid(scores) <= self.settings.threshold * self.ramp()) & ~self.choose(scores)

    def soft(self, table: Tensor) -> Tensor:
        """The formula, straight through."""
        return self.straight_through(~self.removed(table), gain=table.numel())

    def penalty(self) -> Tensor:
        """n λ mean σ(S)."""
        return self.settings.penalty * self.ramp() * torch.sigmoid(self.learned).sum()

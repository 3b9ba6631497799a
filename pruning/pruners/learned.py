"""What pruners with learned scores or thresholds share: straight-through masks, and how far a threshold got."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from pruning import masks
from pruning.pruners import base

_TIES = 1e-12  # far below any score that has been trained
_ENOUGH = 0.5  # of the plan's zeros: below, it was the hardening and not the method that pruned


class Scored(base.Pruner):
    """A score S for each unit, trained straight through its binary mask: dL/dS = g W, summed over the unit.

    S starts at 0, up to 1e-12 |w| / max |w|: ties, at first all of them, are decided by magnitude.
    """

    state = "a score, one float a unit"
    stateful = True
    learned: Tensor

    def start(self, table: Tensor, generator: torch.Generator) -> None:  # noqa: ARG002
        """Scores that know nothing yet; a table that holds no unit has none to train."""
        size = table.abs()
        if not size.numel():
            self.register_buffer("learned", size)
            return
        self.learned = nn.Parameter(_TIES * size / size.max().clamp_min(torch.finfo(size.dtype).tiny))

    def scores(self, table: Tensor) -> Tensor:  # noqa: ARG002
        """S."""
        return self.learned.detach()

    def straight_through(self, hard: Tensor, gain: float = 1.0) -> Tensor:
        """`hard` in value; its gradient goes to the scores, multiplied by `gain`."""
        return hard.to(self.learned.dtype) + gain * (self.learned - self.learned.detach())


class Thresholded(base.Pruner):
    """A method that learns where to cut, not how much; the plan's count is taken when the mask hardens."""

    stateful = True

    @abstractmethod
    def removed(self, table: Tensor) -> Tensor:
        """The units that the method itself has removed by now: bool table."""

    @property
    @abstractmethod
    def lever(self) -> str:
        """The setting that makes it remove more."""

    def sharpness(self, table: Tensor) -> float | None:
        """How many units the method had removed, for each that the plan removes."""
        gone, real = self.removed(table), table.numel()
        if self.padding is not None:
            gone, real = gone & ~self.padding, real - int(self.padding.sum())
        promised = real - len(table) * masks.quota(table.shape[1], self.pattern)
        return int(gone.sum()) / promised if promised else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Says when most zeros came from hardening and not from the method."""
        if self.sharp is None or self.sharp >= _ENOUGH:
            return ()
        return (
            f"when the mask hardened, {self.name} had removed {self.sharp:.0%} of what the plan removes; the best "
            f"were chosen then, and the weights changed by {self.gap:.0%}: give it more steps or a larger {self.lever}",
        )

"""`Pruner`: which values of one layer (its weights), or of one channel group (its norms), survive.

A pruner is a module from values to their mask. It gives its formula in `soft`; this base makes the mask
binary and fixed at `hardens_at`, with exact counts, and that is all a one-shot pruner needs.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from pruning import masks
from pruning.errors import PlanError
from pruning.importance import magnitude
from pruning.masks import Sparse

S = TypeVar("S", bound="Settings")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A pruner's settings; subclasses add fields and check their ranges."""

    @classmethod
    def read(cls: type[S], values: Mapping[str, float], pruner: str) -> S:
        """The settings of a plan.

        Raises:
            PlanError: a setting this pruner does not have, or one outside its range.
        """
        known = sorted(field.name for field in fields(cls))
        if unknown := sorted(set(values) - set(known)):
            raise PlanError(f"pruner {pruner!r} has no setting {unknown[0]!r}; it has {known or 'none'}")
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise PlanError(f"pruner {pruner!r}: setting {name!r} is {str(value)[:40]!r}, not a number")
        return cls(**values)


class Pruner(nn.Module, ABC):
    """Template of every pruner: `soft` is the method, the rest is common."""

    name: ClassVar[str]
    Settings: ClassVar[type[Settings]] = Settings
    fixed: Tensor | None

    def __init__(self, pattern: Sparse, settings: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.pattern = pattern
        self.settings = self.Settings.read(settings or {}, self.name)
        self.progress = 0.0
        self.gap = 0.0  # ||(m - hard) v|| / ||hard v|| when the mask became binary
        self.register_buffer("fixed", None)

    @property
    def hardens_at(self) -> float:
        """The share of recovery after which the mask is binary and fixed; 0 means from the start."""
        return 0.0

    @abstractmethod
    def soft(self, values: Tensor) -> Tensor:
        """The mask while it is being trained, in [0, 1], at least fp32, in the values' shape."""

    def scores(self, values: Tensor) -> Tensor:
        """What the binary mask is chosen by."""
        return magnitude(values)

    def pattern_now(self) -> Sparse:
        """The pattern as far as it has been approached by now."""
        return self.pattern

    def forward(self, values: Tensor) -> Tensor:
        """The mask of these values: soft, or fixed (bool) once hardened."""
        return self.soft(values) if self.fixed is None else self.fixed

    @torch.no_grad()
    def kept(self, values: Tensor) -> Tensor:
        """What would survive if the mask became binary now: bool, in the values' shape."""
        return masks.mask(self.scores(values), self.pattern_now()) if self.fixed is None else self.fixed

    @torch.no_grad()
    def advance(self, values: Tensor, progress: float) -> None:
        """Move to a share of recovery in [0, 1]; at `hardens_at`, fix the mask by these values for good."""
        self.progress = progress
        if self.fixed is None and progress >= self.hardens_at:
            hard = masks.mask(self.scores(values), self.pattern)
            self.gap = _relative_gap(self.soft(values), hard, values)
            self.fixed = hard


def _relative_gap(soft: Tensor, hard: Tensor, values: Tensor) -> float:
    moved, left = ((soft.float() - hard.float()) * values).norm(), (hard * values).norm()
    return float(moved / left) if left > 0 else 0.0

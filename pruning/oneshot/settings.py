"""What a plan may set for a layer solver."""

from dataclasses import dataclass

from pruning.errors import PlanError
from pruning.pruners.base import Settings


@dataclass(frozen=True, kw_only=True)
class SolverSettings(Settings):
    """`damping` is added to H as a share of its mean diagonal; `refit` 1 solves the kept weights anew."""

    damping: float = 0.01
    refit: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.damping <= 1.0:
            raise PlanError(f"damping {self.damping!r} is outside 0 ... 1: it is a share of the mean diagonal of H")
        if self.refit not in (0, 1):
            raise PlanError(f"refit {self.refit!r} is neither 0 nor 1")

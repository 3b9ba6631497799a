"""The pruners, by name: one file each. A new one adds its file and its line here."""

from collections.abc import Mapping

from pruning.errors import PlanError
from pruning.masks import Sparse
from pruning.pruners.base import Pruner
from pruning.pruners.magnitude import Magnitude
from pruning.pruners.pdp import PDP

PRUNERS: dict[str, type[Pruner]] = {"magnitude": Magnitude, "pdp": PDP}

__all__ = ["PRUNERS", "Pruner", "make"]


def make(name: str, pattern: Sparse, settings: Mapping[str, float]) -> Pruner:
    """The pruner of that name for one layer or group.

    Raises:
        PlanError: no such pruner, or settings it does not take.
    """
    if name not in PRUNERS:
        raise PlanError(f"there is no pruner {name[:40]!r}; there are {sorted(PRUNERS)}")
    return PRUNERS[name](pattern, settings)

"""The pruners, by name: one file each. A new one adds its file and its line here."""

from collections.abc import Mapping

from pruning.errors import PlanError
from pruning.masks import Sparse
from pruning.pruners.ac_dc import ACDC
from pruning.pruners.base import Pruner
from pruning.pruners.dpp import DPP
from pruning.pruners.gmp import GMP
from pruning.pruners.granet import GraNet
from pruning.pruners.idp import IDP
from pruning.pruners.magnitude import Magnitude
from pruning.pruners.movement import Movement, SoftMovement
from pruning.pruners.optg import OptG
from pruning.pruners.pdp import PDP
from pruning.pruners.prune_ofa import PruneOFA
from pruning.pruners.rigl import RigL
from pruning.pruners.soft_threshold import STR
from pruning.pruners.spartan import Spartan
from pruning.pruners.sr_ste import SRSTE

PRUNERS: dict[str, type[Pruner]] = {
    "magnitude": Magnitude,
    "gmp": GMP,
    "pdp": PDP,
    "idp": IDP,
    "sr_ste": SRSTE,
    "dpp": DPP,
    "rigl": RigL,
    "granet": GraNet,
    "spartan": Spartan,
    "str": STR,
    "movement": Movement,
    "movement-soft": SoftMovement,
    "optg": OptG,
    "ac_dc": ACDC,
    "prune_ofa": PruneOFA,
}

__all__ = ["PRUNERS", "Pruner", "check", "make"]


def make(name: str, pattern: Sparse, settings: Mapping[str, float]) -> Pruner:
    """The pruner of that name for one layer or group.

    Raises:
        PlanError: no such pruner, a pattern it does not serve, or settings it does not take.
    """
    pruner = _find(name)
    if reason := pruner.refuses.get(pattern.kind):
        raise PlanError(f"pruner {name!r} does not serve {pattern.kind} patterns: {reason}")
    return pruner(pattern, settings)


def check(name: str, settings: Mapping[str, float]) -> None:
    """Refuse what `make` would refuse under any pattern.

    Raises:
        PlanError: no such pruner, or settings it does not take.
    """
    _find(name).Settings.read(settings, name)


def _find(name: str) -> type[Pruner]:
    if name not in PRUNERS:
        raise PlanError(f"there is no pruner {name[:40]!r}; there are {sorted(PRUNERS)}")
    return PRUNERS[name]

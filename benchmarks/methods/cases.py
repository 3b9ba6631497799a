"""Which methods meet on which patterns, and with which settings.

Every method prunes the same layers (the first convolution and the last linear stay dense) to the same number of zeros.
Where a line does not say otherwise, the zeros are spread by one magnitude threshold over all layers; channels evenly,
since one threshold over norms leaves single channels in some layers. Settings are the library's defaults. Three of them
(PDP's channel temperature, DPP's prior and rate, soft movement's penalty) were chosen on the digits' validation images.
"""

from dataclasses import dataclass, field

from pruning.allocate import Method
from pruning.masks import Sparse
from pruning.patterns import NM, Channel, Unstructured
from pruning.pruners import PRUNERS

ONE_SHOT = ("wanda", "sparsegpt")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of a table: a pruner under a name of its own."""

    name: str
    pruner: str
    allocation: Method = "global"
    settings: dict[str, float] = field(default_factory=dict)
    solver: str = ""  # a one-shot solver first; the pruner then keeps its zeros


PATTERNS: dict[str, tuple[Sparse, ...]] = {
    "unstructured": (Unstructured(0.8), Unstructured(0.9), Unstructured(0.95)),
    "nm": (NM(2, 4), NM(1, 4)),
    "channel": (Channel(0.3), Channel(0.5)),
}


SHORT = {**PATTERNS, "unstructured": (Unstructured(0.9),)}  # what fits into an hour of two cores


def cases(pattern: Sparse) -> list[Case]:
    """The methods that serve a pattern, one-shot ones first."""
    found = [Case(name="magnitude", pruner="magnitude")]
    if isinstance(pattern, Unstructured):
        found += [
            Case(name="magnitude, uniform", pruner="magnitude", allocation="uniform"),
            Case(name="magnitude, ERK", pruner="magnitude", allocation="erk"),
        ]
    if not isinstance(pattern, Channel) and "prune_ofa" in PRUNERS:
        found += [Case(name=f"{solver}, then locked", pruner="prune_ofa", solver=solver) for solver in ONE_SHOT]
    trained = [name for name in PRUNERS if name not in ("magnitude", "prune_ofa")]
    found += [Case(name=name, pruner=name) for name in trained if pattern.kind in PRUNERS[name].patterns()]
    if isinstance(pattern, NM | Channel):
        found = [Case(**{**vars(case), "allocation": "uniform"}) for case in found]
    return found

"""What a search may ask for: pruners and layer solvers by name, and what each can do. No torch: the web asks too.

`pruning.pruners.PRUNERS` and `pruning.oneshot.SOLVERS` are the truth; a test compares.
"""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Literal

from pruning.layers import LayerSpec

PatternKind = Literal["unstructured", "nm", "block", "kernel", "channel"]
PrunerName = Literal[
    "magnitude",
    "gmp",
    "pdp",
    "idp",
    "sr_ste",
    "dpp",
    "rigl",
    "granet",
    "spartan",
    "str",
    "movement",
    "movement-soft",
    "optg",
    "ac_dc",
    "prune_ofa",
    "wanda",
    "sparsegpt",
    "obc",
]
SOLVERS: frozenset[PrunerName] = frozenset({"wanda", "sparsegpt", "obc"})
SOLVED_OPS = frozenset({"conv1d", "conv2d", "linear"})  # layers whose weights' columns are their inputs
OBC_LIMIT = 10**12  # rows x columns³
_WHOLE_UNITS: tuple[PatternKind, ...] = ("block", "kernel", "channel")
REFUSES: Mapping[PrunerName, tuple[PatternKind, ...]] = {
    "sr_ste": ("channel",),
    **dict.fromkeys(SOLVERS, _WHOLE_UNITS),
}


def cannot_serve(pruners: Iterable[PrunerName], patterns: Iterable[PatternKind]) -> str:
    """Which pruner does not serve which of these patterns, in a sentence; "" if all serve all."""
    wanted = tuple(patterns)
    for pruner in pruners:
        if refused := [kind for kind in wanted if kind in REFUSES.get(pruner, ())]:
            return (
                f"{pruner!r} does not serve {' and '.join(refused)} patterns: leave them out of the search's patterns, "
                "or this pruner out of its pruners"
            )
    return ""


def cannot_solve(pruners: Iterable[PrunerName], layer: LayerSpec) -> str:
    """Why a layer solver among the pruners cannot do this layer; "" if all can."""
    columns = layer.in_channels // layer.groups * prod(layer.kernel)
    for pruner in pruners:
        if pruner in SOLVERS and layer.op not in SOLVED_OPS:
            return f"{pruner} solves {', '.join(sorted(SOLVED_OPS))}, and this is {layer.op}"
        if pruner == "obc" and (work := layer.out_channels * columns**3) > OBC_LIMIT:
            return f"obc takes rows x columns³ = {work:.1e} operations here, the limit is {OBC_LIMIT:.0e}"
    return ""

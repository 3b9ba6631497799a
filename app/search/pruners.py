"""What a search may ask for: pruners and layer solvers by name, and what each can do. No torch: the web asks too.

`pruning.pruners.PRUNERS` and `pruning.oneshot.SOLVERS` are the truth; a test compares.
"""

from collections.abc import Iterable, Mapping, Sequence
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
SOLVED_ABREAST = 512  # calibration samples that go through a net together to be solved on; of more, a pass a layer
OBC_LIMIT = 10**12  # rows x columns³
RECONSTRUCT: frozenset[PrunerName] = frozenset({"sparsegpt", "obc"})  # the weights that stay make up for the others
MUCH_KEPT = 1 / 3
_FOR_MUCH_KEPT: Mapping[PrunerName, float] = {"obc": 1 / 4, "sparsegpt": 1 / 4, "magnitude": MUCH_KEPT}  # how much
_FOR_LITTLE_KEPT: tuple[PrunerName, ...] = ("pdp", "idp", "spartan", "dpp", "gmp", "magnitude")
_WHOLE_UNITS: tuple[PatternKind, ...] = ("block", "kernel", "channel")
REFUSES: Mapping[PrunerName, tuple[PatternKind, ...]] = {
    "sr_ste": ("channel",),
    **dict.fromkeys(SOLVERS, _WHOLE_UNITS),
}


def cannot_serve(pruners: Iterable[PrunerName], patterns: Iterable[PatternKind]) -> str:
    """Which of these patterns none of the pruners serves, in a sentence; "" if each has one that does."""
    among = tuple(pruners)
    refused = [kind for kind in patterns if all(kind in REFUSES.get(pruner, ()) for pruner in among)]
    if not refused:
        return ""
    verb = "does" if len(among) == 1 else "do"
    return (
        f"{' and '.join(map(repr, among))} {verb} not serve {' and '.join(refused)} patterns: leave them out of the "
        "search's patterns, or add a pruner that does, such as 'magnitude'"
    )


def serves(pruner: PrunerName, patterns: Iterable[tuple[LayerSpec, str]]) -> bool:
    """Whether a pruner can make zeros of these kinds on these layers."""
    return not any(kind in REFUSES.get(pruner, ()) or cannot_solve((pruner,), layer) for layer, kind in patterns)


def apt(pruners: Sequence[PrunerName], kept: float, *, trained: bool = True) -> PrunerName:
    """The pruner to begin with where this share of the weights is kept, and `trained` afterwards or not.

    Measured on ResNet-20 with 60 steps of recovery (`benchmarks.methods`): where much is kept the solvers' weights lead
    (keep 2 of 4: SparseGPT 82.7 %, magnitude 80.5, PDP 80.4); where little is, pruners that choose while they train do
    (keep 1 of 10: PDP 61.2 %, magnitude 57.5, SparseGPT 48.6). Of plans by the reconstructed table SparseGPT leads at
    0.27 kept (75.8 to 73.0) and PDP at 0.21. That is one network. Without recovery nobody chooses while training, and
    the solvers' weights lead however little is kept.
    """
    solid = [pruner for pruner, least in _FOR_MUCH_KEPT.items() if pruner in pruners and (kept >= least or not trained)]
    if solid or kept >= MUCH_KEPT or not trained:
        return next(iter(solid), pruners[0])
    learning = (pruner for pruner in pruners if pruner not in SOLVERS)
    return next((pruner for pruner in _FOR_LITTLE_KEPT if pruner in pruners), next(learning, pruners[0]))


def cannot_solve(pruners: Iterable[PrunerName], layer: LayerSpec) -> str:
    """Why none of these pruners can do this layer; "" if one can."""
    reasons = [_unsolved(pruner, layer) for pruner in pruners]
    return "" if not all(reasons) else next(iter(reasons), "")


def _unsolved(pruner: PrunerName, layer: LayerSpec) -> str:
    if pruner not in SOLVERS:
        return ""
    if layer.op not in SOLVED_OPS:
        return f"{pruner} solves {', '.join(sorted(SOLVED_OPS))}, and this is {layer.op}"
    columns = layer.in_channels // layer.groups * prod(layer.kernel)
    if pruner == "obc" and (work := layer.out_channels * columns**3) > OBC_LIMIT:
        return f"obc takes rows x columns³ = {work:.1e} operations here, the limit is {OBC_LIMIT:.0e}"
    return ""

"""Layer solvers: prune a trained net at once, one layer after another, from what its layers see.

    pruned = prune_layers(net, spec, PruningPlan(pruner="sparsegpt", patterns={...}), batches)

Each layer is calibrated on the net as it is by then, so later layers answer for what earlier ones changed; that
takes one pass over the batches per pruned layer. A solver is a pure function of weight, statistics, pattern and
settings; a new one adds its file and its line here.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pruning.apply import Pruned
from pruning.calibrate import LayerStatistics, collect
from pruning.errors import PlanError, PruningError
from pruning.layers import LayerSpec, ModelSpec
from pruning.masked import find_tensor
from pruning.oneshot import obc, refit, sparsegpt, wanda
from pruning.oneshot.columns import LayerPattern
from pruning.oneshot.settings import SolverSettings
from pruning.oneshot.sparsegpt import SparseGPTSettings
from pruning.patterns import NM, Dense, Unstructured
from pruning.plan import PruningPlan
from pruning.recover import Batch, reestimate_batch_norm
from pruning.verify import verify


class Solver(Protocol):
    """A layer's new weight, in its shape and type, with exact zeros."""

    def __call__(
        self, weight: Tensor, statistics: LayerStatistics, pattern: LayerPattern, settings: Any, /
    ) -> Tensor: ...


SOLVERS: dict[str, tuple[Solver, type[SolverSettings]]] = {
    "wanda": (wanda.solve, SolverSettings),
    "sparsegpt": (sparsegpt.solve, SparseGPTSettings),
    "obc": (obc.solve, SolverSettings),
}
_OPS = frozenset({"conv1d", "conv2d", "linear"})

__all__ = ["SOLVERS", "SolvedLayer", "prune_layers", "solve_layers"]


@dataclass(frozen=True, kw_only=True)
class SolvedLayer:
    """One layer done. `error` is ||(W - W') X||² / ||W X||² on its calibration inputs, of `samples` columns."""

    name: str
    pattern: str
    weights: int
    zeros: int
    error: float
    samples: int


def prune_layers(
    net: nn.Module,
    spec: ModelSpec,
    plan: PruningPlan,
    batches: Iterable[Batch],
    on_layer: Callable[[SolvedLayer], None] | None = None,
) -> Pruned:
    """A pruned copy of `net`, verified; batch-norm statistics are taken anew from the batches.

    `batches` must be iterable more than once; their targets are not used.

    Raises:
        PlanError: a plan that does not fit the model, or asks a solver for what it cannot do.
        CalibrationError: batches that give no usable statistics; the message names the layer.
    """
    pruned = deepcopy(net)
    for layer in solve_layers(pruned, spec, plan, batches):
        if on_layer is not None:
            on_layer(layer)
    reestimate_batch_norm(pruned, batches)
    pruned.eval()
    return Pruned(net=pruned, report=verify(pruned, spec, plan, {}), kept={})


def solve_layers(net: nn.Module, spec: ModelSpec, plan: PruningPlan, batches: Iterable[Batch]) -> Iterator[SolvedLayer]:
    """Prune `net` itself, a layer at a time in the specification's order. Batch norm is left alone."""
    if plan.pruner not in SOLVERS:
        raise PlanError(f"there is no layer solver {plan.pruner[:40]!r}; there are {sorted(SOLVERS)}")
    solve, kind = SOLVERS[plan.pruner]
    settings = kind.read(plan.settings, plan.pruner)
    for layer, pattern in _work(spec, plan):
        weight = find_tensor(net, layer.parameter)
        statistics = collect(net, [layer.parameter], batches)[layer.parameter]
        try:
            solved = solve(weight, statistics, pattern, settings)
            if settings.refit:
                solved = refit.least_squares(weight, solved, statistics, settings.damping)
        except PruningError as error:
            raise type(error)(f"layer {layer.name!r}: {error}") from error
        record = SolvedLayer(
            name=layer.name,
            pattern=str(pattern),
            weights=weight.numel(),
            zeros=int((solved == 0).sum()),
            error=statistics.error(weight, solved),
            samples=statistics.samples,
        )
        with torch.no_grad():
            weight.copy_(solved)
        yield record


def _work(spec: ModelSpec, plan: PruningPlan) -> list[tuple[LayerSpec, LayerPattern]]:
    """The layers that get zeros, with their patterns, checked before any of them changes."""
    plan.kept_channels(spec)  # refuses unknown layers
    found: list[tuple[LayerSpec, LayerPattern]] = []
    for layer in spec.layers:
        match plan.pattern(layer.name):
            case Dense():
                continue
            case Unstructured() | NM() as pattern if layer.op in _OPS:
                found.append((layer, pattern))
            case Unstructured() | NM():
                raise PlanError(
                    f"layer {layer.name!r} is a {layer.op}, whose columns are not its inputs: {plan.pruner} solves "
                    f"{sorted(_OPS)}; leave it dense or choose another pruner"
                )
            case other:
                raise PlanError(
                    f"layer {layer.name!r} asks {plan.pruner} for {other}: layer solvers choose single weights; use "
                    "unstructured or keep n of m here, or a pruner such as magnitude"
                )
    return found

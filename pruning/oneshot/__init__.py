"""Layer solvers: prune a trained net at once, one layer after another, from what its layers see.

    for layer in solve_layers(net, spec, PruningPlan(pruner="sparsegpt", patterns={...}), batches):
        show(layer)

`pruning.apply` is the front door to it, with a copy, recovery under the zeros it makes, and a checked report.

Each layer is calibrated on the net as it is by then, so later layers answer for what earlier ones changed. A graph is
walked once, with all batches in step, as SparseGPT's authors walk from block to block; that holds all activations at
once. Any other module, and a graph that reads a pruned weight twice, takes one pass a pruned layer. A solver is a pure
function of weight, statistics, pattern and settings; a new one adds its file and its line here.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pruning.calibrate import LayerStatistics, collect, in_one_pass
from pruning.errors import PlanError, PruningError
from pruning.graphnet import GraphNet
from pruning.layers import LayerSpec, ModelSpec
from pruning.masked import find_tensor
from pruning.oneshot import obc, refit, sparsegpt, wanda
from pruning.oneshot.columns import LayerPattern
from pruning.oneshot.settings import SolverSettings
from pruning.oneshot.sparsegpt import SparseGPTSettings
from pruning.patterns import NM, Dense, Unstructured
from pruning.plan import PruningPlan
from pruning.recover import Batch


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
OPS = frozenset({"conv1d", "conv2d", "linear"})

__all__ = ["SOLVERS", "SolvedLayer", "check_solver", "solve_layers"]


@dataclass(frozen=True, kw_only=True)
class SolvedLayer:
    """One layer done. `error` is ||(W - W') X||² / ||W X||² on its calibration inputs, of `samples` columns."""

    name: str
    pattern: str
    weights: int
    zeros: int
    error: float
    samples: int


def solve_layers(
    net: nn.Module, spec: ModelSpec, plan: PruningPlan, batches: Iterable[Batch], *, abreast: bool = True
) -> Iterator[SolvedLayer]:
    """Prune `net` itself, a layer at a time in the specification's order. Batch norm is left alone.

    `batches` must be iterable more than once; their targets are not used. `abreast=False` takes a pass a layer in any
    case, and the memory of one batch. Between layers the net may be in evaluation mode.

    Raises:
        PlanError: a plan that does not fit the model, or asks a solver for what it cannot do.
        CalibrationError: batches that give no usable statistics; the message names the layer.
    """
    settings, work = check_solver(spec, plan)
    solve, _ = SOLVERS[plan.pruner]
    by_parameter = {layer.parameter: (layer, pattern) for layer, pattern in work}
    if work and abreast and isinstance(net, GraphNet) and all(layer.calls == 1 for layer, _ in work):
        seen = in_one_pass(net, by_parameter, batches)
    else:
        seen = _a_pass_each(net, by_parameter, batches)
    with closing(seen):
        for parameter, statistics in seen:
            layer, pattern = by_parameter[parameter]
            weight = find_tensor(net, parameter)
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


def _a_pass_each(
    net: nn.Module, parameters: Iterable[str], batches: Iterable[Batch]
) -> Generator[tuple[str, LayerStatistics]]:
    for parameter in parameters:
        yield parameter, collect(net, [parameter], batches)[parameter]


def check_solver(spec: ModelSpec, plan: PruningPlan) -> tuple[SolverSettings, list[tuple[LayerSpec, LayerPattern]]]:
    """The solver's settings, and the layers that get zeros with their patterns, before any of them changes.

    Raises:
        PlanError: a plan that does not fit the model, or asks a solver for what it cannot do.
    """
    if plan.pruner not in SOLVERS:
        raise PlanError(f"there is no layer solver {plan.pruner[:40]!r}; there are {sorted(SOLVERS)}")
    settings = SOLVERS[plan.pruner][1].read(plan.settings, plan.pruner)
    plan.kept_channels(spec)  # refuses unknown layers
    found: list[tuple[LayerSpec, LayerPattern]] = []
    for layer in spec.layers:
        match plan.pattern(layer.name):
            case Dense():
                continue
            case Unstructured() | NM() as pattern if layer.op in OPS:
                found.append((layer, pattern))
            case Unstructured() | NM():
                raise PlanError(
                    f"layer {layer.name!r} is a {layer.op}, whose columns are not its inputs: {plan.pruner} solves "
                    f"{sorted(OPS)}; leave it dense or choose another pruner"
                )
            case other:
                raise PlanError(
                    f"layer {layer.name!r} asks {plan.pruner} for {other}: layer solvers choose single weights; use "
                    "unstructured or keep n of m here, or a pruner such as magnitude"
                )
    return settings, found

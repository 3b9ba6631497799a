"""Cost models that count: the multiply-adds and the weights that a plan leaves. Exact, of no device.

A count is not a time: devices differ by orders of magnitude in what a multiply-add costs, and zeros are free on few of
them. It is what papers report, and what a plan is compared by where no device is at hand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, prod

from costmodels.network import inside
from costmodels.zeros import kept_share
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import NM, Block, Dense, Kernel, Pattern, Unstructured, kept_count
from pruning.plan import PruningPlan

Counter = Callable[[LayerSpec, Pattern], int]  # the layer as it is left, and the pattern inside it


@dataclass(frozen=True, kw_only=True)
class NetworkCount:
    """A count of a whole plan, by layer, and the share of the dense count that it is."""

    total: int
    layers: Mapping[str, int]
    share: float


def kept_weights(layer: LayerSpec, pattern: Pattern) -> int:
    """Weights that may be non-zero, biases excluded; of blocks at the edge, as if the dropped ones were average."""
    match pattern:
        case Unstructured(sparsity=sparsity):
            return kept_count(layer.weights, sparsity)
        case NM():
            return round(kept_share(layer, pattern) * layer.weights)
        case Kernel():
            kernels = layer.weights // prod(layer.kernel)
            return pattern.kept(kernels) * prod(layer.kernel)
        case Block(rows=rows, cols=cols):
            inputs = layer.in_channels // layer.groups
            tiles = ceil(layer.out_channels / rows) * ceil(inputs / cols) * prod(layer.kernel)
            return round(layer.weights * pattern.kept(tiles) / tiles)
    return layer.weights


def kept_macs(layer: LayerSpec, pattern: Pattern) -> int:
    """Multiply-adds of one sample with weights that may be non-zero."""
    return kept_weights(layer, pattern) * layer.positions * layer.calls


def network_count(model: ModelSpec, plan: PruningPlan, counter: Counter) -> NetworkCount:
    """Count a whole plan.

    Raises:
        PlanError: the plan does not fit the model.
    """
    layers = {now.name: counter(now, inside(plan.pattern(now.name))) for now in plan.shrunk(model)}
    dense = sum(counter(layer, Dense()) for layer in model.layers)
    total = sum(layers.values())
    return NetworkCount(total=total, layers=layers, share=total / dense)

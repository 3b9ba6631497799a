"""How many plans a second are priced: 54 layers x 42 options.

Run: `python -m benchmarks.pricing`. `CostTable` is the solver's additive table, for one device and five; `PlanPricer`
is the network function itself, without and with a cluster rule over half of the layers. The bound beside them is one
gather and one addition a layer in plain numpy, without any bookkeeping.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from app.search.space.price import CostTable
from costmodels.base import LayerCost, NetworkGroup
from costmodels.network import PlanPricer
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Pattern, Unstructured

LAYERS, OPTIONS, PLANS = 54, 42, 200_000


def _seconds(call: Callable[[], object], repeats: int = 5) -> float:
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


class _Flat:
    """A cost model that answers at once: what is timed is the pricing of plans, not of layers."""

    name, batch, precision, overhead_ms, overhead_source = "flat", 1, "float32", 0.0, "measured"
    half_width = None

    def __init__(self, groups: tuple[NetworkGroup, ...] = ()) -> None:
        self.groups = groups

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        del dense
        return LayerCost(now.weights * pattern.density, "measured", "exact")


def _model() -> ModelSpec:
    layers = tuple(
        LayerSpec(name=f"l{n}", parameter=f"w{n}", op="linear", in_channels=64, out_channels=64) for n in range(LAYERS)
    )
    return ModelSpec(layers=layers, groups=(), input_shape=(64,), output_shapes=((64,),), parameter_count=1)


def main() -> None:
    """Print plans per second."""
    generator = np.random.default_rng(0)
    choices = generator.integers(0, OPTIONS, size=(PLANS, LAYERS), dtype=np.uint8)
    wide = np.ascontiguousarray(choices.T, dtype=np.intp)
    flat = generator.random((LAYERS, OPTIONS))
    bound_s = _seconds(lambda: sum(flat[layer][wide[layer]] for layer in range(LAYERS)))
    write = sys.stdout.write
    write(f"{LAYERS} layers x {OPTIONS} options, {PLANS} plans, best of 5\n")
    write(f"bare numpy gathers: {PLANS / bound_s:,.0f} plans/s\n")
    for devices in (1, 5):
        units_ms = tuple(generator.random((OPTIONS, devices)) for _ in range(LAYERS))
        table = CostTable(tuple(map(str, range(devices))), np.zeros(devices), units_ms)
        elapsed_s = _seconds(lambda table=table: table.totals(choices))  # type: ignore[misc]
        write(f"CostTable.totals, {devices} device(s): {PLANS / elapsed_s:,.0f} plans/s\n")

    model, options = _model(), tuple(Unstructured(n / OPTIONS) for n in range(OPTIONS))
    half = tuple(layer.name for layer in model.layers[: LAYERS // 2])
    cluster = NetworkGroup(rule="cluster_threshold", layers=half, min_sparsity=0.5)
    for what, groups in (("", ()), (", half of it in one cluster", (cluster,))):
        pricer = PlanPricer(model, {layer.name: options for layer in model.layers}, _Flat(groups))  # type: ignore[arg-type]
        pricer.latency_ms(choices)
        elapsed_s = _seconds(lambda pricer=pricer: pricer.latency_ms(choices))  # type: ignore[misc]
        write(f"PlanPricer.latency_ms{what}: {PLANS / elapsed_s:,.0f} plans/s\n")


if __name__ == "__main__":
    main()

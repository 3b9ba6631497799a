"""The analytical cost model: an accelerator of the catalogue prices a layer by its busiest resource.

    t = max(compute, bytes / bandwidth of each memory) + overhead, for each call

Compute time is the roofline's, the systolic array's or the multiplier array's, as the entry's `kind` says. Terms whose
figure is unknown are left out. Where zeros do not pay, the dense kernel runs: `dense_fallback`. Every price is
`analytical` and has an interval of at least +-25 %; fitted to the engines it came from, the roofline's median layer
error was 4-15 % on ResNets and 16-23 % on MobileNets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from costmodels import resources, roofline, systolic
from costmodels.accelerator import Accelerator, Kind
from costmodels.base import CostModel, LayerCost, NetworkGroup, Source
from costmodels.clusters import clusters
from costmodels.counts import kept_macs
from costmodels.energy import energy_mj
from costmodels.errors import AcceleratorError
from costmodels.zeros import Left, dense_left
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Channel, Dense, Pattern

LEAST_ERROR = 0.25  # relative; what an analytical price may be off even where its fit is better


@dataclass(frozen=True)
class Analytical:
    """Prices layers on an accelerator of the catalogue; a `CostModel`."""

    accelerator: Accelerator
    batch: int
    precision: str
    name: str = ""
    overhead_ms: float = 0.0
    overhead_source: Source = "analytical"
    groups: tuple[NetworkGroup, ...] = ()
    half_width: float | None = None

    def __post_init__(self) -> None:
        if self.precision not in self.accelerator.peak_macs_per_s:
            why = self.accelerator.unknown.get(self.precision, "")
            raise AcceleratorError(
                f"accelerator {self.accelerator.name!r} has no figure for precision {self.precision!r}"
                f"{f' ({why})' if why else ''}; it can be priced at {', '.join(self.accelerator.precisions)}"
            )
        if self.batch < 1:
            raise AcceleratorError(f"batch {self.batch} is not at least 1")
        if not self.name:
            object.__setattr__(self, "name", self.accelerator.title)

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        """Price the shape that is left: the fastest kernel; of equally fast ones that of least energy, then bytes."""
        inside = Dense() if isinstance(pattern, Channel) else pattern
        plain = self._price(now, dense_left(now, self.precision))
        clustered = any(dense.name in group.layers for group in self.groups)
        found = (rule.left(now, inside, self.precision, clustered) for rule in self.accelerator.zeros)
        sparse = (self._price(now, left) for left in found if left is not None)
        best = min((plain, *sparse), key=_rank)  # of equals the first: plain
        fallback = best is plain and not isinstance(inside, Dense)
        return replace(best, macs=kept_macs(now, inside), derivation="dense_fallback" if fallback else "modelled")

    def busy_s(self, layer: LayerSpec, left: Left) -> dict[str, float]:
        """Seconds that all calls of a layer keep each resource busy: `compute`, and every memory by its name."""
        moved = roofline.traffic(layer, self.batch, self.precision, left.weight_bytes)
        compute_s = _COMPUTE_S[self.accelerator.kind](self, layer, left.time)
        return {"compute": compute_s, **resources.memory_s(self.accelerator.all_memories, moved)}

    def _price(self, layer: LayerSpec, left: Left) -> LayerCost:
        machine = self.accelerator
        overhead_ms = machine.layer_overhead_ms.value if machine.layer_overhead_ms is not None else 0.0
        latency_ms = max(self.busy_s(layer, left).values()) * 1e3 + overhead_ms * layer.calls
        low_ms, high_ms = _interval(latency_ms, machine, left.error)
        macs = layer.macs * self.batch * left.macs
        return LayerCost(
            latency_ms,
            "analytical",
            "modelled",
            low_ms=low_ms,
            high_ms=high_ms,
            energy_mj=energy_mj(machine.energy, self.precision, macs, self._moved_bytes(layer, left)),
            weight_bytes=left.weight_bytes,
        )

    def _moved_bytes(self, layer: LayerSpec, left: Left) -> dict[str, float]:
        """Bytes at every memory; a single one moves everything, whether its speed is known or not."""
        moved = roofline.traffic(layer, self.batch, self.precision, left.weight_bytes)
        memories = self.accelerator.memories
        if not memories:
            return {"memory": moved.weights + moved.inputs + moved.outputs}
        return {name: memory.moved_bytes(moved) for name, memory in memories.items()}


def analytical(
    entry: Accelerator,
    batch: int,
    precision: str,
    name: str = "",
    overhead_ms: float = 0.0,
    model: ModelSpec | None = None,
) -> CostModel:
    """The cost model of an accelerator, whatever its kind; its clusters of layers need the model they are in.

    Raises:
        AcceleratorError: it has no figure for the precision, or the batch is not at least 1.
    """
    groups = clusters(entry.zeros, model, precision) if model is not None else ()
    return Analytical(entry, batch, precision, name, overhead_ms, groups=groups)


def _interval(latency_ms: float, machine: Accelerator, shares_error: float) -> tuple[float, float]:
    """Symmetric as a factor once the error is large, so that the lower end stays positive."""
    error = max(LEAST_ERROR, shares_error, machine.error.value if machine.error is not None else 0.0)
    return latency_ms * min(1.0 - LEAST_ERROR, 1.0 / (1.0 + error)), latency_ms * (1.0 + error)


def _rank(cost: LayerCost) -> tuple[float, float, float]:
    return (cost.latency_ms, cost.energy_mj or 0.0, cost.weight_bytes or 0.0)


def _roofline_s(model: Analytical, layer: LayerSpec, share: float) -> float:
    machine = model.accelerator
    macs = model.batch * roofline.padded_macs(layer, machine.in_channel_quantum, machine.out_channel_quantum)
    return macs * share / machine.peak_macs_per_s[model.precision].value


def _systolic_s(model: Analytical, layer: LayerSpec, share: float) -> float:
    machine = model.accelerator
    assert machine.array is not None  # an entry of this kind has one
    peak = machine.peak_macs_per_s[model.precision].value
    return systolic.compute_s(machine.array, peak, layer, model.batch, share)


def _resources_s(model: Analytical, layer: LayerSpec, share: float) -> float:
    return _roofline_s(model, layer, share) / resources.winograd_gain(layer, model.accelerator.winograd)


_COMPUTE_S: Mapping[Kind, Callable[[Analytical, LayerSpec, float], float]] = {
    "roofline": _roofline_s,
    "systolic": _systolic_s,
    "resources": _resources_s,
}

"""The analytical cost model: the larger of compute time and memory time, plus a fixed time per layer.

t = max(batch x MACs x share / peak, bytes / bandwidth) + overhead, for each call of the layer. `share` is 1,
or what the accelerator's rule leaves of the dense compute time. Terms whose figure is unknown are left out.
Every price is `analytical`, and `modelled`, or `dense_fallback` where the device has nothing for the pattern.
"""

from dataclasses import dataclass
from math import ceil, log2, prod

from costmodels.accelerator import Accelerator, kept_share
from costmodels.base import LayerCost, Source
from costmodels.errors import AcceleratorError
from pruning.layers import LayerSpec
from pruning.patterns import NM, Pattern, Unstructured

BITS = {"float32": 32, "tf32": 32, "float16": 16, "bfloat16": 16, "int8": 8, "int4": 4}


@dataclass(frozen=True)
class Roofline:
    """Prices layers on an accelerator of the catalogue; a `CostModel`."""

    accelerator: Accelerator
    batch: int
    precision: str
    name: str = ""
    overhead_ms: float = 0.0
    overhead_source: Source = "analytical"

    def __post_init__(self) -> None:
        if self.precision not in self.accelerator.peak_macs_per_s:
            why = self.accelerator.unknown.get(self.precision, "")
            raise AcceleratorError(
                f"accelerator {self.accelerator.name!r} has no figure for precision {self.precision!r}"
                f"{f' ({why})' if why else ''}; it can be priced at {', '.join(self.accelerator.precisions)}"
            )
        if self.precision not in BITS:
            raise AcceleratorError(f"precision {self.precision!r} is not one of {', '.join(BITS)}")
        if self.batch < 1:
            raise AcceleratorError(f"batch {self.batch} is not at least 1")
        if not self.name:
            object.__setattr__(self, "name", self.accelerator.title)

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        """Price the shape that is left; where dense kernels are no slower they are used."""
        del dense  # a roofline needs only the shape that is left
        plain_ms = self._latency_ms(now, 1.0, float(now.weights))
        shares = (rule.time_left(now, pattern, self.precision) for rule in self.accelerator.zeros)
        left = min((share for share in shares if share is not None), default=None)
        if left is not None:
            sparse_ms = self._latency_ms(now, left, _coded_weights(now, pattern, BITS[self.precision]))
            if sparse_ms < plain_ms:
                return LayerCost(sparse_ms, "analytical", "modelled")
        fallback = isinstance(pattern, Unstructured | NM)
        return LayerCost(plain_ms, "analytical", "dense_fallback" if fallback else "modelled")

    def _latency_ms(self, layer: LayerSpec, share: float, weight_units: float) -> float:
        machine = self.accelerator
        macs = layer.macs * self.batch * self._padding(layer)
        seconds = macs * share / machine.peak_macs_per_s[self.precision].value
        if machine.memory_bytes_per_s is not None:
            units = layer.calls * (weight_units + self.batch * activations(layer))
            seconds = max(seconds, units * BITS[self.precision] / 8 / machine.memory_bytes_per_s.value)
        overhead_ms = machine.layer_overhead_ms.value if machine.layer_overhead_ms is not None else 0.0
        return seconds * 1e3 + overhead_ms * layer.calls

    def _padding(self, layer: LayerSpec) -> float:
        if self.accelerator.channel_quantum is None:
            return 1.0
        quantum = int(self.accelerator.channel_quantum.value)
        sizes = (layer.in_channels // layer.groups, layer.out_channels)
        return prod(ceil(size / quantum) * quantum / size for size in sizes)


def activations(layer: LayerSpec) -> int:
    """Elements read and written by one call for one sample."""
    spatial_in = prod(layer.input_size) if layer.input_size else layer.positions
    return layer.in_channels * spatial_in + layer.out_channels * layer.positions


def _coded_weights(layer: LayerSpec, pattern: Pattern, bits: int) -> float:
    """Stored weights in dense weights: kept values and their indices or a bitmask, never above dense."""
    if isinstance(pattern, NM):
        index_bits = ceil(log2(pattern.group)) if pattern.group > 1 else 0
        return min(1.0, kept_share(layer, pattern) * (bits + index_bits) / bits) * layer.weights
    if isinstance(pattern, Unstructured):
        return min(1.0, pattern.density + 1.0 / bits) * layer.weights
    return float(layer.weights)

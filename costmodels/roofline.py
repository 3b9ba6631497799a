"""The roofline's compute time: multiply-adds, padded to whole tiles, over the peak; and the bytes a layer moves.

compute = batch x MACs x share / (P x u), u = prod(size / (ceil(size / quantum) x quantum)) over input channels (of one
group) and output channels. `share` is 1, or what a rule leaves of the dense compute time. The channels of a depthwise
layer lie side by side on the outputs, with one input each. A quantum that is unknown pads nothing.
"""

from dataclasses import dataclass
from math import ceil, prod

from costmodels.figures import Figure
from costmodels.storage import BITS
from pruning.layers import LayerSpec


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes of all calls of a layer for the whole batch, each operand moved once."""

    weights: float
    inputs: float
    outputs: float


def traffic(layer: LayerSpec, batch: int, precision: str, weight_bytes: float) -> Traffic:
    """Bytes a layer moves; activations have the precision of the weights."""
    read = prod(layer.input_size) if layer.input_size else layer.positions
    written = prod(layer.output_size) if layer.output_size else layer.positions
    sample_bytes = layer.calls * batch * BITS[precision] / 8
    return Traffic(
        weights=layer.calls * weight_bytes,
        inputs=sample_bytes * layer.in_channels * read,
        outputs=sample_bytes * layer.out_channels * written,
    )


def padded_macs(layer: LayerSpec, in_quantum: Figure | None, out_quantum: Figure | None) -> int:
    """Multiply-adds of one sample and all calls, channels rounded up to whole tiles: MACs / u."""
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels
    sides = prod(layer.kernel) * layer.positions * layer.calls
    return sides * _rounded_up(inputs, in_quantum) * _rounded_up(outputs, out_quantum)


def _rounded_up(size: int, quantum: Figure | None) -> int:
    step = int(quantum.value) if quantum is not None else 1
    return ceil(size / step) * step

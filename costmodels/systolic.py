"""Systolic arrays: cycles of a matrix product on `rows` x `cols` cells, by SCALE-Sim's closed forms.

T output positions, K products a position, F filters; an array of R rows and C columns. Each fold of the operands over
the array fills it, streams, and drains it:

    weight stationary   ceil(K' / R) ceil(F / C) (T + 2R + C - 2) - 1
    output stationary   ceil(T / R) ceil(F / C) (K' + R + C - 2) - 1

K' = ceil(K x share) where N:M zeros are squeezed out. The ceilings are the lesson: a layer with K = 64 gains nothing
from 2 of 4 on 128 rows, and one with K = 576 gains 1.67x. Both forms equal SCALE-Sim v3's total less its stall cycles
on every layer that was simulated (arXiv 2504.15377; the tool ignores padding and runs depthwise layers as one filter).
Here groups of a convolution run one after another, the samples of a batch as further positions.
"""

from dataclasses import dataclass
from math import ceil, prod
from typing import Literal

from costmodels.errors import AcceleratorError
from costmodels.figures import Figure
from pruning.layers import LayerSpec

Dataflow = Literal["ws", "os"]


@dataclass(frozen=True, kw_only=True)
class Array:
    """Its sides in cells, one multiply-add each a cycle, and what stays in place: weights (ws) or outputs (os)."""

    rows: Figure
    cols: Figure
    dataflow: Dataflow

    def __post_init__(self) -> None:
        if self.dataflow not in ("ws", "os"):
            raise AcceleratorError(f"dataflow {self.dataflow!r} is not one of ws, os")
        if any(side.value != int(side.value) for side in (self.rows, self.cols)):
            raise AcceleratorError("an array has whole rows and columns")

    @property
    def cells(self) -> int:
        """Multiply-adds a cycle when all are busy."""
        return int(self.rows.value) * int(self.cols.value)


def product_cycles(array: Array, positions: int, products: int, filters: int) -> int:
    """Cycles of one matrix product, without waiting for memory."""
    rows, cols = int(array.rows.value), int(array.cols.value)
    if array.dataflow == "ws":
        return ceil(products / rows) * ceil(filters / cols) * (positions + 2 * rows + cols - 2) - 1
    return ceil(positions / rows) * ceil(filters / cols) * (products + rows + cols - 2) - 1


def layer_cycles(array: Array, layer: LayerSpec, batch: int, share: float = 1.0) -> int:
    """Cycles of all calls of a layer for a batch, `share` of the products of each position left."""
    products = (layer.in_channels // layer.groups) * prod(layer.kernel)
    squeezed = max(1, ceil(products * share - 1e-9))
    filters = layer.out_channels // layer.groups
    return layer.calls * layer.groups * product_cycles(array, batch * layer.positions, squeezed, filters)


def compute_s(array: Array, peak_macs_per_s: float, layer: LayerSpec, batch: int, share: float) -> float:
    """Seconds of all calls of a layer; the clock follows from the peak and the cells."""
    return layer_cycles(array, layer, batch, share) * array.cells / peak_macs_per_s

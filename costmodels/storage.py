"""Bytes that weights take in memory, one function a format. Zeros save space before they save time.

Bits are those of one stored weight. Where a format needs to know where the zeros lie (run-length), they are taken as
scattered evenly and the formula gives the mean. `FORMATS` is the list by name; nothing is stored in a format that
takes more than plain weights do, so `coded_bytes` never exceeds `dense_bytes`.

A bitmask beats dense weights as soon as sparsity exceeds 1/bits. Arm's Vela codes ResNet8 at 50 % zeros to 0.614-0.629
of its dense bytes and at 75 % to 0.362-0.369; a bitmask at 8 bits gives 0.625 and 0.375. SCALE-Sim v3 stores 2 of 4
of 32-bit words in 0.531 of dense.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, log2
from typing import Literal

from costmodels.errors import AcceleratorError

Format = Literal["dense", "bitmask", "nm", "csr", "run_length", "block", "nvdla"]
BITS = {"float32": 32, "tf32": 32, "float16": 16, "bfloat16": 16, "int16": 16, "int8": 8, "int4": 4}

CSR_INDEX_BITS = 16  # a column; enough for inputs x kernel positions up to 65,536
CSR_POINTER_BITS = 32  # the start of a row
RUN_BITS = 5  # zeros before a value, 0 ... 31, as in Eyeriss (JSSC 2017, recalled, not re-read)
NVDLA_ALIGNMENT = 128  # bytes
NVDLA_SIZE_BITS = 32  # the size of one group of kernels
NVDLA_GROUP = 32  # kernels a group at 8 bits, 16 at 16 bits (recalled from the NVDLA documentation, not re-read)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One layer's weights as a format sees them. `kept` may be a mean, so it need not be whole."""

    count: int
    kept: float
    bits: int
    rows: int  # output channels
    group: int = 1  # of N:M
    tile: int = 1  # weights in a tile of a block pattern

    def __post_init__(self) -> None:
        if not 0 <= self.kept <= self.count:
            raise AcceleratorError(f"{self.kept} of {self.count} weights kept is impossible")
        if min(self.count, self.bits, self.rows, self.group, self.tile) < 1:
            raise AcceleratorError(f"weights need a count, bits, rows, group and tile of at least 1: {self}")


def dense_bytes(weights: Weights) -> float:
    """Every weight, zero or not."""
    return weights.count * weights.bits / 8


def bitmask_bytes(weights: Weights) -> float:
    """One bit a weight, and the values that are kept."""
    return (weights.kept * weights.bits + weights.count) / 8


def nm_bytes(weights: Weights) -> float:
    """The kept values, each with its position in its group: ceil(log2 group) bits."""
    return weights.kept * (weights.bits + ceil(log2(weights.group))) / 8


def csr_bytes(weights: Weights) -> float:
    """Compressed rows: a column index with every kept value, a pointer to every row and one to the end."""
    return (weights.kept * (weights.bits + CSR_INDEX_BITS) + (weights.rows + 1) * CSR_POINTER_BITS) / 8


def run_length_bytes(weights: Weights) -> float:
    """Pairs of a run of zeros and a value; a run longer than 2^RUN_BITS - 1 is broken by a stored zero.

    With evenly scattered zeros of share z, a pair covers sum of z^k for k < 2^RUN_BITS weights in the mean.
    """
    zeros = 1.0 - weights.kept / weights.count
    covered = sum(zeros**k for k in range(2**RUN_BITS))
    return weights.count / covered * (weights.bits + RUN_BITS) / 8


def block_bytes(weights: Weights) -> float:
    """One bit a tile, and the tiles that are kept."""
    return (weights.kept * weights.bits + ceil(weights.count / weights.tile)) / 8


def nvdla_bytes(weights: Weights) -> float:
    """NVDLA's compressed weights: values, one mask bit a weight, 32 bits a group of kernels, each aligned."""
    groups = ceil(weights.rows * weights.bits / (NVDLA_GROUP * 8))
    parts = (weights.kept * weights.bits / 8, weights.count / 8, groups * NVDLA_SIZE_BITS / 8)
    return float(sum(ceil(part / NVDLA_ALIGNMENT) * NVDLA_ALIGNMENT for part in parts))


FORMATS: Mapping[Format, Callable[[Weights], float]] = {
    "dense": dense_bytes,
    "bitmask": bitmask_bytes,
    "nm": nm_bytes,
    "csr": csr_bytes,
    "run_length": run_length_bytes,
    "block": block_bytes,
    "nvdla": nvdla_bytes,
}


def coded_bytes(form: Format, weights: Weights) -> float:
    """Bytes in that format, or plain where plain takes less."""
    return min(FORMATS[form](weights), dense_bytes(weights))

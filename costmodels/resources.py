"""Max of resources: a layer takes as long as its busiest resource, be it arithmetic or one of several memories.

This is how vendors estimate. Arm's Vela takes the largest of NPU, SRAM, DRAM and two kinds of flash for every operator,
and sums those. NVDLA's performance sheet takes the largest of DRAM, SRAM reads, SRAM writes and arithmetic:

    P Q R S ceil(C / 64) ceil(K / 32) cycles, / 2.25 with Winograd; bytes / (bytes a cycle), rounded up

for P x Q outputs, R x S kernels, C input and K output channels. The sheet rounds channels up as long as they are
whole tiles or the network is ResNet-50; its image input mode (3 channels) is not modelled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from costmodels.errors import AcceleratorError
from costmodels.figures import Figure
from costmodels.roofline import Traffic
from pruning.layers import LayerSpec

Operand = Literal["weights", "inputs", "outputs"]
OPERANDS: tuple[Operand, ...] = ("weights", "inputs", "outputs")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A memory and which operands pass through it."""

    bytes_per_s: Figure
    carries: tuple[Operand, ...] = OPERANDS

    def __post_init__(self) -> None:
        if not self.carries or not set(self.carries) <= set(OPERANDS):
            raise AcceleratorError(f"a memory carries some of {', '.join(OPERANDS)}, not {self.carries!r}")

    def moved_bytes(self, moved: Traffic) -> float:
        """Bytes that pass through it."""
        return float(sum(getattr(moved, operand) for operand in self.carries))


def memory_s(memories: Mapping[str, Memory], moved: Traffic) -> dict[str, float]:
    """Seconds each memory is busy."""
    return {name: memory.moved_bytes(moved) / memory.bytes_per_s.value for name, memory in memories.items()}


def winograd_gain(layer: LayerSpec, gain: Figure | None) -> float:
    """How many times fewer multiply-adds; 3 x 3 convolutions of stride 1 without groups only."""
    fits = layer.kernel == (3, 3) and set(layer.stride) == {1} and layer.groups == 1
    return gain.value if gain is not None and fits else 1.0

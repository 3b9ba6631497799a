"""Energy of a layer: multiply-adds that are carried out, and bytes moved at each memory. Picojoules, then millijoules.

Figures belong to one process node and must never be compared across nodes, so the node is part of them. A figure that
nobody could source makes the whole energy None: half a sum would look like a small one. Local memories count only
where the source of a multiply-add's energy says that they are in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from costmodels.errors import AcceleratorError
from costmodels.figures import Figure


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Picojoules a multiply-add by precision, and a byte by memory."""

    node: str
    mac_pj: Mapping[str, Figure]
    byte_pj: Mapping[str, Figure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.node.strip() or not self.mac_pj:
            raise AcceleratorError("energy needs the process node and the energy of a multiply-add")


def energy_mj(energy: Energy | None, precision: str, macs: float, moved_bytes: Mapping[str, float]) -> float | None:
    """Energy of `macs` multiply-adds and of the bytes moved at each memory; None where a figure is unknown."""
    if energy is None or precision not in energy.mac_pj:
        return None
    if any(memory not in energy.byte_pj for memory in moved_bytes):
        return None
    moved_pj = sum(energy.byte_pj[memory].value * count for memory, count in moved_bytes.items())
    return (macs * energy.mac_pj[precision].value + moved_pj) * 1e-9

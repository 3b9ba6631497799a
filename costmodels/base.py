"""The seam of the cost models: one layer under one pattern on one device, in milliseconds.

Every price carries two words. `source`: where its numbers come from. `derivation`: how they were turned into
this price. A modelled number can therefore never pass for a measured one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pruning.layers import LayerSpec
from pruning.patterns import Pattern

Source = Literal["measured", "simulated", "vendor", "published", "analytical"]
Derivation = Literal["exact", "interpolated", "scaled", "clamped", "dense_fallback", "modelled"]


@dataclass(frozen=True)
class LayerCost:
    """The price of one layer, all its calls included, for the whole batch of the profile. None: not known.

    `low_ms` ... `high_ms` is the interval of the price; `macs` are the multiply-adds of one sample that zeros leave.
    """

    latency_ms: float
    source: Source
    derivation: Derivation
    low_ms: float | None = field(default=None, kw_only=True)
    high_ms: float | None = field(default=None, kw_only=True)
    energy_mj: float | None = field(default=None, kw_only=True)
    weight_bytes: float | None = field(default=None, kw_only=True)
    macs: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, kw_only=True)
class NetworkGroup:
    """Layers whose prices do not simply add up.

    `parallel_max`: they run beside each other, only the slowest counts. `cluster_threshold`: sparse kernels run only
    if at least `min_sparsity` of all their weights together are zero; else every one of them is dense.
    """

    rule: Literal["parallel_max", "cluster_threshold"]
    layers: tuple[str, ...]
    min_sparsity: float = 0.0


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """The price of a whole plan: fixed overhead plus the layers, and its shares by source and derivation."""

    latency_ms: float
    overhead_ms: float
    layers: Mapping[str, LayerCost]
    sources: Mapping[str, float]
    derivations: Mapping[str, float]
    low_ms: float | None = None
    high_ms: float | None = None
    energy_mj: float | None = None
    weight_bytes: float | None = None
    macs: int | None = None


class CostModel(Protocol):
    """Prices layers of one model on one device, batch size and precision. Pure: same question, same answer.

    Seven values, read-only, and one method.
    """

    @property
    def name(self) -> str:
        """The device, for people."""

    @property
    def batch(self) -> int:
        """Samples a call."""

    @property
    def precision(self) -> str:
        """The number format the latencies hold for."""

    @property
    def overhead_ms(self) -> float:
        """What no plan can touch."""

    @property
    def overhead_source(self) -> Source:
        """Where the overhead comes from."""

    @property
    def groups(self) -> tuple[NetworkGroup, ...]:
        """Layers whose prices do not simply add up; () for most devices."""

    @property
    def half_width(self) -> float | None:
        """Of the interval of a network's price, as a share, where calibration knows it; else the layers' are summed."""

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        """Price `now` (the layer `dense` with the channels that are left) under `pattern`.

        `pattern` says what happens inside the shape that is left: Dense, Unstructured or NM (a Channel
        pattern is already in the shape and is priced as dense).
        """

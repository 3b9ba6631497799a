"""The seam of the cost models: one layer under one pattern on one device, in milliseconds.

Every price carries two words. `source`: where its numbers come from. `derivation`: how they were turned into
this price. A modelled number can therefore never pass for a measured one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pruning.layers import LayerSpec
from pruning.patterns import Pattern

Source = Literal["measured", "simulated", "vendor", "published", "analytical"]
Derivation = Literal["exact", "interpolated", "scaled", "clamped", "dense_fallback", "modelled"]


@dataclass(frozen=True)
class LayerCost:
    """The price of one layer, all its calls included, for the whole batch of the profile."""

    latency_ms: float
    source: Source
    derivation: Derivation


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """The price of a whole plan: fixed overhead plus the layers, and its shares by source and derivation."""

    latency_ms: float
    overhead_ms: float
    layers: Mapping[str, LayerCost]
    sources: Mapping[str, float]
    derivations: Mapping[str, float]


class CostModel(Protocol):
    """Prices layers of one model on one device, batch size and precision. Pure: same question, same answer.

    Five values, read-only, and one method.
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

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        """Price `now` (the layer `dense` with the channels that are left) under `pattern`.

        `pattern` says what happens inside the shape that is left: Dense, Unstructured or NM (a Channel
        pattern is already in the shape and is priced as dense).
        """

"""`ProfileTable`: the cost model of a profile for one model.

With a whole-network latency the additivity error is settled at the dense model: layers that sum to less leave an
overhead that no plan touches; layers that sum to more are all scaled down by `factor`. A `Calibration` with more points
replaces both. Layers without rows go by their multiply-adds, at the pace of those that have them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from costmodels.base import Derivation, LayerCost, NetworkGroup, Source
from costmodels.counts import kept_macs
from costmodels.match import MatchReport, layer_table, widest_ms
from costmodels.network import network_cost
from costmodels.points import FLOORS
from costmodels.profile import Profile
from costmodels.table import LayerTable
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Dense, Pattern
from pruning.plan import PruningPlan


@dataclass(frozen=True)
class ProfileTable:
    """Prices layers from a profile's rows; a `CostModel`."""

    name: str
    batch: int
    precision: str
    overhead_ms: float
    overhead_source: Source
    source: Source
    tables: Mapping[str, LayerTable]
    factor: float
    ms_per_mac: float  # for layers without rows, from those that have them
    report: MatchReport
    groups: tuple[NetworkGroup, ...] = ()
    half_width: float | None = None

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        """Price a layer; one without rows goes by its multiply-adds and says `analytical`, `modelled`."""
        macs = kept_macs(now, pattern)
        table = self.tables.get(dense.name)
        if table is None:
            latency_ms = now.macs * self.ms_per_mac * self.factor
            low_ms, high_ms = _interval(latency_ms, FLOORS["modelled"])
            kind: Derivation = "modelled" if isinstance(pattern, Dense) else "dense_fallback"
            return LayerCost(latency_ms, "analytical", kind, low_ms=low_ms, high_ms=high_ms, macs=macs)
        found = table.price((now.in_channels, now.out_channels), pattern)
        latency_ms, derivation = found.latency_ms * self.factor, found.derivation
        low_ms, high_ms = _interval(latency_ms, found.half_width)
        return LayerCost(
            latency_ms,
            self.source,
            "scaled" if derivation == "exact" and self.factor != 1.0 else derivation,
            low_ms=low_ms,
            high_ms=high_ms,
            energy_mj=found.point.energy_mj,
            weight_bytes=found.point.weight_bytes,
            macs=macs,
        )


def profile_table(profile: Profile, model: ModelSpec, report: MatchReport) -> ProfileTable:
    """The cost model of a profile's rows, once they are matched to the model."""
    found = {name: layer_table(model.layer(name), m, profile) for name, m in report.matches.items()}
    tables = {name: table for name, table in found.items() if table is not None}
    matched_ms = sum(table.full_ms for table in tables.values())
    ms_per_mac = matched_ms / sum(model.layer(name).macs for name in tables)
    unused_ms = sum(widest_ms(profile.rows_by_layer[name]) for name in report.unused)  # runs, is no layer of ours
    bare = ProfileTable(
        name=profile.name,
        batch=profile.batch,
        precision=profile.precision,
        overhead_ms=(profile.overhead_ms or 0.0) + unused_ms,
        overhead_source=profile.source,
        source=profile.source,
        tables=tables,
        factor=1.0,
        ms_per_mac=ms_per_mac,
        report=report,
        groups=_groups(profile, report),
    )
    if profile.network_latency_ms is None:
        return bare
    layers_ms = network_cost(model, PruningPlan(pruner=""), replace(bare, overhead_ms=0.0)).latency_ms
    factor = min(1.0, profile.network_latency_ms / (layers_ms + unused_ms))
    overhead_ms = factor * unused_ms if factor < 1.0 else profile.network_latency_ms - layers_ms
    return replace(bare, factor=factor, overhead_ms=overhead_ms)


def _groups(profile: Profile, report: MatchReport) -> tuple[NetworkGroup, ...]:
    """The profile's groups in the model's names; members that are none of its layers take no part."""
    ours: dict[str, list[str]] = {}
    for name, match in report.matches.items():
        for partner in match.partners:
            ours.setdefault(partner, []).append(name)
    named = [(g, tuple(dict.fromkeys(n for m in g.members for n in ours.get(m, ())))) for g in profile.groups]
    return tuple(
        NetworkGroup(rule=group.rule, layers=layers, min_sparsity=group.min_sparsity or 0.0)
        for group, layers in named
        if len(layers) > 1
    )


def _interval(latency_ms: float, half_width: float) -> tuple[float, float]:
    return latency_ms * max(0.0, 1.0 - half_width), latency_ms * (1.0 + half_width)

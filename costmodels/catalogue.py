"""From a profile to prices: `cost_model` for layers, `network_cost` for whole plans.

`accelerator_profile` makes a profile of an accelerator of the catalogue.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from costmodels import accelerator as accelerators
from costmodels.base import CostModel, LayerCost, NetworkCost, Source
from costmodels.errors import AcceleratorError, MatchError
from costmodels.match import MatchReport, match, require_match, rows_by_layer
from costmodels.profile import Profile, ProfileRow
from costmodels.roofline import Roofline
from costmodels.table import LayerTable
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import NM, Channel, Dense, Pattern, Unstructured
from pruning.plan import PruningPlan


@dataclass(frozen=True)
class ProfileTable:
    """Prices layers from a profile's rows; a `CostModel`.

    With a whole-network latency the additivity error is settled at the dense model: layers that sum to less
    leave an overhead that no plan touches; layers that sum to more are all scaled down by `factor`.
    """

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

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        """Price a layer; one without rows goes by its multiply-adds and says `analytical`, `modelled`."""
        table = self.tables.get(dense.name)
        if table is None:
            fallback = isinstance(pattern, Unstructured | NM)
            latency_ms = now.macs * self.ms_per_mac * self.factor
            return LayerCost(latency_ms, "analytical", "dense_fallback" if fallback else "modelled")
        cell = table.price((now.in_channels, now.out_channels), pattern)
        kept = self.factor == 1.0 or cell.derivation != "exact"
        return LayerCost(cell.latency_ms * self.factor, self.source, cell.derivation if kept else "scaled")


def cost_model(profile: Profile, model: ModelSpec, acknowledge: Collection[str] = ()) -> CostModel:
    """The cost model of a profile for a model.

    Raises:
        MatchError: the profile covers too little of the model.
        AcceleratorError: its accelerator is unknown, has changed since, or has no figure for the precision.
    """
    if profile.accelerator is not None:
        return _roofline(profile)
    report = match(profile, model)
    require_match(profile, report, acknowledge)
    return _table(profile, model, report)


def check_deployment(profile: Profile, *, batch: int, precision: str, acknowledge: Collection[str] = ()) -> None:
    """Refuse a profile whose batch or precision is not the search's, unless that is acknowledged.

    Raises:
        MatchError: names both sides and the word to acknowledge.
    """
    for word, theirs, ours in (("batch", profile.batch, batch), ("precision", profile.precision, precision)):
        if theirs != ours and word not in acknowledge:
            raise MatchError(
                f"profile {profile.name!r} is for {word} {theirs} but the search asks for {ours}: "
                f'use a profile for that {word}, or acknowledge "{word}" and take its latencies as they are'
            )


def accelerator_profile(name: str, batch: int, precision: str | None = None, title: str = "") -> Profile:
    """A profile of an accelerator of the catalogue; the precision may be left out where it has only one.

    Raises:
        AcceleratorError: not in the catalogue, or a precision it has no figure for.
    """
    entry = accelerators.load(name)
    if precision is None and len(entry.precisions) > 1:
        choices = ", ".join(entry.precisions)
        raise AcceleratorError(f"accelerator {name!r} can be priced at {choices}: say which precision")
    chosen = precision or entry.precisions[0]
    Roofline(entry, batch, chosen)  # refuses what it cannot price
    return Profile(
        name=title or f"{name}, {chosen}, batch {batch}",
        device=entry.device,
        batch=batch,
        precision=chosen,
        source="analytical",
        tool="espalier roofline",
        note=entry.summary[:300].strip(),
        accelerator=name,
        accelerator_digest=entry.digest,
    )


def network_cost(model: ModelSpec, plan: PruningPlan, cost_model: CostModel) -> NetworkCost:
    """The price of a whole plan: every layer at the shape that is left, and the overhead.

    Raises:
        PlanError: the plan does not fit the model.
    """
    layers: dict[str, LayerCost] = {}
    for dense, now in zip(model.layers, plan.shrunk(model), strict=True):
        pattern = plan.pattern(dense.name)
        inside = Dense() if isinstance(pattern, Channel) else pattern
        layers[dense.name] = cost_model.cost(dense, now, inside)
    overhead_ms = cost_model.overhead_ms
    sources: dict[str, float] = {cost_model.overhead_source: overhead_ms} if overhead_ms else {}
    derivations: dict[str, float] = {_overhead_derivation(cost_model): overhead_ms} if overhead_ms else {}
    for cost in layers.values():
        sources[cost.source] = sources.get(cost.source, 0.0) + cost.latency_ms
        derivations[cost.derivation] = derivations.get(cost.derivation, 0.0) + cost.latency_ms
    total_ms = overhead_ms + sum(cost.latency_ms for cost in layers.values())
    return NetworkCost(
        latency_ms=total_ms,
        overhead_ms=overhead_ms,
        layers=layers,
        sources={key: value / total_ms for key, value in sources.items()},
        derivations={key: value / total_ms for key, value in derivations.items()},
    )


def _overhead_derivation(cost_model: CostModel) -> str:
    # A measured overhead is exact at the dense model and is kept, unchanged, for every plan.
    return "modelled" if cost_model.overhead_source == "analytical" else "exact"


def _roofline(profile: Profile) -> Roofline:
    assert profile.accelerator is not None
    entry = accelerators.load(profile.accelerator)
    if profile.accelerator_digest not in (None, entry.digest):
        raise AcceleratorError(
            f"the catalogue's entry {entry.name!r} has changed since profile {profile.name!r} was made: "
            "make a new profile of it, so that old and new prices do not mix"
        )
    return Roofline(entry, profile.batch, profile.precision, profile.name, profile.overhead_ms or 0.0)


def _table(profile: Profile, model: ModelSpec, report: MatchReport) -> ProfileTable:
    rows = rows_by_layer(profile)
    found = {ours: LayerTable.of(model.layer(ours), rows[theirs]) for ours, theirs in report.matched.items()}
    tables = {name: table for name, table in found.items() if table is not None}
    matched_ms = sum(table.full_ms for table in tables.values())
    ms_per_mac = matched_ms / sum(model.layer(name).macs for name in tables)
    missing_ms = ms_per_mac * sum(layer.macs for layer in model.layers if layer.name not in tables)
    unused_ms = sum(_widest_ms(rows[name]) for name in report.unused)  # runs there, is no layer of ours
    layers_ms, factor = matched_ms + missing_ms, 1.0
    overhead_ms = (profile.overhead_ms or 0.0) + unused_ms
    if profile.network_latency_ms is not None:
        factor = min(1.0, profile.network_latency_ms / (layers_ms + unused_ms))
        over = factor < 1.0
        overhead_ms = factor * unused_ms if over else profile.network_latency_ms - layers_ms
    return ProfileTable(
        name=profile.name,
        batch=profile.batch,
        precision=profile.precision,
        overhead_ms=overhead_ms,
        overhead_source=profile.source,
        source=profile.source,
        tables=tables,
        factor=factor,
        ms_per_mac=ms_per_mac,
        report=report,
    )


def _widest_ms(rows: Sequence[ProfileRow]) -> float:
    return max(row.latency_ms for row in rows if row.pattern == "dense")

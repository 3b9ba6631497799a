"""The price of whole plans: overhead, every layer at the shape that is left, and what does not simply add up.

`network_cost` prices one plan and says what of it came from where. `PlanPricer` prices many at once: the price of a
layer depends on its own option and on the channels it reads, so it is one look-up in a small table that fills itself as
combinations occur.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from costmodels.base import CostModel, LayerCost, NetworkCost, NetworkGroup
from pruning.layers import ChannelGroup, LayerSpec, ModelSpec
from pruning.patterns import Channel, Dense, Pattern
from pruning.plan import PruningPlan

_CHUNK = 16_384  # plans priced at a time, so that indices and sums stay in the processor's cache
_ROUNDING = 1e-9
Floats = npt.NDArray[np.float64]
Choices = npt.NDArray[np.integer[Any]]


def network_cost(model: ModelSpec, plan: PruningPlan, cost_model: CostModel) -> NetworkCost:
    """The price of a whole plan.

    Raises:
        PlanError: the plan does not fit the model.
    """
    left = {dense.name: (dense, now) for dense, now in zip(model.layers, plan.shrunk(model), strict=True)}
    patterns = {name: inside(plan.pattern(name)) for name in left}
    for name in _dense_again(left, patterns, cost_model.groups):
        patterns[name] = Dense()
    layers = {name: cost_model.cost(*left[name], patterns[name]) for name in left}
    hidden = _hidden(layers, cost_model.groups)
    counted = [cost for name, cost in layers.items() if name not in hidden]
    return _summed(cost_model, layers, counted)


def inside(pattern: Pattern) -> Pattern:
    """What a pattern does inside the shape that is left: a channel pattern is in the shape already."""
    return Dense() if isinstance(pattern, Channel) else pattern


def _dense_again(
    left: Mapping[str, tuple[LayerSpec, LayerSpec]], patterns: Mapping[str, Pattern], groups: Sequence[NetworkGroup]
) -> list[str]:
    """Layers whose zeros are ignored, since their cluster has too few of them."""
    found: list[str] = []
    for group in groups:
        if group.rule == "cluster_threshold":
            weights = sum(left[name][1].weights for name in group.layers)
            kept = sum(left[name][1].weights * patterns[name].density for name in group.layers)
            if too_few(weights, kept, group):
                found += group.layers
    return found


def too_few(weights: Any, kept: Any, group: NetworkGroup) -> Any:
    """Whether a cluster has too few zeros for its sparse kernels; numbers or arrays, equal as far as rounding goes."""
    return 1.0 - kept / weights < group.min_sparsity - _ROUNDING


def _hidden(layers: Mapping[str, LayerCost], groups: Sequence[NetworkGroup]) -> set[str]:
    """Layers that run beside a slower one."""
    found: set[str] = set()
    for group in groups:
        if group.rule == "parallel_max":
            slowest = max(group.layers, key=lambda name: layers[name].latency_ms)
            found |= {name for name in group.layers if name != slowest}
    return found


def _summed(cost_model: CostModel, layers: Mapping[str, LayerCost], counted: Sequence[LayerCost]) -> NetworkCost:
    overhead_ms = cost_model.overhead_ms
    # A measured overhead is exact at the dense model and is kept, unchanged, for every plan.
    kind = "modelled" if cost_model.overhead_source == "analytical" else "exact"
    sources: dict[str, float] = {cost_model.overhead_source: overhead_ms} if overhead_ms else {}
    derivations: dict[str, float] = {kind: overhead_ms} if overhead_ms else {}
    for cost in counted:
        sources[cost.source] = sources.get(cost.source, 0.0) + cost.latency_ms
        derivations[cost.derivation] = derivations.get(cost.derivation, 0.0) + cost.latency_ms
    total_ms = overhead_ms + sum(cost.latency_ms for cost in counted)
    everything = list(layers.values())
    return NetworkCost(
        latency_ms=total_ms,
        overhead_ms=overhead_ms,
        layers=layers,
        sources={key: value / total_ms for key, value in sources.items()},
        derivations={key: value / total_ms for key, value in derivations.items()},
        low_ms=_bound(total_ms, cost_model, [cost.low_ms for cost in counted], -1.0),
        high_ms=_bound(total_ms, cost_model, [cost.high_ms for cost in counted], 1.0),
        energy_mj=_total([cost.energy_mj for cost in everything]),
        weight_bytes=_total([cost.weight_bytes for cost in everything]),
        macs=sum(cost.macs for cost in everything if cost.macs is not None),
    )


def _bound(total_ms: float, cost_model: CostModel, layers: Sequence[float | None], side: float) -> float | None:
    """One end of the interval: calibration's where it knows one, else that of the layers, all wrong the same way."""
    if cost_model.half_width is not None:
        return total_ms * max(0.0, 1.0 + side * cost_model.half_width)
    return _total(layers, cost_model.overhead_ms)


def _total(parts: Sequence[float | None], start: float = 0.0) -> float | None:
    """Their sum, or None where one is not known."""
    known = [part for part in parts if part is not None]
    return start + sum(known) if len(known) == len(parts) else None


@dataclass(frozen=True)
class _Reader:
    """A group that cuts a layer's inputs: which layer's option decides it, and the channels that each level keeps."""

    group: str
    column: int
    levels: npt.NDArray[np.intp]  # by option of the deciding layer
    kept: tuple[int, ...]  # by level


@dataclass(frozen=True)
class _Look:
    """One layer with its options, and the groups that cut its outputs and its inputs."""

    layer: LayerSpec
    alone: ModelSpec  # a model of this layer only
    options: tuple[Pattern, ...]
    own: tuple[ChannelGroup, ...]
    readers: tuple[_Reader, ...]
    # By own option and levels, flat; NaN until asked for: the price; in a cluster also the price with the pattern
    # ignored, the weights, and those that it leaves.
    table: Floats

    def index(self, choices: Choices, column: int) -> npt.NDArray[np.intp]:
        """Where each plan's price stands."""
        found = choices[:, column].astype(np.intp)
        for reader in self.readers:
            found = found * len(reader.kept) + reader.levels[choices[:, reader.column]]
        return found

    def now(self, flat: int) -> tuple[LayerSpec, Pattern]:
        """The layer as it is left at a place of the table, and the pattern inside it."""
        kept: dict[str, int] = {}
        for reader in reversed(self.readers):
            flat, level = divmod(flat, len(reader.kept))
            kept[reader.group] = reader.kept[level]
        pattern = self.options[flat]
        if isinstance(pattern, Channel):
            kept |= {group.name: pattern.kept(group.channels) for group in self.own}
        return self.alone.shrunk(kept)[0], inside(pattern)


@dataclass
class PlanPricer:
    """Prices plans given as option indices: `choices[plan, layer]`, layers in the model's order.

    Layers that share a group must choose the same channel option, as in any plan that fits the model.
    """

    model: ModelSpec
    options: Mapping[str, Sequence[Pattern]]
    cost_model: CostModel
    _looks: list[_Look] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._looks = [self._look(layer) for layer in self.model.layers]

    def latency_ms(self, choices: Choices) -> Floats:
        """The predicted latency of every plan: `[plans]`."""
        totals = np.empty(len(choices))
        for start in range(0, len(choices), _CHUNK):
            totals[start : start + _CHUNK] = self._chunk(choices[start : start + _CHUNK])
        return totals

    def _chunk(self, choices: Choices) -> Floats:
        groups = self.cost_model.groups
        grouped = {name for group in groups for name in group.layers}
        total, held = np.full(len(choices), self.cost_model.overhead_ms), {}
        for column, look in enumerate(self._looks):
            found = self._found(look, look.index(choices, column))
            if look.layer.name in grouped:
                held[look.layer.name] = found
            else:
                total += found[0]
        for group in groups:
            if group.rule == "cluster_threshold":
                _settle_cluster(group, held)
        parallel = [group for group in groups if group.rule == "parallel_max"]
        for group in parallel:
            total += np.max([held[name][0] for name in group.layers], axis=0)
        beside = {name for group in parallel for name in group.layers}
        for name in held.keys() - beside:
            total += held[name][0]
        return total

    def _found(self, look: _Look, flat: npt.NDArray[np.intp]) -> Floats:
        """The rows of a layer's table at the places asked for, filled in where they were empty."""
        found = look.table[:, flat]
        if np.isnan(found[0]).any():
            for one in np.unique(flat[np.isnan(found[0])]):
                now, pattern = look.now(int(one))
                look.table[0, one] = self.cost_model.cost(look.layer, now, pattern).latency_ms
                if len(look.table) > 1:
                    dense_ms = self.cost_model.cost(look.layer, now, Dense()).latency_ms
                    look.table[1:, one] = dense_ms, now.weights, now.weights * pattern.density
            found = look.table[:, flat]
        return found

    def _look(self, layer: LayerSpec) -> _Look:
        columns = {one.name: n for n, one in enumerate(self.model.layers)}
        own = self.model.family_of(layer.name)
        reads = [group for group in self.model.groups if group.removable and _reads(layer, group)]
        readers = tuple(self._reader(group, columns[group.producers[0]]) for group in reads)
        options = tuple(self.options[layer.name])
        size = len(options) * prod(len(reader.kept) for reader in readers)
        clusters = (group.layers for group in self.cost_model.groups if group.rule == "cluster_threshold")
        height = 4 if any(layer.name in layers for layers in clusters) else 1
        alone = replace(self.model, layers=(layer,), groups=(*own, *(group for group in reads if group not in own)))
        return _Look(layer, alone, options, own, readers, np.full((height, size), np.nan))

    def _reader(self, group: ChannelGroup, column: int) -> _Reader:
        kept = [
            p.kept(group.channels) if isinstance(p, Channel) else group.channels
            for p in self.options[group.producers[0]]
        ]
        distinct = sorted(set(kept), reverse=True)
        levels = np.array([distinct.index(one) for one in kept], dtype=np.intp)
        return _Reader(group.name, column, levels, tuple(distinct))


def _reads(layer: LayerSpec, group: ChannelGroup) -> bool:
    return any(cut.role == "consumer" and cut.parameter == layer.parameter for cut in group.cuts)


def _settle_cluster(group: NetworkGroup, held: dict[str, Floats]) -> None:
    """Put dense prices where a cluster has too few zeros."""
    rows = [held[name] for name in group.layers]
    weights, kept = sum(row[2] for row in rows), sum(row[3] for row in rows)
    few = too_few(weights, kept, group)
    for row in rows:
        row[0] = np.where(few, row[1], row[0])

"""What options and plans cost on every device of a search.

Two prices, and they differ. `price_plan` is the network function: every layer at the shape the whole plan
leaves. `CostTable` is its additive approximation for the solver: overhead + one number a unit. They agree
exactly for the dense plan, for own options in any combination, and for channel options whose consumers are
either left alone by a device that rewards nothing else there, or pruned as strongly as the option. Else they
differ: the gain of a layer that loses input channels is booked on the group that loses them, as if that layer
were pruned just as strongly itself; if it is pruned harder, the table promises too little latency. So every
plan must be priced again with `price_plan` before it runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from app.search.options import Choice, Option, Space, Unit
from app.search.trial import TrialCost
from costmodels.base import CostModel, LayerCost, NetworkGroup, Source
from costmodels.network import network_cost
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Channel, Dense, Pattern, Unstructured
from pruning.plan import PruningPlan

_CHUNK = 16_384  # plans priced at a time, so that indices and sums stay in the processor's cache
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Remembered:
    """A cost model that never asks the same question twice; itself a `CostModel`. For one model only."""

    inner: CostModel
    known: dict[tuple[str, int, int, Pattern], LayerCost] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The device."""
        return self.inner.name

    @property
    def batch(self) -> int:
        """Samples a call."""
        return self.inner.batch

    @property
    def precision(self) -> str:
        """The number format."""
        return self.inner.precision

    @property
    def overhead_ms(self) -> float:
        """What no plan can touch."""
        return self.inner.overhead_ms

    @property
    def overhead_source(self) -> Source:
        """Where the overhead comes from."""
        return self.inner.overhead_source

    @property
    def groups(self) -> tuple[NetworkGroup, ...]:
        """Layers whose prices do not simply add up."""
        return self.inner.groups

    @property
    def half_width(self) -> float | None:
        """Of the interval of a network's price."""
        return self.inner.half_width

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        """Price a layer, or recall the price."""
        key = (dense.name, now.in_channels, now.out_channels, pattern)
        if key not in self.known:
            self.known[key] = self.inner.cost(dense, now, pattern)
        return self.known[key]


def remembered(cost_models: Mapping[str, CostModel]) -> dict[str, CostModel]:
    """The same cost models with memory; worth it when many plans of one model are priced."""
    return {key: m if isinstance(m, Remembered) else Remembered(m) for key, m in cost_models.items()}


def price_plan(model: ModelSpec, plan: PruningPlan, cost_models: Mapping[str, CostModel]) -> tuple[TrialCost, ...]:
    """The exact prices of a plan, one a device, in the order of `cost_models`."""
    priced = ((key, network_cost(model, plan, cost_model)) for key, cost_model in cost_models.items())
    return tuple(
        TrialCost(
            profile=key,
            latency_ms=p.latency_ms,
            sources=dict(p.sources),
            derivations=dict(p.derivations),
            low_ms=p.low_ms,
            high_ms=p.high_ms,
        )
        for key, p in priced
    )


@dataclass(frozen=True)
class CostTable:
    """Additive prices: `overhead_ms[device] + sum over units of units_ms[unit][option, device]`.

    An entry may lie below zero: a channel option is credited with what its consumers gain, and they may be
    the heavier layers. A solver that needs costs >= 0 subtracts each unit's minimum first.
    """

    profiles: tuple[str, ...]
    overhead_ms: Floats  # [devices]
    units_ms: tuple[Floats, ...]  # each [options, devices]

    @property
    def dense_ms(self) -> Floats:
        """Dense latency, [devices]."""
        return self.total([0] * len(self.units_ms))

    def choice_ms(self, unit: int, choice: Choice) -> Floats:
        """The price of a choice for one unit, [devices]: own options of different layers add up exactly."""
        unit_ms = self.units_ms[unit]
        indices = [choice] if isinstance(choice, int) else list(choice)
        chosen_ms: Floats = unit_ms[0] + (unit_ms[indices] - unit_ms[0]).sum(axis=0)
        return chosen_ms

    def total(self, choices: Sequence[Choice]) -> Floats:
        """The price of one choice a unit, [devices]."""
        total_ms = self.overhead_ms.copy()
        for unit, choice in enumerate(choices):
            total_ms += self.choice_ms(unit, choice)
        return total_ms

    def totals(self, choices: npt.NDArray[np.integer[Any]]) -> Floats:
        """Prices of many plans: `choices[plan, unit]` is one option index; the answer is [plans, devices]."""
        totals = np.empty((len(choices), len(self.profiles)))
        columns = [[np.ascontiguousarray(unit_ms[:, d]) for unit_ms in self.units_ms] for d in range(totals.shape[1])]
        for start in range(0, len(choices), _CHUNK):
            by_unit = np.ascontiguousarray(choices[start : start + _CHUNK].T, dtype=np.intp)
            for device, tables in enumerate(columns):
                sums = np.full(by_unit.shape[1], self.overhead_ms[device])
                for table, picked in zip(tables, by_unit, strict=True):
                    sums += table[picked]
                totals[start : start + _CHUNK, device] = sums
        return totals


def cost_table(model: ModelSpec, space: Space, cost_models: Mapping[str, CostModel]) -> CostTable:
    """Price every option of a space on every device."""
    models = list(remembered(cost_models).values())
    home = {layer: unit for unit in space.units for layer in unit.layers}
    units_ms = tuple(
        np.array([[option_ms(model, unit, option, m, home) for m in models] for option in unit.options])
        for unit in space.units
    )
    overhead_ms = np.array([m.overhead_ms for m in models])
    return CostTable(tuple(cost_models), overhead_ms, units_ms)


def option_ms(
    model: ModelSpec,
    unit: Unit,
    option: Option,
    cost_model: CostModel,
    home: Mapping[str, Unit] | None = None,
) -> float:
    """The price of one option: the unit's layers under it, less what other layers gain by losing inputs.

    With `home` (layer -> its unit) other layers are taken to be pruned as strongly as the option; without it
    they are dense, and dense total - option_ms(dense) + option_ms(option) is the exact price of it alone.
    """
    after = PruningPlan(pruner="", patterns=option.patterns).shrunk(model)
    total_ms = 0.0
    for dense, now in zip(model.layers, after, strict=True):
        if dense.name in unit.layers:
            total_ms += cost_model.cost(dense, now, _inside(option.patterns.get(dense.name, Dense()))).latency_ms
        elif now != dense:
            companion = _companion(dense, option, home, cost_model)
            total_ms -= _gain_ms(dense, now, companion, cost_model)
    return total_ms


def _inside(pattern: Pattern) -> Pattern:
    return Dense() if isinstance(pattern, Channel) else pattern


def _gain_ms(dense: LayerSpec, now: LayerSpec, companion: Pattern, cost_model: CostModel) -> float:
    out = now.out_channels
    if isinstance(companion, Channel):
        out = min(out, companion.kept(dense.out_channels))
    before, after = dense.resized(dense.in_channels, out), dense.resized(now.in_channels, out)
    inside = _inside(companion)
    return cost_model.cost(dense, before, inside).latency_ms - cost_model.cost(dense, after, inside).latency_ms


def _companion(layer: LayerSpec, option: Option, home: Mapping[str, Unit] | None, cost_model: CostModel) -> Pattern:
    """The layer's own pattern of the same sparsity that is cheapest on this device; dense if it has none."""
    if home is None or layer.depthwise:
        return Dense()
    strength = next(iter(option.patterns.values())).density
    candidates: list[Pattern] = [
        p
        for other in home[layer.name].options
        for name, p in other.patterns.items()
        if name == layer.name and isinstance(p, Channel | Unstructured) and abs(p.density - strength) < 1e-9
    ]

    def alone_ms(pattern: Pattern) -> float:
        out = pattern.kept(layer.out_channels) if isinstance(pattern, Channel) else layer.out_channels
        return cost_model.cost(layer, layer.resized(layer.in_channels, out), _inside(pattern)).latency_ms

    return min(candidates, key=alone_ms, default=Dense())


@dataclass(frozen=True, kw_only=True)
class ReachableRange:
    """What a space reaches on one device, by the network function; `choices` is the cheapest plan found."""

    profile: str
    lowest_ms: float
    dense_ms: float
    choices: tuple[Choice, ...]


def reachable_range(model: ModelSpec, space: Space, profile: str, cost_model: CostModel) -> ReachableRange:
    """Dense latency and the lowest found: the additive minimum, improved unit by unit."""
    memory = Remembered(cost_model)
    table = cost_table(model, space, {profile: memory})
    candidates = [_candidates(unit, table, index) for index, unit in enumerate(space.units)]
    best = [_cheapest(table, index, found) for index, found in enumerate(candidates)]

    @cache  # the last round asks again what the one before it did
    def priced_ms(choices: tuple[Choice, ...]) -> float:
        return network_cost(model, space.plan(choices, ""), memory).latency_ms

    def exact_ms(choices: Sequence[Choice]) -> float:
        return priced_ms(tuple(choices))

    lowest_ms, improved = exact_ms(best), True
    while improved:
        improved = False
        for index, found in enumerate(candidates):
            for choice in found:
                trial = [*best[:index], choice, *best[index + 1 :]]
                if (latency_ms := exact_ms(trial)) < lowest_ms * (1.0 - 1e-12):
                    best, lowest_ms, improved = trial, latency_ms, True
    dense_ms = exact_ms([0] * len(space.units))
    if dense_ms <= lowest_ms:
        best, lowest_ms = [0] * len(space.units), dense_ms
    return ReachableRange(profile=profile, lowest_ms=lowest_ms, dense_ms=dense_ms, choices=tuple(best))


def _cheapest(table: CostTable, index: int, candidates: Sequence[Choice]) -> Choice:
    return min(candidates, key=lambda choice: float(table.choice_ms(index, choice)[0]))


def _candidates(unit: Unit, table: CostTable, index: int) -> list[Choice]:
    if not unit.combinable:
        return list(range(len(unit.options)))
    unit_ms = table.units_ms[index][:, 0]
    cheapest = tuple(min(unit.own(layer), key=lambda i: float(unit_ms[i])) for layer in unit.layers)
    return [0, *unit.joint, tuple(i for i in cheapest if i) or 0]

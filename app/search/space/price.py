"""What options and plans cost on every device of a search.

Two prices, and they differ. `price_plan` is the network function: every layer at the shape the whole plan
leaves. `CostTable` is its additive approximation for the solver: overhead + one number a unit. They agree
exactly for the dense plan, for own options in any combination, and for channel options whose consumers are
either left alone by a device that rewards nothing else there, or pruned as strongly as the option. Else they
differ: the gain of a layer that loses input channels is booked on the group that loses them, as if that layer
were pruned just as strongly itself; if it is pruned harder, the table promises too little latency. So every
plan must be priced again with `price_plan` before it runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from app.search.space.option_price import option_price
from app.search.space.options import Choice, Space, Unit
from app.search.trial import TrialCost
from costmodels.base import CostModel, LayerCost, NetworkGroup, Source
from costmodels.network import network_cost
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Pattern
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
            energy_mj=p.energy_mj,
            weight_bytes=p.weight_bytes,
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
        np.array([[option_price(model, unit, option, m, home) for m in models] for option in unit.options])
        for unit in space.units
    )
    overhead_ms = np.array([m.overhead_ms for m in models])
    return CostTable(tuple(cost_models), overhead_ms, units_ms)


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
    found = [offered(unit, table.units_ms[index][:, 0]) for index, unit in enumerate(space.units)]
    best = [_cheapest(table, index, choices) for index, choices in enumerate(found)]

    @cache  # the last round asks again what the one before it did
    def priced_ms(choices: tuple[Choice, ...]) -> float:
        return network_cost(model, space.plan(choices, ""), memory).latency_ms

    lowest_ms, choices = lowered(found, best, priced_ms)
    dense = (0,) * len(space.units)
    dense_ms = priced_ms(dense)
    if dense_ms <= lowest_ms:
        choices, lowest_ms = dense, dense_ms
    return ReachableRange(profile=profile, lowest_ms=lowest_ms, dense_ms=dense_ms, choices=choices)


def lowered(
    found: Sequence[Sequence[Choice]], start: Sequence[Choice], price: Callable[[tuple[Choice, ...]], float]
) -> tuple[float, tuple[Choice, ...]]:
    """The lowest price that is found from a start by changing one unit after another, and its choices."""
    best = tuple(start)
    lowest, improved = price(best), True
    while improved:
        improved = False
        for index, choices in enumerate(found):
            for choice in choices:
                trial = (*best[:index], choice, *best[index + 1 :])
                if (now := price(trial)) < lowest * (1.0 - 1e-12):
                    best, lowest, improved = trial, now, True
    return lowest, best


def offered(unit: Unit, prices: Floats) -> list[Choice]:
    """The choices of a unit that may be the cheapest at these prices of its options."""
    if not unit.combinable:
        return list(range(len(unit.options)))
    cheapest = tuple(min(unit.own(layer), key=lambda i: float(prices[i])) for layer in unit.layers)
    return [0, *unit.joint, tuple(i for i in cheapest if i) or 0]


def _cheapest(table: CostTable, index: int, choices: Sequence[Choice]) -> Choice:
    return min(choices, key=lambda choice: float(table.choice_ms(index, choice)[0]))

"""What plans take beside time, on devices that can say: energy and the bytes of weights.

Both are priced as latency is, by the network function, and by one number an option for the solver; tables and ranges
are made when a limit first asks for them. What a device cannot price is NaN in a table: no plan with it keeps a limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import ceil, floor, inf, log10

import numpy as np

from app.search.errors import SearchFailed
from app.search.space.option_price import option_price
from app.search.space.options import Choice, Space
from app.search.space.price import Floats, Remembered, lowered, offered
from app.search.trial import Resource
from costmodels import accelerator
from costmodels.base import CostModel
from costmodels.network import network_cost
from pruning.layers import ModelSpec

Key = tuple[str, Resource]  # profile, and what is limited there
SLACK = 1e-9  # of a limit: sums of floats in another order
_UNITS: Mapping[Resource, str] = {
    "latency_ms": "ms", "energy_mj": "mJ of energy", "weight_bytes": "bytes of weights"
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ResourceRange:
    """What a space reaches of a resource on one device, at exact prices; `choices` is the plan found that takes least.

    `unpriced` of its options have no figure there, and are in no such plan.
    """

    profile: str
    resource: Resource
    lowest: float
    dense: float
    choices: tuple[Choice, ...]
    unpriced: int


@dataclass(frozen=True)
class Resources:
    """The resources of a space on its devices."""

    model: ModelSpec
    space: Space
    cost_models: Mapping[str, CostModel]
    names: Mapping[str, str] = field(default_factory=dict)  # of profiles, as people know them; else the device's own
    _columns: dict[Key, tuple[Floats, ...]] = field(default_factory=dict, repr=False)
    _ranges: dict[Key, ResourceRange] = field(default_factory=dict, repr=False)

    def column(self, key: Key) -> tuple[Floats, ...]:
        """Per unit, what its `options` take of a resource; they add up to nearly the price of a plan."""
        if key not in self._columns:
            profile, resource = key
            memory = Remembered(self.cost_models[profile])
            home = {layer: unit for unit in self.space.units for layer in unit.layers}
            self._columns[key] = tuple(
                np.array([option_price(self.model, unit, one, memory, home, resource) for one in unit.options])
                for unit in self.space.units
            )
        return self._columns[key]

    def reach(self, key: Key) -> ResourceRange:
        """The range of a resource on a device.

        Raises:
            SearchFailed: code `resource_unknown`, the device cannot price it.
        """
        if key not in self._ranges:
            self._ranges[key] = self._reach(key)
        return self._ranges[key]

    def require(self, key: Key, most: float) -> ResourceRange:
        """The range of a resource on a device of which some plan takes no more than this.

        Raises:
            SearchFailed: code `limit_unreachable`, with what can be reached; code `resource_unknown`.
        """
        reach = self.reach(key)
        if reach.lowest <= most * (1 + SLACK):
            return reach
        left_out = f" ({reach.unpriced} options without a figure left out)" if reach.unpriced else ""
        raise SearchFailed(
            "limit_unreachable",
            f"no plan of this search reaches {shown(key, most)} on profile {self._name(key[0])!r}: this "
            f"space goes from {at_least(reach.lowest)} ({reach.lowest / reach.dense:.1%} of dense) to "
            f"{_figure(reach.dense)} (dense){left_out}; raise the limit, or allow more patterns or sparsities",
            {"profile": key[0], "resource": key[1], "limit": most, "lowest": reach.lowest, "dense": reach.dense},
        )

    def _name(self, profile: str) -> str:
        return self.names.get(profile, self.cost_models[profile].name)

    def _reach(self, key: Key) -> ResourceRange:
        profile, resource = key
        memory = Remembered(self.cost_models[profile])

        @cache  # the last round asks again what the one before it did
        def price(choices: tuple[Choice, ...]) -> float:
            found: float | None = getattr(network_cost(self.model, self.space.plan(choices, ""), memory), resource)
            return inf if found is None else found

        nothing = (0,) * len(self.space.units)
        if (dense := price(nothing)) == inf:
            raise _unknown(profile, self._name(profile), resource)
        column = [np.where(np.isnan(unit), inf, unit) for unit in self.column(key)]
        found = [offered(unit, prices) for unit, prices in zip(self.space.units, column, strict=True)]
        start = [_cheapest(*each) for each in zip(found, column, strict=True)]
        lowest, choices = lowered(found, start, price)
        if dense <= lowest:
            lowest, choices = dense, nothing
        unpriced = sum(int(np.isinf(unit).sum()) for unit in column)
        return ResourceRange(
            profile=profile, resource=resource, lowest=lowest, dense=dense, choices=choices, unpriced=unpriced
        )


def chosen(prices: Floats, choice: Choice) -> float:
    """What a choice for one unit takes, of which its options take this: own options of different layers add up."""
    indices: Sequence[int] = [choice] if isinstance(choice, int) else choice
    return float(prices[0] + sum(prices[index] - prices[0] for index in indices))


def _cheapest(choices: Sequence[Choice], prices: Floats) -> Choice:
    return min(choices, key=lambda choice: chosen(prices, choice))


def shown(key: Key, most: float) -> str:
    """A limit with its unit, for people; bytes in full."""
    return f"{most:{',.15g' if key[1] == 'weight_bytes' else '.6g'}} {_UNITS[key[1]]}"


def at_least(lowest: float) -> str:
    """The lowest amount that can be reached, in four digits or whole: rounded up, so that a limit set to it is kept."""
    digit = 10.0 ** min(floor(log10(lowest)) - 3, 0) if lowest > 0 else 1.0
    return _figure(ceil(lowest * (1 - SLACK) / digit) * digit)


def _figure(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 9999.5 else f"{amount:.4g}"  # four digits would have an exponent


def _unknown(profile: str, name: str, resource: Resource) -> SearchFailed:
    entries = [entry for entry in map(accelerator.load, accelerator.names()) if resource != "energy_mj" or entry.energy]
    return SearchFailed(
        "resource_unknown",
        f"profile {name!r} cannot price {resource}, so no limit on it can be kept there: give its rows {resource}, or "
        f"limit it on an accelerator of the catalogue that has such figures, such as {entries[0].name!r}",
        {"profile": profile, "resource": resource},
    )

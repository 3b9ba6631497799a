"""What stored plans cost on another device: thousands of plans at once, equal to `price_plan` to the last bit.

A layer's price depends on its own pattern and on those of the groups that touch it, so each combination is priced once;
what remains is sums over layers, taken in the order in which `costmodels.network` takes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.search.trial import TrialCost
from costmodels.base import CostModel, LayerCost, NetworkGroup
from costmodels.network import inside, too_few
from pruning import patterns
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Channel, Dense, Pattern

Document = Mapping[str, Any]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
_DENSE = Dense()


@dataclass
class _Column:
    """One layer under every plan: which distinct price each plan has, and the prices."""

    layer: LayerSpec
    price: Indices  # [plans], a row of the others
    costs: list[LayerCost]
    dense_costs: list[LayerCost]  # with the pattern ignored
    weights: Floats  # [prices], at the shape that is left
    kept: Floats  # [prices], those that the pattern leaves

    def settle(self, ignored: npt.NDArray[np.bool_]) -> None:
        """Let these plans have the price without their pattern."""
        self.price = np.where(ignored, self.price + len(self.costs), self.price)
        self.costs = [*self.costs, *self.dense_costs]

    def numbers(self, name: str) -> Floats:
        """That field of every plan's price, `[plans]`; NaN where it is not known."""
        return np.array([getattr(cost, name) for cost in self.costs], dtype=np.float64)[self.price]

    def words(self, name: str) -> npt.NDArray[np.str_]:
        """That word of every plan's price, `[plans]`."""
        return np.array([getattr(cost, name) for cost in self.costs], dtype=np.str_)[self.price]


def reprice(model: ModelSpec, plans: Sequence[Document], profile: str, cost_model: CostModel) -> list[TrialCost]:
    """The prices of plans on one device.

    Args:
        model: what the plans are of; they fit it, as those of stored trials do.
        plans: in their JSON form, of which `patterns` is read alone.
        profile: the id that the prices carry.
        cost_model: the device.
    """
    if not plans:
        return []
    read = _Reading(plans)
    columns = {layer.name: _column(model, layer, read, cost_model) for layer in model.layers}
    for name, ignored in _ignored(columns, cost_model.groups).items():
        columns[name].settle(ignored)
    counted = _counted(columns, cost_model.groups, len(plans))
    return _summed(profile, columns, counted, cost_model)


class _Reading:
    """The patterns of plans as numbers, layer by layer; each pattern is read once."""

    def __init__(self, plans: Sequence[Document]) -> None:
        self._patterns = [plan["patterns"] for plan in plans]
        self._known: dict[tuple[tuple[str, Any], ...], int] = {}
        self._columns: dict[str, Indices] = {}
        self.values: list[Pattern] = [_DENSE]

    def column(self, layer: str) -> Indices:
        """Which of `values` each plan puts on a layer, `[plans]`."""
        if layer not in self._columns:
            numbers = [self._number(chosen.get(layer)) for chosen in self._patterns]
            self._columns[layer] = np.array(numbers, dtype=np.intp)
        return self._columns[layer]

    def combinations(self, layers: Sequence[str]) -> tuple[list[tuple[Pattern, ...]], Indices]:
        """The distinct patterns that plans put on these layers together, and which of them each plan has."""
        columns = [self.column(layer) for layer in layers]  # all of them first: they may bring new values
        key = np.zeros(len(self._patterns), dtype=np.intp)
        for column in columns:
            key = np.unique(key * len(self.values) + column, return_inverse=True)[1].reshape(-1)
        _, first = np.unique(key, return_index=True)
        return [tuple(self.values[column[plan]] for column in columns) for plan in first], key

    def _number(self, document: dict[str, Any] | None) -> int:
        if document is None:
            return 0
        key = tuple(document.items())
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(patterns.from_json(document))
        return self._known[key]


def _column(model: ModelSpec, layer: LayerSpec, read: _Reading, cost_model: CostModel) -> _Column:
    """The distinct prices of a layer: one for each combination of its pattern and those that decide its channels."""
    touching = [g for g in model.groups if g.removable and any(cut.parameter == layer.parameter for cut in g.cuts)]
    deciding = [layer.name, *(group.producers[0] for group in touching)]
    combinations, price = read.combinations(deciding)
    alone = ModelSpec(
        layers=(layer,), groups=tuple(touching), input_shape=(), output_shapes=(), parameter_count=layer.weights
    )
    costs, dense_costs, weights, kept = [], [], [], []
    for pattern, *others in combinations:
        cuts = {
            group.name: other.kept(group.channels)
            for group, other in zip(touching, others, strict=True)
            if isinstance(other, Channel)
        }
        now, own = alone.shrunk(cuts)[0], inside(pattern)
        costs.append(cost_model.cost(layer, now, own))
        dense_costs.append(cost_model.cost(layer, now, _DENSE) if cost_model.groups else costs[-1])
        weights.append(float(now.weights))
        kept.append(now.weights * own.density)
    return _Column(layer, price, costs, dense_costs, np.array(weights), np.array(kept))


def _ignored(columns: Mapping[str, _Column], groups: Sequence[NetworkGroup]) -> dict[str, npt.NDArray[np.bool_]]:
    """In which plans a layer's zeros are ignored, since one of its clusters has too few of them."""
    found: dict[str, npt.NDArray[np.bool_]] = {}
    for group in groups:
        if group.rule == "cluster_threshold":
            members = [columns[name] for name in group.layers]
            weights = sum(member.weights[member.price] for member in members)
            kept = sum(member.kept[member.price] for member in members)
            few = too_few(weights, kept, group)
            found |= {name: found.get(name, False) | few for name in group.layers}
    return found


def _counted(
    columns: Mapping[str, _Column], groups: Sequence[NetworkGroup], plans: int
) -> dict[str, npt.NDArray[np.bool_]]:
    """In which plans a layer's time counts: it does not where it runs beside a slower one."""
    counted = {name: np.ones(plans, dtype=np.bool_) for name in columns}
    for group in groups:
        if group.rule == "parallel_max":
            slowest = np.argmax([columns[name].numbers("latency_ms") for name in group.layers], axis=0)
            for place, name in enumerate(group.layers):
                counted[name] &= slowest == place
    return counted


def _summed(
    profile: str, columns: Mapping[str, _Column], counted: Mapping[str, npt.NDArray[np.bool_]], cost_model: CostModel
) -> list[TrialCost]:
    """Totals, intervals and shares of all plans."""
    times = {name: np.where(counted[name], column.numbers("latency_ms"), 0.0) for name, column in columns.items()}
    nothing = np.zeros(len(next(iter(times.values()))))
    total = cost_model.overhead_ms + sum(times.values(), nothing)
    overhead_source = cost_model.overhead_source
    kind = "modelled" if overhead_source == "analytical" else "exact"
    sources = _shares("source", columns, counted, times, {overhead_source: cost_model.overhead_ms}, total)
    derivations = _shares("derivation", columns, counted, times, {kind: cost_model.overhead_ms}, total)
    low, high = (_bound(name, columns, counted, cost_model, total) for name in ("low_ms", "high_ms"))
    energy, stored = (
        sum((column.numbers(name) for column in columns.values()), nothing) for name in ("energy_mj", "weight_bytes")
    )
    return [
        TrialCost(
            profile=profile,
            latency_ms=float(total[n]),
            sources=sources[n],
            derivations=derivations[n],
            low_ms=None if np.isnan(low[n]) else float(low[n]),
            high_ms=None if np.isnan(high[n]) else float(high[n]),
            energy_mj=None if np.isnan(energy[n]) else float(energy[n]),
            weight_bytes=None if np.isnan(stored[n]) else float(stored[n]),
        )
        for n in range(len(total))
    ]


def _bound(
    name: str,
    columns: Mapping[str, _Column],
    counted: Mapping[str, npt.NDArray[np.bool_]],
    cost_model: CostModel,
    total: Floats,
) -> Floats:
    """One end of the interval of every plan; NaN where one of its layers has none."""
    if cost_model.half_width is not None:
        side = -1.0 if name == "low_ms" else 1.0
        return total * max(0.0, 1.0 + side * cost_model.half_width)
    ends = [np.where(counted[key], column.numbers(name), 0.0) for key, column in columns.items()]
    return cost_model.overhead_ms + sum(ends, np.zeros(len(total)))


def _shares(
    name: str,
    columns: Mapping[str, _Column],
    counted: Mapping[str, npt.NDArray[np.bool_]],
    times: Mapping[str, Floats],
    overhead: Mapping[str, float],
    total: Floats,
) -> list[dict[str, float]]:
    """How much of each plan's total rests on which word; words of layers that do not count are left out."""
    amounts = {word: np.full(len(total), ms) for word, ms in overhead.items() if ms}
    there = {word: np.ones(len(total), dtype=np.bool_) for word in amounts}
    for key, column in columns.items():
        words = column.words(name)
        for word in np.unique(words):
            here = (words == word) & counted[key]
            amount = amounts.setdefault(str(word), np.zeros(len(total)))
            there.setdefault(str(word), np.zeros(len(total), dtype=np.bool_))
            amount[here] += times[key][here]
            there[str(word)] |= here
    shares = {word: amount / total for word, amount in amounts.items()}
    return [{word: float(share[n]) for word, share in shares.items() if there[word][n]} for n in range(len(total))]

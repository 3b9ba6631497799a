"""What one option takes of a resource on a device, in a sum over units that is nearly the price of the whole plan.

Latency, energy and bytes of weights are priced alike; NaN says that the device cannot tell.
"""

from collections.abc import Mapping
from math import isnan, nan

from app.search.space.options import Option, Unit
from app.search.trial import Resource
from costmodels.base import CostModel, LayerCost
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Channel, Dense, Pattern, Unstructured
from pruning.plan import PruningPlan


def option_price(
    model: ModelSpec,
    unit: Unit,
    option: Option,
    cost_model: CostModel,
    home: Mapping[str, Unit] | None = None,
    resource: Resource = "latency_ms",
) -> float:
    """The price of one option: the unit's layers under it, less what other layers gain by losing inputs.

    With `home` (layer -> its unit) other layers are taken to be pruned as strongly as the option; without it
    they are dense, and dense total - option_price(dense) + option_price(option) is the exact price of it alone.
    """
    after = PruningPlan(pruner="", patterns=option.patterns).shrunk(model)
    total = 0.0
    for dense, now in zip(model.layers, after, strict=True):
        if dense.name in unit.layers:
            pattern = _inside(option.patterns.get(dense.name, Dense()))
            total += amount(cost_model.cost(dense, now, pattern), resource)
        elif now != dense:
            companion = _companion(dense, option, home, cost_model, resource)
            total -= _gain(dense, now, companion, cost_model, resource)
    return total


def amount(cost: LayerCost, resource: Resource) -> float:
    """What a layer takes of a resource; NaN where it is not known."""
    found: float | None = getattr(cost, resource)
    return nan if found is None else found


def _inside(pattern: Pattern) -> Pattern:
    return Dense() if isinstance(pattern, Channel) else pattern


def _gain(dense: LayerSpec, now: LayerSpec, companion: Pattern, cost_model: CostModel, resource: Resource) -> float:
    out = now.out_channels
    if isinstance(companion, Channel):
        out = min(out, companion.kept(dense.out_channels))
    before, after = dense.resized(dense.in_channels, out), dense.resized(now.in_channels, out)
    inside = _inside(companion)
    return amount(cost_model.cost(dense, before, inside), resource) - amount(
        cost_model.cost(dense, after, inside), resource
    )


def _companion(
    layer: LayerSpec, option: Option, home: Mapping[str, Unit] | None, cost_model: CostModel, resource: Resource
) -> Pattern:
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

    def alone(pattern: Pattern) -> tuple[bool, float]:
        out = pattern.kept(layer.out_channels) if isinstance(pattern, Channel) else layer.out_channels
        price = amount(cost_model.cost(layer, layer.resized(layer.in_channels, out), _inside(pattern)), resource)
        return isnan(price), price

    return min(candidates, key=alone, default=Dense())

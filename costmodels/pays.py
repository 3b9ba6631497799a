"""Does it pay: which zeros on which layer which device turns into time, from how many on, and why not.

A pattern pays where it saves more than `PAYS_SHARE` of what it decides: the layer's dense time, or for channels that of
all layers that get smaller with them. Tables need not be monotone, so the threshold is the sparsity from which on every
higher one that was asked about pays too. Layers whose sparse kernels are switched on together are asked about as if all
of them had as many zeros; of layers that run beside each other each is judged by its own time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from costmodels.base import CostModel, LayerCost
from costmodels.network import inside
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import NM, Block, Channel, Dense, Kernel, Pattern, Unstructured
from pruning.plan import PruningPlan

PAYS_SHARE = 0.01
SPARSITIES = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
Verdict = Literal["pays", "above", "never", "cannot"]


@dataclass(frozen=True, kw_only=True)
class Payoff:
    """One kind of zeros on one layer of one device.

    `saved_share` is the most that is saved, at `at_sparsity`. `pays`: at every sparsity asked about; `above`: from
    `from_sparsity` on; `never`; `cannot`: no plan can have it there.
    """

    device: str
    layer: str
    kind: str
    verdict: Verdict
    from_sparsity: float | None
    at_sparsity: float | None
    saved_share: float
    reason: str

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def does_it_pay(
    model: ModelSpec,
    cost_models: Mapping[str, CostModel],
    sparsities: Sequence[float] = SPARSITIES,
    others: Sequence[Pattern] = (NM(2, 4), NM(1, 4)),
) -> Iterator[Payoff]:
    """Every layer on every device: unstructured zeros, channels, and `others` (N:M; blocks, at every sparsity)."""
    for device, cost_model in cost_models.items():
        for layer in model.layers:
            yield _own(device, layer, [Unstructured(s) for s in sparsities], cost_model)
            for other in others:
                yield _own(device, layer, _series(other, sparsities), cost_model)
            yield _channels(device, layer, model, sparsities, cost_model)


def _series(pattern: Pattern, sparsities: Sequence[float]) -> list[Pattern]:
    match pattern:
        case Block(rows=rows, cols=cols):
            return [Block(rows, cols, s) for s in sparsities]
        case Kernel():
            return [Kernel(s) for s in sparsities]
    return [pattern]


def _own(device: str, layer: LayerSpec, patterns: Sequence[Pattern], cost_model: CostModel) -> Payoff:
    """Zeros inside one layer."""
    kind = _kind(patterns[0])
    if isinstance(patterns[0], NM) and patterns[0].keep >= min(layer.in_channels // layer.groups, patterns[0].group):
        inputs = layer.in_channels // layer.groups
        return _cannot(device, layer, kind, f"it makes no zeros: a filter has {inputs} input channel(s)")
    dense = cost_model.cost(layer, layer, Dense())
    dense_ms, least = dense.latency_ms, _least_of_cluster(layer, cost_model)
    costs = [
        cost_model.cost(layer, layer, p) if 1.0 - p.density >= least else replace(dense, derivation="dense_fallback")
        for p in patterns
    ]
    saved = {1.0 - p.density: 1.0 - c.latency_ms / dense_ms for p, c in zip(patterns, costs, strict=True)}
    return _judged(device, layer, kind, saved, costs)


def _least_of_cluster(layer: LayerSpec, cost_model: CostModel) -> float:
    """The sparsity from which on its cluster runs sparse if all members have as many zeros; 0 without one."""
    mine = (g for g in cost_model.groups if g.rule == "cluster_threshold" and layer.name in g.layers)
    return max((group.min_sparsity - 1e-9 for group in mine), default=0.0)


def _channels(
    device: str, layer: LayerSpec, model: ModelSpec, sparsities: Sequence[float], cost_model: CostModel
) -> Payoff:
    """Output channels of a layer, with all that gets smaller with them."""
    family = model.family_of(layer.name)
    if not family:
        held = next((g for g in model.groups if layer.name in g.producers), None)
        why = model.unprunable.get(layer.name) or (held.reason if held else "its channels belong to no removable group")
        return _cannot(device, layer, "channel", why)
    saved: dict[float, float] = {}
    found: list[LayerCost] = []
    for sparsity in sparsities:
        patterns: dict[str, Pattern] = {name: Channel(sparsity) for group in family for name in group.producers}
        after = PruningPlan(pruner="", patterns=patterns).shrunk(model)
        pairs = [(was, now) for was, now in zip(model.layers, after, strict=True) if was != now]
        if not pairs:
            saved[sparsity] = 0.0
            continue
        costs = [cost_model.cost(was, now, inside(Dense())) for was, now in pairs]
        dense_ms = sum(cost_model.cost(was, was, Dense()).latency_ms for was, _ in pairs)
        saved[sparsity] = 1.0 - sum(cost.latency_ms for cost in costs) / dense_ms
        found += costs
    return _judged(device, layer, "channel", saved, found)


def _judged(
    device: str, layer: LayerSpec, kind: str, saved: Mapping[float, float], costs: Sequence[LayerCost]
) -> Payoff:
    ordered = sorted(saved)
    paying = [s for n, s in enumerate(ordered) if all(saved[higher] > PAYS_SHARE for higher in ordered[n:])]
    best = max(ordered, key=lambda s: saved[s])
    verdict: Verdict = "never" if not paying else "pays" if paying[0] == ordered[0] else "above"
    return Payoff(
        device=device,
        layer=layer.name,
        kind=kind,
        verdict=verdict,
        from_sparsity=paying[0] if paying else None,
        at_sparsity=best if saved[best] > 0 else None,
        saved_share=max(saved[best], 0.0),
        reason=_reason(verdict, kind, paying[0] if paying else best, saved[best], costs),
    )


def _reason(verdict: Verdict, kind: str, sparsity: float, saved: float, costs: Sequence[LayerCost]) -> str:
    if verdict == "never" and kind != "channel" and all(cost.derivation == "dense_fallback" for cost in costs):
        return "nothing runs these zeros faster here: they cost dense time"
    if verdict == "never":
        return f"saves at most {max(saved, 0.0):.1%} of the dense time"
    words = sorted({f"{cost.source}, {cost.derivation}" for cost in costs if cost.derivation != "dense_fallback"})
    basis = words[0] if len(words) == 1 else "; ".join(words)
    if verdict == "above":
        return f"from {sparsity:.0%} zeros on; saves up to {saved:.1%} ({basis})"
    return f"saves up to {saved:.1%} ({basis})"


def _cannot(device: str, layer: LayerSpec, kind: str, reason: str) -> Payoff:
    return Payoff(
        device=device,
        layer=layer.name,
        kind=kind,
        verdict="cannot",
        from_sparsity=None,
        at_sparsity=None,
        saved_share=0.0,
        reason=reason,
    )


def _kind(pattern: Pattern) -> str:
    if isinstance(pattern, Block):
        return f"block{pattern.rows}x{pattern.cols}"
    return str(pattern) if isinstance(pattern, NM) else pattern.kind

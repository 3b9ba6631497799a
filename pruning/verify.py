"""A pruned model's zeros, counted, and whether they keep what the plan promised. Knows no masks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from pruning import masks
from pruning.errors import ConstraintError
from pruning.importance import channel_slices
from pruning.layers import ChannelGroup, LayerSpec, ModelSpec
from pruning.masked import find_tensor
from pruning.oneshot import SolvedLayer
from pruning.patterns import NM, Channel, Dense, Pattern
from pruning.plan import PruningPlan
from pruning.quantise import QuantisedLayer

_UNITS = {"unstructured": "weights", "nm": "weights of a group", "block": "tiles", "kernel": "kernels"}


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """One layer of a pruned model. `remaining_` counts only what is left once removed channels are cut.

    `gap` is ||(m - fixed) w|| / ||fixed w|| as a soft factor m became the one that stays, 0 for one-shot pruners;
    `sharpness` says how binary it was (PDP: t²/τ), `figures` what else the method measures (DPP: the confidence and
    diversity of its logits), `warnings` what a person should know about it.
    """

    name: str
    pattern: str
    weights: int
    zeros: int
    sparsity: float
    in_channels: int
    out_channels: int
    remaining_weights: int
    remaining_zeros: int
    nm_valid: bool | None = None  # None: no such pattern asked for
    gap: float = 0.0
    sharpness: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GroupReport:
    """One channel group of a pruned model, and which of its channels went."""

    name: str
    channels: int
    kept: int
    removed: tuple[int, ...]
    gap: float = 0.0
    sharpness: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PruningReport:
    """Counted on final weights, every constraint of the plan checked.

    `solved` is what a layer solver did before recovery, `stored` what the plan's post-step left of each layer.
    """

    layers: tuple[LayerReport, ...]
    groups: tuple[GroupReport, ...]
    solved: tuple[SolvedLayer, ...] = ()
    stored: tuple[QuantisedLayer, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON form; `solved` and `stored` are left out if empty."""
        return {name: value for name, value in asdict(self).items() if value or name in ("layers", "groups")}


def verify(model: nn.Module, spec: ModelSpec, plan: PruningPlan, kept: Mapping[str, Tensor]) -> PruningReport:
    """Count zeros and check the plan. `kept` has, for each group that loses channels, a bool tensor of them.

    Raises:
        ConstraintError: a layer with more non-zeros than promised, or a removed channel that is not zero.
    """
    cut = [(group, kept[group.name]) for group in spec.groups if group.name in kept]
    groups = tuple(_group(model, group, alive) for group, alive in cut)
    found, promised = {group.name: group.kept for group in groups}, plan.kept_channels(spec)
    if found != promised:
        raise ConstraintError(f"the plan keeps {promised} channels of its groups, the model {found}")
    layers = []
    for layer, thin in zip(spec.layers, plan.shrunk(spec), strict=True):
        weight = find_tensor(model, layer.parameter)
        block = masks.remaining(weight.shape, layer.parameter, cut)
        left = weight if block is None else weight[block]
        layers.append(_layer(thin, plan.pattern(layer.name), weight, left))
    return PruningReport(layers=tuple(layers), groups=groups)


def _group(model: nn.Module, group: ChannelGroup, alive: Tensor) -> GroupReport:
    for cut in group.cuts:
        slices = channel_slices(find_tensor(model, cut.parameter), cut, group.channels)
        if slices[~alive].any():
            raise ConstraintError(f"group {group.name!r}: a removed channel is not zero in {cut.parameter!r}")
    removed = tuple((~alive).nonzero().flatten().tolist())
    return GroupReport(name=group.name, channels=group.channels, kept=int(alive.sum()), removed=removed)


def _layer(thin: LayerSpec, pattern: Pattern, weight: Tensor, block: Tensor) -> LayerReport:
    nonzeros, inside = int(weight.count_nonzero()), int(block.count_nonzero())
    if nonzeros > inside:
        raise ConstraintError(f"layer {thin.name!r} has {nonzeros - inside} non-zeros in channels that were removed")
    if not isinstance(pattern, Dense | Channel):
        laid = masks.turned(block, thin.groups) if thin.transposed else block
        table = masks.split((laid != 0).float(), pattern)
        most, allowed = int(table.count_nonzero(dim=1).amax()) if len(table) else 0, masks.keep(laid.shape, pattern)
        if most > allowed:
            raise ConstraintError(
                f"layer {thin.name!r} has {most} {_UNITS[pattern.kind]} that are not zero; {pattern} allows {allowed}"
            )
    return LayerReport(
        name=thin.name,
        pattern=str(pattern),
        weights=weight.numel(),
        zeros=weight.numel() - nonzeros,
        sparsity=1 - nonzeros / weight.numel(),
        in_channels=thin.in_channels,
        out_channels=thin.out_channels,
        remaining_weights=block.numel(),
        remaining_zeros=block.numel() - inside,
        nm_valid=True if isinstance(pattern, NM) else None,
    )

"""Smaller weights after pruning: what a plan's post-steps do, and what storage they leave.

`apply_post` keeps every zero that pruning made, so a verified model stays verified. Bytes are those of the
quantised tensors alone, as they are once removed channels are cut; other zeros are stored like weights (a format
that skips them is the device's matter).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning import masks
from pruning.errors import PlanError
from pruning.layers import LayerSpec, ModelSpec
from pruning.masked import find_tensor
from pruning.plan import DKM, Int8, PostStep, check_post
from pruning.quantise import int8, palette

__all__ = ["QuantisedLayer", "apply_post"]


@dataclass(frozen=True, kw_only=True)
class QuantisedLayer:
    """One weight after a post-step, removed channels left out.

    `error` is ||w - w'|| / ||w||; `dense_bytes` is what the same weights took before.
    """

    name: str
    step: str
    weights: int
    zeros: int
    bytes: int
    dense_bytes: int
    error: float

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


@torch.no_grad()
def apply_post(
    net: nn.Module,
    spec: ModelSpec,
    steps: Sequence[PostStep],
    seed: int = 0,
    kept: Mapping[str, Tensor] | None = None,
) -> tuple[QuantisedLayer, ...]:
    """Quantise the weights of the specification's layers in `net`, and say what each takes and loses.

    Nothing is changed unless all layers can be. `seed` is where palettes start from; `kept` has, for each group that
    loses channels, a bool tensor of them: the others' weights are left alone.

    Raises:
        PlanError: the net lacks a layer, or a palette of vectors would fill zeros inside them.
    """
    check_post(steps)
    cut = [(group, kept[group.name]) for group in spec.groups if kept and group.name in kept]
    done: list[tuple[Tensor, Tensor, QuantisedLayer]] = []
    for step in steps:
        for layer in spec.layers:
            whole = find_tensor(net, layer.parameter)
            block = masks.remaining(whole.shape, layer.parameter, cut)
            weight = whole if block is None else whole[block]
            stored, size = _stored(weight, layer, step, seed)
            if ((weight == 0) & (stored != 0)).any():
                raise PlanError(
                    f"layer {layer.name!r} has zeros beside non-zeros within {step.to_json()['dim']} weights, which "
                    "share one palette entry: use dim 1"
                )
            report = _report(layer, step, weight, stored, size)
            done.append((whole, stored if block is None else whole.index_put(block, stored), report))
    for whole, stored, _ in done:
        whole.copy_(stored)
    return tuple(report for _, _, report in done)


def _stored(weight: Tensor, layer: LayerSpec, step: PostStep, seed: int) -> tuple[Tensor, int]:
    """The weight as the step leaves it, in its own type, and its storage in bytes."""
    match step:
        case Int8():
            codes = int8.quantise(weight, 1 if layer.transposed else 0)
            return codes.weight().to(weight.dtype), codes.storage_bytes
        case DKM(bits=bits, dim=dim):
            found = palette.fit(weight, bits=bits, dim=dim, pin_zero=not weight.all(), seed=seed)
            return found.weight().to(weight.dtype), found.storage_bytes(weight.element_size())


def _report(layer: LayerSpec, step: PostStep, weight: Tensor, stored: Tensor, size: int) -> QuantisedLayer:
    moved, whole = (weight.double() - stored.double()).norm(), weight.double().norm()
    return QuantisedLayer(
        name=layer.name,
        step=step.kind,
        weights=weight.numel(),
        zeros=int((stored == 0).sum()),
        bytes=size,
        dense_bytes=weight.numel() * weight.element_size(),
        error=float(moved / whole) if whole > 0 else 0.0,
    )

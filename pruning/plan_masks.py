"""The masks that a plan puts on a model: one for each layer with a pattern, one for each group that loses channels."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.errors import PlanError
from pruning.layers import LayerSpec, ModelSpec
from pruning.masked import MaskedWeight, SharedMask, Slice, find_tensor
from pruning.masks import Sparse
from pruning.patterns import Channel, Dense, Kernel, Pattern
from pruning.plan import PruningPlan
from pruning.pruners import check, make


def shared_masks(net: nn.Module, spec: ModelSpec, plan: PruningPlan) -> dict[str, SharedMask]:
    """One mask for each group that loses channels, by group name.

    Raises:
        PlanError: a plan that does not fit the model.
    """
    shrinking = plan.kept_channels(spec)
    shared = {}
    for group in spec.groups:
        if group.name in shrinking:
            pruner = make(plan.pruner, _sparse(plan.pattern(group.producers[0])), plan.settings)
            makers = [cut for cut in group.cuts if cut.role == "producer"]
            producers = [(find_tensor(net, cut.parameter), cut) for cut in makers]
            shared[group.name] = SharedMask(pruner, producers, group.channels)
    return shared


def masked_weights(
    net: nn.Module, spec: ModelSpec, plan: PruningPlan, shared: Mapping[str, SharedMask]
) -> dict[str, MaskedWeight]:
    """The masks of single weights, by parameter: a layer's own pattern, and slices of the shared masks.

    Raises:
        PlanError: a plan that does not fit the model.
    """
    check(plan.pruner, plan.settings)  # a plan without patterns too
    own = {}
    for layer in spec.layers:
        _check_weight(find_tensor(net, layer.parameter), layer)
        if isinstance(pattern := plan.pattern(layer.name), Dense | Channel):
            continue
        if isinstance(pattern, Kernel) and not layer.kernel:
            raise PlanError(
                f"layer {layer.name!r} is {layer.op} and has no 2-D kernels: a kernel would be a single weight; "
                "use unstructured, n:m or block for it"
            )
        own[layer.parameter] = make(plan.pruner, pattern, plan.settings)
    slices: dict[str, list[Slice]] = {}
    for group in spec.groups:
        for cut in group.cuts:
            if group.name in shared and cut.role != "follower":
                slices.setdefault(cut.parameter, []).append(Slice(shared[group.name], cut))
    read = [name for name, parts in slices.items() if any(part.cut.role == "consumer" for part in parts)]
    turned = {layer.parameter: layer.groups for layer in spec.layers if layer.transposed}
    return {
        name: MaskedWeight(own.get(name), slices.get(name, ()), transposed=turned.get(name, 0))
        for name in dict.fromkeys([*own, *read])
    }


def _sparse(pattern: Pattern) -> Sparse:
    if isinstance(pattern, Dense):
        raise PlanError("a dense layer has no mask")
    return pattern


def _check_weight(weight: Tensor, layer: LayerSpec) -> None:
    if weight.numel() != layer.weights:
        raise PlanError(
            f"layer {layer.name!r} has {weight.numel()} weights, the specification says {layer.weights}: "
            "inspect this model again"
        )
    if not torch.isfinite(weight).all():
        raise PlanError(f"layer {layer.name!r} has weights that are NaN or infinite: they cannot be compared")

"""The front door: a model and a plan in, a pruned model and a checked report out.

Attach, recover, bake, verify:

    run = Pruning(net, spec, plan)
    for step in run.recover(RecoveryRun(batches=batches, loss=loss, config=config)):
        show(step)
    pruned = run.finish(statistics=batches)

or, all at once, `prune(net, spec, plan, recovery)`. The caller's model is never changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from pruning import masked
from pruning.errors import PlanError
from pruning.layers import ChannelGroup, LayerSpec, ModelSpec
from pruning.masked import MaskedWeight, SharedMask, Slice, find_tensor
from pruning.masks import Sparse, spread
from pruning.patterns import Channel, Dense, Kernel, Pattern
from pruning.plan import PruningPlan
from pruning.pruners import Pruner, check, make
from pruning.recover import Batch, Loss, RecoverStep, RecoveryConfig, recover, reestimate_batch_norm
from pruning.verify import PruningReport, verify


@dataclass(frozen=True, kw_only=True)
class RecoveryRun:
    """A recovery: what to train on and how. `batches` must be iterable more than once."""

    batches: Iterable[Batch]
    loss: Loss
    config: RecoveryConfig = field(default_factory=RecoveryConfig)
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A pruned model in evaluation mode, with plain parameters; its report; the channels each group keeps.

    `kept` holds ascending channel indices by group name, as `pruning.export.cut_channels` wants them.
    """

    net: nn.Module
    report: PruningReport
    kept: Mapping[str, Tensor]


class Pruning:
    """One model being pruned: a copy of `net` under the masks of `plan`; pruners that draw do so from `seed`.

    Raises:
        PlanError: a plan that does not fit the model.
    """

    def __init__(self, net: nn.Module, spec: ModelSpec, plan: PruningPlan, seed: int = 0) -> None:
        self.net = deepcopy(net)
        self.spec = spec
        self.plan = plan
        self._shared = _shared_masks(self.net, spec, plan)
        self._weights = _masked_weights(self.net, spec, plan, self._shared)
        masked.attach(self.net, self._weights, seed)

    def recover(self, run: RecoveryRun) -> Iterator[RecoverStep]:
        """Train under the masks, a step at a time; see `pruning.recover.recover`."""
        return recover(self.net, run.batches, run.config, run.loss, run.seed)

    def finish(self, statistics: Iterable[Batch] | None = None) -> Pruned:
        """Bake, zero what removed channels leave behind, and verify.

        Given batches, batch-norm statistics are taken anew from them.

        Raises:
            ConstraintError: the final weights break the plan.
        """
        masked.bake(self.net)
        kept = {name: shared.kept() for name, shared in self._shared.items()}
        for group in self.spec.groups:
            if group.name in kept:
                _zero_channels(self.net, group, kept[group.name])
        if statistics is not None:
            reestimate_batch_norm(self.net, statistics)
        self.net.eval()
        report = self._with_hardening(verify(self.net, self.spec, self.plan, kept))
        return Pruned(net=self.net, report=report, kept={n: k.nonzero().flatten() for n, k in kept.items()})

    def _with_hardening(self, report: PruningReport) -> PruningReport:
        """The report, with what the pruners saw as their masks became binary."""
        own = {layer.name: self._weights.get(layer.parameter) for layer in self.spec.layers}
        found = {name: _hardening(mask.pruner) for name, mask in own.items() if mask and mask.pruner}
        return PruningReport(
            layers=tuple(replace(layer, **found.get(layer.name, {})) for layer in report.layers),
            groups=tuple(replace(group, **_hardening(self._shared[group.name].pruner)) for group in report.groups),
        )


def _hardening(pruner: Pruner) -> dict[str, Any]:
    return {"gap": pruner.gap, "sharpness": pruner.sharp, "warnings": pruner.warnings}


def prune(
    net: nn.Module,
    spec: ModelSpec,
    plan: PruningPlan,
    recovery: RecoveryRun | None = None,
    on_step: Callable[[RecoverStep], None] | None = None,
) -> Pruned:
    """A pruned copy of `net`. With a recovery, batch-norm statistics are taken anew from its batches.

    Raises:
        PlanError, RecoveryError, ConstraintError: see `Pruning`.
    """
    run = Pruning(net, spec, plan, recovery.seed if recovery else 0)
    if recovery is None:
        return run.finish()
    for step in run.recover(recovery):
        if on_step is not None:
            on_step(step)
    return run.finish(statistics=recovery.batches)


@contextmanager
def pruned_in_place(net: nn.Module, spec: ModelSpec, plan: PruningPlan) -> Iterator[nn.Module]:
    """`net` itself under the plan's final masks, without recovery; its weights come back bit for bit.

    Cheap, for scoring many plans: only the weights concerned are copied, and removed channels are zero only
    where they are read.

    Raises:
        PlanError: a plan that does not fit the model.
    """
    weights = _masked_weights(net, spec, plan, _shared_masks(net, spec, plan))
    pairs = [(mask, find_tensor(net, name)) for name, mask in weights.items()]
    masked.advance(pairs, 1.0)
    saved = [(weight, weight.detach().clone()) for _, weight in pairs]
    try:
        with torch.no_grad():
            for mask, weight in pairs:
                weight.copy_(mask(weight))
        yield net
    finally:
        with torch.no_grad():
            for weight, original in saved:
                weight.copy_(original)


def _shared_masks(net: nn.Module, spec: ModelSpec, plan: PruningPlan) -> dict[str, SharedMask]:
    """One mask for each group that loses channels, by group name."""
    shrinking = plan.kept_channels(spec)
    shared = {}
    for group in spec.groups:
        if group.name in shrinking:
            pruner = make(plan.pruner, _sparse(plan.pattern(group.producers[0])), plan.settings)
            makers = [cut for cut in group.cuts if cut.role == "producer"]
            producers = [(find_tensor(net, cut.parameter), cut) for cut in makers]
            shared[group.name] = SharedMask(pruner, producers, group.channels)
    return shared


def _masked_weights(
    net: nn.Module, spec: ModelSpec, plan: PruningPlan, shared: Mapping[str, SharedMask]
) -> dict[str, MaskedWeight]:
    """The masks of single weights, by parameter: a layer's own pattern, and slices of the shared masks."""
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
    turned = {layer.parameter for layer in spec.layers if layer.transposed}
    return {
        name: MaskedWeight(own.get(name), slices.get(name, ()), transposed=name in turned)
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


@torch.no_grad()
def _zero_channels(net: nn.Module, group: ChannelGroup, kept: Tensor) -> None:
    for cut in group.cuts:
        tensor = find_tensor(net, cut.parameter)
        line = spread(kept, tensor.shape[cut.dim], cut.offset, cut.repeat)
        tensor.index_fill_(cut.dim, (~line).nonzero().flatten(), 0)

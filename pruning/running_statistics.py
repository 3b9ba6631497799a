"""Batch-norm statistics taken anew, after weights have changed: plain averages over some batches."""

from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn

from pruning.errors import RecoveryError
from pruning.feed import Batch, call
from pruning.graphnet import GraphNet
from pruning.importance import widened
from pruning.intake.document import GraphDocument, Ref
from pruning.masked import find_tensor

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def reestimate_batch_norm(model: nn.Module, batches: Iterable[Batch], limit: int = 16) -> int:
    """Replace running means and variances by their averages over up to `limit` batches; how many it took.

    Only batch norm is in training mode meanwhile (in a `GraphNet`, dropout as well). A model without running
    statistics is left alone.

    Raises:
        RecoveryError: no batches.
    """
    statistics = _running_statistics(model)
    if not statistics:
        return 0
    modes = {module: module.training for module in model.modules()}
    momenta = {module: module.momentum for module in modes if isinstance(module, _NORMS)}
    try:
        for module in modes:
            module.training = isinstance(module, (*_NORMS, GraphNet))
        for norm in momenta:
            norm.momentum = 1.0  # a running value then is the last batch's
        return _average(model, statistics, islice(batches, limit))
    finally:
        for module, training in modes.items():
            module.training = training
        for norm, momentum in momenta.items():
            norm.momentum = momentum


@torch.no_grad()
def _average(model: nn.Module, statistics: list[tuple[Tensor, float]], batches: Iterable[Batch]) -> int:
    sums = [torch.zeros_like(widened(value)) for value, _ in statistics]
    count = 0
    for inputs, _ in batches:
        for value, _ in statistics:
            value.zero_()
        call(model, inputs)
        count += 1
        for total, (value, weight) in zip(sums, statistics, strict=True):
            total += widened(value) / weight
    if not count:
        raise RecoveryError("there are no batches to take batch-norm statistics from: give at least one")
    for total, (value, _) in zip(sums, statistics, strict=True):
        value.copy_(total / count)
    return count


def _running_statistics(model: nn.Module) -> list[tuple[Tensor, float]]:
    """Running means and variances, each with the weight that one batch has in it when it starts from zero."""
    found: list[tuple[Tensor, float]] = []
    for module in model.modules():
        if isinstance(module, _NORMS) and module.running_mean is not None and module.running_var is not None:
            found += [(module.running_mean, 1.0), (module.running_var, 1.0)]
        elif isinstance(module, GraphNet):
            for name, weight in _batch_weights(module.document).items():
                found.append((find_tensor(module, name), weight))
    return found


def _batch_weights(document: GraphDocument) -> dict[str, float]:
    """By identifier: the batch's weight in a running value after a pass from zero; nodes may share one."""
    left: dict[str, float] = {}
    for node in document.nodes:
        momentum = node.args.get("momentum")
        if node.op == "aten.batch_norm.default" and isinstance(momentum, int | float):
            for ref in (node.args.get("running_mean"), node.args.get("running_var")):
                if isinstance(ref, Ref):
                    left[ref.id] = left.get(ref.id, 1.0) * (1.0 - momentum)
    return {name: 1.0 - share for name, share in left.items() if share < 1.0}

"""Short training under masks, and batch-norm statistics taken anew. Nothing here knows what the masks are."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from pruning.errors import RecoveryError
from pruning.graphnet import GraphNet
from pruning.importance import widened
from pruning.intake.document import GraphDocument, Ref
from pruning.masked import find_tensor, set_progress

Batch = tuple[Tensor | tuple[Tensor, ...], Any]  # inputs, targets
Loss = Callable[[Any, Any], Tensor]  # of outputs and targets

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True, kw_only=True)
class RecoveryConfig:
    """SGD with Nesterov momentum. The learning rate rises for `warm_up` of the steps, then falls as a cosine.

    Weight decay spares biases and norms, as every parameter with fewer than two dimensions; gradients are
    clipped to `clip_norm` together.
    """

    steps: int = 200
    learning_rate: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.1
    final_learning_rate: float = 0.01  # as a share of `learning_rate`
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        limits = {
            "steps": (0, 10**9),
            "learning_rate": (1e-12, 1e3),
            "momentum": (1e-6, 1.0),
            "weight_decay": (0.0, 1.0),
            "warm_up": (0.0, 1.0),
            "final_learning_rate": (0.0, 1.0),
            "clip_norm": (1e-9, 1e9),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise RecoveryError(f"recovery {name} {value!r} is outside {low:g} ... {high:g}")

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rising = round(self.warm_up * self.steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        fall = 0.5 + 0.5 * math.cos(math.pi * (step - rising) / max(1, self.steps - 1 - rising))
        return self.learning_rate * (self.final_learning_rate + (1 - self.final_learning_rate) * fall)


@dataclass(frozen=True, kw_only=True)
class RecoverStep:
    """One step done: `step` of `steps`, with its loss before the update."""

    step: int
    steps: int
    loss: float
    learning_rate: float


def recover(
    model: nn.Module, batches: Iterable[Batch], config: RecoveryConfig, loss: Loss, seed: int = 0
) -> Iterator[RecoverStep]:
    """Train `model` in place, in training mode, moving its masks from 0 to the last step's share.

    `batches` is gone through again as often as needed. The result depends on the model, the batches, the
    config and `seed` (which dropout uses) alone; the caller's random state is left as it was.

    Raises:
        RecoveryError: the batches ran out, or the loss is not finite.
    """
    optimizer = _optimizer(model, config)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    devices = sorted({p.device.index for p in trained if p.device.type == "cuda"})
    supply = _again(batches)
    model.train()
    for step in range(config.steps):
        inputs, targets = next(supply)
        set_progress(model, step / config.steps)
        optimizer.zero_grad(set_to_none=True)
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed((seed * 1_000_003 + step) % 2**63)
            value = loss(_call(model, inputs), targets)
            value.backward()  # type: ignore[no-untyped-call]
        if not math.isfinite(value.item()):
            raise RecoveryError(
                f"the loss is {value.item()} at step {step + 1} of {config.steps}: "
                f"try a learning rate below {config.learning_rate:g}, and check the inputs for NaN"
            )
        torch.nn.utils.clip_grad_norm_(trained, config.clip_norm)
        rate = config.rate(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        yield RecoverStep(step=step + 1, steps=config.steps, loss=value.item(), learning_rate=rate)


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
        _call(model, inputs)
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


def _optimizer(model: nn.Module, config: RecoveryConfig) -> torch.optim.SGD:
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise RecoveryError("the model has no trainable parameters: nothing can be recovered")
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, nesterov=True)


def _again(batches: Iterable[Batch]) -> Iterator[Batch]:
    while True:
        count = 0
        for batch in batches:
            count += 1
            yield batch
        if not count:
            raise RecoveryError("the batches ran out: give an iterable that can be gone through again")


def _call(model: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> Any:
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)

"""What training is fed: batches, gone through again as often as needed, and laid out as the model wants them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pruning.errors import RecoveryError

Batch = tuple[Tensor | tuple[Tensor, ...], Any]  # inputs, targets
Loss = Callable[[Any, Any], Tensor]  # of outputs and targets


def again(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, over and over.

    Raises:
        RecoveryError: they ran out.
    """
    while True:
        count = 0
        for batch in batches:
            count += 1
            yield batch
        if not count:
            raise RecoveryError("the batches ran out: give an iterable that can be gone through again")


def call(model: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> Any:
    """The model's outputs."""
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def placed(values: Any, device: torch.device, *, channels_last: bool = False) -> Any:
    """Tensors, also within tuples, lists and dicts, on the device; images (n, c, h, w) by channel if asked."""
    if isinstance(values, Tensor):
        form = torch.channels_last if channels_last and values.ndim == 4 else torch.preserve_format
        return values.to(device, non_blocking=True, memory_format=form)
    if isinstance(values, dict):
        return {name: placed(value, device, channels_last=channels_last) for name, value in values.items()}
    if type(values) in (tuple, list):
        return type(values)(placed(value, device, channels_last=channels_last) for value in values)
    return values


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter lies; the CPU if it has none."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device

"""How much a weight, or a channel, matters: larger scores survive. Always in fp32 or wider."""

from collections.abc import Iterable

import torch
from torch import Tensor

from pruning.layers import Cut


def widened(values: Tensor) -> Tensor:
    """`values` in fp32, or as they are if wider: halves overflow when squared and tie when sorted."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def magnitude(weight: Tensor) -> Tensor:
    """|w| of each weight, in the weight's shape."""
    return widened(weight).abs()


def channel_slices(weight: Tensor, cut: Cut, channels: int) -> Tensor:
    """The slices of one parameter that belong to each channel of a group: `channels x size`."""
    owned = weight.narrow(cut.dim, cut.offset, channels * cut.repeat)
    return owned.movedim(cut.dim, 0).reshape(channels, -1)


def channel_norms(producers: Iterable[tuple[Tensor, Cut]], channels: int) -> Tensor:
    """L2 norm of each channel, over all its producers' slices together: `channels`.

    A channel that is zero throughout has norm 0 and gradient 0.
    """
    slices = [widened(channel_slices(weight, cut, channels)) for weight, cut in producers]
    norms: Tensor = torch.linalg.vector_norm(torch.cat(slices, dim=1), dim=1)
    return norms

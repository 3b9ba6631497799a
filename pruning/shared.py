"""The mask of a channel group, and where it lies in each parameter.

A group has one `SharedMask`, made from the norms of its producers' slices. Its soft mask multiplies the weights of
the group's *consumers* only: a scale on the producing side would be undone by batch norm.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from pruning import masks
from pruning.importance import channel_norms
from pruning.layers import Cut
from pruning.pruners.base import Pruner


class SharedMask(nn.Module):
    """The mask of one channel group, `channels` long; every slice of the group reads this one."""

    def __init__(self, pruner: Pruner, producers: Iterable[tuple[Tensor, Cut]], channels: int) -> None:
        super().__init__()
        self.pruner = pruner
        self.channels = channels
        self._producers = tuple(producers)  # a tuple, so that they are not registered a second time

    def norms(self) -> Tensor:
        """What each channel is judged by."""
        return channel_norms(self._producers, self.channels)

    def forward(self) -> Tensor:
        """The mask now: soft, or bool once hardened."""
        fixed = self.pruner.fixed
        mask: Tensor = self.pruner(self.norms()) if fixed is None else fixed
        return mask

    @torch.no_grad()
    def kept(self) -> Tensor:
        """The channels that survive if the mask becomes binary now: bool."""
        return self.pruner.kept(self.norms())

    @torch.no_grad()
    def begin(self, generator: torch.Generator) -> None:
        """Make the pruner's state, once."""
        self.pruner.begin(self.norms(), generator)

    @torch.no_grad()
    def advance(self, progress: float, readers: Sequence[tuple[Tensor, Cut]] = ()) -> None:
        """Move to a share of recovery in [0, 1]; `readers` are gradients of what the consumers saw, with their cuts."""
        gradient = channel_norms(readers, self.channels) if readers else None
        self.pruner.advance(self.norms(), progress, gradient)


class Slice(nn.Module):
    """Where a shared mask lies in one parameter."""

    def __init__(self, shared: SharedMask, cut: Cut) -> None:
        super().__init__()
        self.shared = shared
        self.cut = cut

    def forward(self, weight: Tensor) -> Tensor:
        """The mask as a factor of the weight; 1 where the group owns nothing."""
        return self._shaped(self.shared(), weight)

    def kept(self, weight: Tensor) -> Tensor:
        """The indices of the cut dimension that would survive now: bool."""
        return self._along(self.shared.kept(), weight)

    def erased(self, weight: Tensor) -> Tensor | None:
        """False where the last advance erased, as a factor of the weight; None if nowhere."""
        where = self.shared.pruner.erased
        return None if where is None else self._shaped(~where.flatten(), weight)

    def _shaped(self, channels: Tensor, weight: Tensor) -> Tensor:
        line = self._along(channels, weight)
        return line.reshape([-1 if dim == self.cut.dim else 1 for dim in range(weight.ndim)])

    def _along(self, channels: Tensor, weight: Tensor) -> Tensor:
        return masks.spread(channels, weight.shape[self.cut.dim], self.cut.offset, self.cut.repeat)

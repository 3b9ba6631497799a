"""Masks on a model: attach, move them along a recovery, bake them in.

Weights are named by their dotted parameter names, on any `nn.Module`. `attach` uses
`torch.nn.utils.parametrize`, so the model's own code and optimisers see nothing new; `bake` gives back the
plain module classes and parameters, with exact zeros.

A channel group has one `SharedMask`, made from the norms of its producers' slices. Its soft mask multiplies
the weights of the group's *consumers* only: a scale on the producing side would be undone by batch norm.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pruning import masks
from pruning.errors import PlanError
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
    def advance(self, progress: float) -> None:
        """Move to a share of recovery in [0, 1]."""
        self.pruner.advance(self.norms(), progress)


class Slice(nn.Module):
    """Where a shared mask lies in one parameter."""

    def __init__(self, shared: SharedMask, cut: Cut) -> None:
        super().__init__()
        self.shared = shared
        self.cut = cut

    def forward(self, weight: Tensor) -> Tensor:
        """The mask as a factor of the weight; 1 where the group owns nothing."""
        line = self._along(self.shared(), weight)
        return line.reshape([-1 if dim == self.cut.dim else 1 for dim in range(weight.ndim)])

    def kept(self, weight: Tensor) -> Tensor:
        """The indices of the cut dimension that would survive now: bool."""
        return self._along(self.shared.kept(), weight)

    def _along(self, channels: Tensor, weight: Tensor) -> Tensor:
        return masks.spread(channels, weight.shape[self.cut.dim], self.cut.offset, self.cut.repeat)


class MaskedWeight(nn.Module):
    """The parametrisation: a weight under its own pruner, its group's shared masks, or both.

    The layer's own pattern is laid over the rows and columns that its groups keep, as it will be once they
    are cut: 2 of 4 inputs then means 2 of 4 *remaining* inputs.
    """

    def __init__(self, pruner: Pruner | None = None, slices: Sequence[Slice] = ()) -> None:
        super().__init__()
        self.pruner = pruner
        self.slices = nn.ModuleList(slices)
        self._block: tuple[Tensor, ...] | None = None  # where the pruner rules; None: everywhere

    def forward(self, weight: Tensor) -> Tensor:
        """The masked weight; masks and products are at least fp32, the result is in the weight's type."""
        masked = weight if self.pruner is None else weight * self._own(weight, self.pruner)
        for part in self._parts():
            if part.cut.role == "consumer":
                masked = masked * part(weight)
        return masked.to(weight.dtype)

    def shared(self) -> Iterator[SharedMask]:
        """The shared masks this weight depends on."""
        return (part.shared for part in self._parts())

    @torch.no_grad()
    def advance(self, weight: Tensor, progress: float) -> None:
        """Move to a share of recovery in [0, 1]; shared masks must have moved before."""
        if self.pruner is None or self.pruner.fixed is not None:
            return
        sides: dict[int, Tensor] = {}
        for part in self._parts():
            kept = part.kept(weight)
            sides[part.cut.dim] = sides[part.cut.dim] & kept if part.cut.dim in sides else kept
        self._block = masks.block(weight.shape, sides) if sides else None
        self.pruner.advance(weight if self._block is None else weight[self._block], progress)

    def _own(self, weight: Tensor, pruner: Pruner) -> Tensor:
        if self._block is None:
            mask: Tensor = pruner(weight)
            return mask
        inside: Tensor = pruner(weight[self._block])
        return torch.ones_like(weight, dtype=inside.dtype).index_put(self._block, inside)

    def _parts(self) -> Iterator[Slice]:
        for part in self.slices:
            assert isinstance(part, Slice)
            yield part


def find_tensor(model: nn.Module, name: str) -> Tensor:
    """The parameter or buffer of that dotted name, without any parametrisation.

    Raises:
        PlanError: the model has none.
    """
    path, _, leaf = name.rpartition(".")
    try:
        owner: Any = model.get_submodule(path)
        masked = parametrize.is_parametrized(owner, leaf)
        found = owner.parametrizations[leaf].original if masked else getattr(owner, leaf)
    except AttributeError:
        found = None
    if not isinstance(found, Tensor):
        raise PlanError(f"the model has no parameter {name[:80]!r}: the plan was made for another model")
    return found


def attach(model: nn.Module, masked: Mapping[str, MaskedWeight]) -> None:
    """Put the masks on, at the start of their progress. Changes `model`.

    Raises:
        PlanError: a name the model does not have, or a parameter that is parametrised already.
    """
    for name, parametrisation in masked.items():
        find_tensor(model, name)
        path, _, leaf = name.rpartition(".")
        owner = model.get_submodule(path)
        if parametrize.is_parametrized(owner, leaf):
            raise PlanError(f"parameter {name!r} is parametrised already: remove that first")
        parametrize.register_parametrization(owner, leaf, parametrisation)
    set_progress(model, 0.0)


def set_progress(model: nn.Module, progress: float) -> None:
    """Tell every mask of the model which share of the recovery, in [0, 1], is over."""
    advance([(mask, weight) for _, _, mask, weight in _attached(model)], progress)


def advance(masked: Sequence[tuple[MaskedWeight, Tensor]], progress: float) -> None:
    """Move masks and the shared masks they depend on; shared masks first, and each once."""
    for shared in dict.fromkeys(shared for mask, _ in masked for shared in mask.shared()):
        shared.advance(progress)
    for mask, weight in masked:
        mask.advance(weight, progress)


def bake(model: nn.Module) -> None:
    """Harden every mask and make the masked weights plain parameters again. Changes `model`."""
    set_progress(model, 1.0)
    for owner, leaf, _, _ in list(_attached(model)):
        parametrize.remove_parametrizations(owner, leaf, leave_parametrized=True)


def _attached(model: nn.Module) -> Iterator[tuple[nn.Module, str, MaskedWeight, Tensor]]:
    for owner in list(model.modules()):
        if not parametrize.is_parametrized(owner):
            continue
        for leaf, chain in list(owner.parametrizations.items()):  # type: ignore[union-attr, operator]
            for mask in chain:
                if isinstance(mask, MaskedWeight):
                    yield owner, leaf, mask, chain.original

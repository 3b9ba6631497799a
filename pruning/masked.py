"""Masks on a model: attach, move them along a recovery, bake them in.

Weights are named by their dotted parameter names, on any `nn.Module`. `attach` uses
`torch.nn.utils.parametrize`, so the model's own code and optimisers see nothing new; `bake` gives back the
plain module classes and parameters, with exact zeros.

Pruners may have parameters of their own (`score_parameters`), terms of the loss (`penalties`), want the gradient
of the effective weight, and zero stored weights; this file carries all four between them and the training.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pruning import masks
from pruning.buffers import match_buffers
from pruning.errors import PlanError
from pruning.importance import widened
from pruning.layers import Cut
from pruning.pruners.base import Pruner
from pruning.shared import SharedMask, Slice

__all__ = [
    "MaskedWeight",
    "SharedMask",
    "Slice",
    "advance",
    "attach",
    "bake",
    "erased",
    "find_tensor",
    "penalties",
    "pruners",
    "score_parameters",
    "set_progress",
]


class MaskedWeight(nn.Module):
    """The parametrisation: a weight under its own pruner, its group's shared masks, or both.

    The layer's own pattern is laid over the rows and columns that its groups keep, as it will be once they
    are cut: 2 of 4 inputs then means 2 of 4 *remaining* inputs. The weight of a transposed layer, of so many groups
    (0: it is none), has its inputs first; its pruner sees it the other way round.
    """

    def __init__(self, pruner: Pruner | None = None, slices: Sequence[Slice] = (), *, transposed: int = 0) -> None:
        super().__init__()
        self.pruner = pruner
        self.transposed = int(transposed)
        self.slices = nn.ModuleList(slices)
        self.beside: tuple[str, ...] = ()  # the parameters of the masked one's module, in their order
        self._block: tuple[Tensor, ...] | None = None  # where the pruner rules; None: everywhere
        self.gradient: Tensor | None
        self.register_buffer("gradient", None)  # of the effective weight, since the last advance; if wanted

    def forward(self, weight: Tensor) -> Tensor:
        """The masked weight; masks and products are at least fp32, the result is in the weight's type."""
        masked = weight
        if self.pruner is not None:
            masked = self._turned(self._own(self._turned(weight), self.pruner))
        for part in self.consumed():
            masked = masked * part(weight)
        masked = masked.to(weight.dtype)
        masked = masked.contiguous() if self.transposed else masked
        if masked.requires_grad and self._wants_gradient():
            masked.register_hook(self._collect)  # type: ignore[no-untyped-call]
        return masked

    def shared(self) -> Iterator[SharedMask]:
        """The shared masks this weight depends on."""
        return (part.shared for part in self._parts())

    def consumed(self) -> Iterator[Slice]:
        """The slices whose masks multiply this weight."""
        return (part for part in self._parts() if part.cut.role == "consumer")

    @torch.no_grad()
    def begin(self, weight: Tensor, generator: torch.Generator) -> None:
        """Make the pruners' state, once."""
        for shared in self.shared():
            shared.begin(generator)
        if self.pruner is not None:
            self.pruner.begin(self._turned(weight), generator)

    @torch.no_grad()
    def advance(self, weight: Tensor, progress: float) -> None:
        """Move to a share of recovery in [0, 1]; shared masks must have moved before."""
        for part in self.consumed():
            _keep(weight, part.erased(weight))
        if self.pruner is not None:
            self.pruner.erased = None  # what is said there is of an earlier advance
            if self.pruner.fixed is None:
                self._advance(self.pruner, self._turned(weight), progress, self._remaining(weight))
                _keep(weight, self._own_erased(weight))
        self.gradient = None

    def erased(self, weight: Tensor) -> Iterator[Tensor]:
        """Factors of the stored weight that are False where the last advance erased."""
        found = [part.erased(weight) for part in self.consumed()] + [self._own_erased(weight)]
        return (where for where in found if where is not None)

    def _own_erased(self, weight: Tensor) -> Tensor | None:
        if self.pruner is None or self.pruner.erased is None:
            return None
        return self._turned(masks.join(~self.pruner.erased, self._turned(weight).shape, self.pruner.pattern))

    def _advance(self, pruner: Pruner, weight: Tensor, progress: float, block: tuple[Tensor, ...] | None) -> None:
        if block is None or pruner.stateful:  # a state covers all the weight; only the last choice is among the rest
            gradient = None if self.gradient is None else self._turned(self.gradient)
            pruner.advance(weight, progress, gradient, block)
            return
        pruner.advance(weight[block], progress)
        self._block = block if pruner.fixed is None else None
        if pruner.fixed is not None:
            everywhere = torch.ones(weight.shape, dtype=pruner.fixed.dtype, device=weight.device)
            pruner.fixed = everywhere.index_put(block, pruner.fixed)

    def _remaining(self, weight: Tensor) -> tuple[Tensor, ...] | None:
        sides: dict[int, Tensor] = {}
        for part in self._parts():
            kept, dim = part.kept(weight), part.cut.dim
            sides[dim] = sides[dim] & kept if dim in sides else kept
        if not sides:
            return None
        whole = weight.shape
        return masks.turned_block(whole, sides, self.transposed) if self.transposed else masks.block(whole, sides)

    def _turned(self, weight: Tensor) -> Tensor:
        return masks.turned(weight, self.transposed) if self.transposed else weight

    def _own(self, weight: Tensor, pruner: Pruner) -> Tensor:
        if self._block is None:
            return pruner.masked(weight)
        inside = pruner.masked(weight[self._block])
        return weight.to(inside.dtype).index_put(self._block, inside)

    def _wants_gradient(self) -> bool:
        asked = [] if self.pruner is None else [self.pruner]
        asked += [part.shared.pruner for part in self.consumed()]
        return any(pruner.wants_gradient and pruner.fixed is None for pruner in asked)

    @torch.no_grad()
    def _collect(self, gradient: Tensor) -> None:
        self.gradient = widened(gradient) + (0 if self.gradient is None else self.gradient)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        match_buffers(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)

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


def attach(model: nn.Module, masked: Mapping[str, MaskedWeight], seed: int = 0) -> None:
    """Put the masks on, at the start of their progress. Changes `model`; pruners that draw do so from `seed`.

    Raises:
        PlanError: a name the model does not have, or a parameter that is parametrised already.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parametrisation in masked.items():
        find_tensor(model, name)
        parametrisation.beside = tuple(model.get_submodule(name.rpartition(".")[0])._parameters)
    for name, parametrisation in masked.items():
        weight = find_tensor(model, name)
        path, _, leaf = name.rpartition(".")
        owner = model.get_submodule(path)
        if parametrize.is_parametrized(owner, leaf):
            raise PlanError(f"parameter {name!r} is parametrised already: remove that first")
        parametrisation.begin(weight, generator)
        parametrize.register_parametrization(owner, leaf, parametrisation)
    set_progress(model, 0.0)


def set_progress(model: nn.Module, progress: float) -> None:
    """Tell every mask of the model which share of the recovery, in [0, 1], is over."""
    advance([(mask, weight) for _, _, mask, weight in _attached(model)], progress)


def advance(masked: Sequence[tuple[MaskedWeight, Tensor]], progress: float) -> None:
    """Move masks and the shared masks they depend on; shared masks first, and each once."""
    readers: dict[SharedMask, list[tuple[Tensor, Cut]]] = {s: [] for mask, _ in masked for s in mask.shared()}
    for mask, _ in masked:
        for part in mask.consumed():
            if mask.gradient is not None:
                readers[part.shared].append((mask.gradient, part.cut))
    for shared, gradients in readers.items():
        shared.advance(progress, gradients)
    for mask, weight in masked:
        mask.advance(weight, progress)


def erased(model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Stored weights that the last advance erased some of, each with a factor that is False there."""
    for _, _, mask, weight in _attached(model):
        yield from ((weight, where) for where in mask.erased(weight))


def pruners(model: nn.Module) -> Iterator[Pruner]:
    """Every pruner at work in the model, each once."""
    return (module for module in model.modules() if isinstance(module, Pruner))


def score_parameters(model: nn.Module) -> list[tuple[nn.Parameter, float]]:
    """The pruners' own parameters, each with what multiplies its learning rate; never decayed nor clipped."""
    return [(parameter, pruner.learning_rate) for pruner in pruners(model) for parameter in pruner.parameters()]


def penalties(model: nn.Module) -> Tensor | None:
    """What the pruners that are still soft add to the loss; None if nothing."""
    soft = [pruner for pruner in pruners(model) if pruner.fixed is None]
    terms = [term for pruner in soft if (term := pruner.penalty()) is not None]
    return torch.stack(terms).sum() if terms else None


def bake(model: nn.Module) -> None:
    """Harden every mask and make the masked weights plain parameters again. Changes `model`."""
    set_progress(model, 1.0)
    for owner, leaf, mask, _ in list(_attached(model)):
        parametrize.remove_parametrizations(owner, leaf, leave_parametrized=True)
        for name in mask.beside:  # torch has put the weight last
            if name in owner._parameters:
                owner._parameters[name] = owner._parameters.pop(name)


def _attached(model: nn.Module) -> Iterator[tuple[nn.Module, str, MaskedWeight, Tensor]]:
    for owner in list(model.modules()):
        if not parametrize.is_parametrized(owner):
            continue
        for leaf, chain in list(owner.parametrizations.items()):  # type: ignore[union-attr, operator]
            for mask in chain:
                if isinstance(mask, MaskedWeight):
                    yield owner, leaf, mask, chain.original


def _keep(weight: Tensor, where: Tensor | None) -> None:
    if where is not None:
        weight.mul_(where)

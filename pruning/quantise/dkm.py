"""DKM (arXiv 2108.12659): k-means whose assignments are attention, so that weights learn to be clustered.

A weight is cut into vectors w_i of `dim` values; with centroids c_j, j < K = 2 ** bits,

    A_ij = softmax_j(-||w_i - c_j||² / τ)        c_j <- Σ_i A_ij w_i / Σ_i A_ij

is repeated `iterations` times, and training sees Σ_j A_ij c_j with the last of both. The gradient flows through
all repetitions; the last centroids start the next step. In evaluation a vector is its nearest centroid. As
τ -> 0 this is Lloyd.

τ is absolute in the paper, so its effect depends on the weights' scale; `relative` (our default) multiplies it by
the vectors' variance. A τ of 0.04 times the variance of weights with deviation 0.05 is the 1e-4 that the authors'
code starts from. The authors stop early when the inertia settles; here all iterations are made.

With `pin_zero`, centroid 0 is zero, and a vector of zeros is exactly zero, in training too: it has no say in the
other centroids and gets no gradient. So zeros that pruning made stay.

State: K x dim values. Training keeps `iterations` tables of n x K x dim values for the backward pass.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pruning.errors import PlanError
from pruning.masked import find_tensor
from pruning.quantise.palette import Palette, distances, fit, joined, nearest, vectors

_MASS = 1e-12  # what a centroid weighs itself: one that attracts nothing stays


@dataclass(frozen=True, kw_only=True)
class DKMSettings:
    """How a weight is palettised while it is trained."""

    bits: int = 4
    dim: int = 1
    tau: float = 0.04
    relative: bool = True  # tau in units of the vectors' variance
    iterations: int = 3
    pin_zero: bool = True

    def __post_init__(self) -> None:
        limits = {"bits": (1, 8), "dim": (1, 16), "tau": (1e-30, 1e30), "iterations": (1, 100)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise PlanError(f"DKM {name} {getattr(self, name)!r} is outside {low:g} ... {high:g}")


def cluster(weight: Tensor, centroids: Tensor, settings: DKMSettings) -> tuple[Tensor, Tensor]:
    """The softly palettised weight, and the centroids it ends with; differentiable in the weight."""
    table = vectors(weight, settings.dim)
    voting = table.detach().any(dim=1) if settings.pin_zero else torch.ones_like(table[:, 0], dtype=torch.bool)
    tau = settings.tau * _variance(table.detach()[voting]) if settings.relative else settings.tau
    for _ in range(settings.iterations):
        attention = torch.softmax(-distances(table, centroids) / tau, dim=1) * voting[:, None]
        centroids = (attention.mT @ table + _MASS * centroids) / (attention.sum(0) + _MASS)[:, None]
        if settings.pin_zero:
            centroids = torch.cat([torch.zeros_like(centroids[:1]), centroids[1:]])
    return joined(attention @ centroids, weight.shape).to(weight.dtype), centroids


def _variance(table: Tensor) -> Tensor:
    """Mean squared distance of the vectors to their mean; 1 if there is none."""
    spread = (table - table.mean(0)).square().sum(1).mean()
    return torch.where(spread > 0, spread, 1.0)


class DKMWeight(nn.Module):
    """The parametrisation: soft in training mode, hard in evaluation mode."""

    centroids: Tensor

    def __init__(self, weight: Tensor, settings: DKMSettings, seed: int = 0) -> None:
        super().__init__()
        self.settings = settings
        found = fit(weight, bits=settings.bits, dim=settings.dim, pin_zero=settings.pin_zero, seed=seed)
        self.register_buffer("centroids", found.centroids)

    def forward(self, weight: Tensor) -> Tensor:
        """The palettised weight; in training mode the centroids move along."""
        if not self.training:
            return self.palette(weight).weight().to(weight.dtype)
        soft, centroids = cluster(weight, self.centroids.clone(), self.settings)
        self.centroids.copy_(centroids.detach())
        return soft

    def palette(self, weight: Tensor) -> Palette:
        """Each vector's nearest centroid, as it would be stored now."""
        codes = nearest(vectors(weight.detach(), self.settings.dim), self.centroids)
        return Palette(centroids=self.centroids, codes=codes, shape=weight.shape, bits=self.settings.bits)


def attach_palettes(net: nn.Module, parameters: Iterable[str], settings: DKMSettings, seed: int = 0) -> None:
    """Palettise the named weights while they are trained. Changes `net`.

    A weight under a pruner's mask may be palettised too; what it then clusters is the masked weight.

    Raises:
        PlanError: a name the net does not have, or a weight that has a palette.
    """
    for name in parameters:
        find_tensor(net, name)
        path, _, leaf = name.rpartition(".")
        owner = net.get_submodule(path)
        if _palette_of(owner, leaf) is not None:
            raise PlanError(f"parameter {name!r} has a palette already: bake it first")
        weight = getattr(owner, leaf).detach()
        parametrisation = DKMWeight(weight, settings, seed)
        parametrisation.train(owner.training)
        parametrize.register_parametrization(owner, leaf, parametrisation)


@torch.no_grad()
def bake_palettes(net: nn.Module) -> dict[str, Palette]:
    """Make hard palettised weights plain parameters again, by name. Changes `net`.

    Masks under a palette are baked with it: harden them before (`pruning.masked.set_progress(net, 1.0)`).
    """
    baked = {}
    for path, owner in list(net.named_modules()):
        for leaf in list(getattr(owner, "parametrizations", ())):
            layer = _palette_of(owner, leaf)
            if layer is None:
                continue
            layer.eval()
            baked[f"{path}.{leaf}".lstrip(".")] = layer.palette(_before(owner, leaf))
            parametrize.remove_parametrizations(owner, leaf, leave_parametrized=True)
    return baked


def _palette_of(owner: Any, leaf: str) -> DKMWeight | None:
    if not parametrize.is_parametrized(owner, leaf):
        return None
    last = list(owner.parametrizations[leaf])[-1]
    return last if isinstance(last, DKMWeight) else None


def _before(owner: Any, leaf: str) -> Tensor:
    """The weight that a palette is given: masked, if there is a mask."""
    chain = owner.parametrizations[leaf]
    weight: Tensor = chain.original
    for step in list(chain)[:-1]:
        weight = step(weight)
    return weight

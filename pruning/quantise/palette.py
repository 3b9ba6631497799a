"""A palette: a weight as codes into a few centroids, found by k-means. What `dkm` trains and a device stores.

The weight is flattened and cut into vectors of `dim` values, the last one filled up with zeros.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.importance import widened

_CHUNK = 1 << 22  # distances at once
_SAMPLE = 1 << 20  # vectors that starting centroids are drawn from
_ROUNDS = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Palette:
    """`centroids` (K x dim, at least fp32), the code of each vector, and the weight's shape.

    `bits` is what a code takes; K is 2 ** bits, or fewer where there are fewer different vectors.
    """

    centroids: Tensor
    codes: Tensor
    shape: torch.Size
    bits: int

    def weight(self) -> Tensor:
        """The weight that the codes stand for, in the centroids' type."""
        return joined(self.centroids[self.codes], self.shape)

    def storage_bytes(self, entry_bytes: int) -> int:
        """The codes, packed, and K x dim entries of so many bytes."""
        return -(-self.codes.numel() * self.bits // 8) + self.centroids.numel() * entry_bytes


def vectors(weight: Tensor, dim: int) -> Tensor:
    """The weight as `n x dim`, at least fp32."""
    flat = widened(weight).flatten()
    return torch.nn.functional.pad(flat, (0, -len(flat) % dim)).reshape(-1, dim)


def joined(table: Tensor, shape: torch.Size) -> Tensor:
    """Inverse of `vectors`."""
    return table.flatten()[: shape.numel()].reshape(shape)


def distances(table: Tensor, centroids: Tensor) -> Tensor:
    """||w_i - c_j||²: `n x K`; as differences, because the short formula loses digits next to a small τ."""
    return (table[:, None] - centroids).square().sum(-1)


def nearest(table: Tensor, centroids: Tensor) -> Tensor:
    """The nearest centroid of each vector, the first among equals; a piece at a time."""
    many = max(1, _CHUNK // centroids.numel())
    return torch.cat([distances(table[i : i + many], centroids).argmin(1) for i in range(0, max(1, len(table)), many)])


@torch.no_grad()
def fit(weight: Tensor, *, bits: int, dim: int = 1, pin_zero: bool = False, seed: int = 0) -> Palette:
    """The palette of a weight: k-means++ (seeded), then Lloyd's rounds until no code changes, 100 at most.

    With `pin_zero`, centroid 0 is zero, and zeros have no say in the others.
    """
    table = vectors(weight, dim)
    voting = table[table.any(dim=1)] if pin_zero else table
    centroids = _start(voting, 2**bits, pin_zero, seed)
    codes = nearest(voting, centroids)
    for _ in range(_ROUNDS):
        centroids = _means(voting, codes, centroids, pin_zero)
        before, codes = codes, nearest(voting, centroids)
        if torch.equal(before, codes):
            break
    return Palette(centroids=centroids, codes=nearest(table, centroids), shape=weight.shape, bits=bits)


def _start(table: Tensor, count: int, pin_zero: bool, seed: int) -> Tensor:
    """k-means++: each next centroid drawn with odds of its squared distance to those so far."""
    generator = torch.Generator().manual_seed(seed)
    drawn = table[:: -(-len(table) // _SAMPLE) or 1].cpu()
    if pin_zero or not len(drawn):
        chosen = [drawn.new_zeros(table.shape[1])]
    else:
        chosen = [drawn[int(torch.randint(len(drawn), (), generator=generator))]]
    left = distances(drawn, chosen[0][None])[:, 0]
    while len(chosen) < count and left.any():
        chosen.append(drawn[int(torch.multinomial(left, 1, generator=generator))])
        left = torch.minimum(left, distances(drawn, chosen[-1][None])[:, 0])
    return torch.stack(chosen).to(table.device)


def _means(table: Tensor, codes: Tensor, centroids: Tensor, pin_zero: bool) -> Tensor:
    """The mean of each centroid's vectors; one without vectors stays."""
    counts = torch.bincount(codes, minlength=len(centroids))[:, None]
    sums = torch.zeros_like(centroids).index_add_(0, codes, table)
    means = torch.where(counts > 0, sums / counts.clamp(min=1), centroids)
    if pin_zero:
        means[0] = 0
    return means

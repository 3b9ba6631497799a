"""The rules of `pruning.allocate`: how many units each pool of layers loses, so that they cost `gone` together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, prod

import torch
from torch import Tensor

from pruning.pruners.soft_top_k import soft_top_k

_BETA = 10.0  # Spartan's last β for ResNet-50, of v / c over its mean


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Layers that get one sparsity: a layer alone, or the producers of a channel group."""

    layers: tuple[str, ...]
    sizes: Tensor  # root mean square of each unit's weights
    weights: int
    cost: int  # what all units come to, in what the rule spreads: weights, or MACs
    dims: tuple[int, ...]

    @property
    def units(self) -> int:
        """How many there are."""
        return len(self.sizes)

    @property
    def price(self) -> float:
        """The cost of one unit, on average: edge tiles are smaller."""
        return self.cost / self.units

    def most(self, share: float) -> int:
        """How many units may go."""
        return min(floor(share * self.units + 1e-9), self.units - 1)


def _uniform(pools: Sequence[Pool], gone: int, most: float) -> list[int]:
    share = gone / sum(pool.cost for pool in pools)
    return [min(round(share * pool.units), pool.most(most)) for pool in pools]


def _global(pools: Sequence[Pool], gone: int, most: float) -> list[int]:
    """The smallest units of all layers together; those a layer must keep do not take part."""
    sizes = torch.cat([pool.sizes.sort().values[: pool.most(most)] for pool in pools])
    owners = torch.cat([torch.full((pool.most(most),), i) for i, pool in enumerate(pools)])
    order = sizes.argsort(stable=True).to(owners.device)
    prices = torch.tensor([pool.price for pool in pools], dtype=torch.float64)[owners[order]]
    count = int((prices.cumsum(0) <= gone + 1e-6).sum())
    return torch.bincount(owners[order[:count]], minlength=len(pools)).tolist()


def _erk(pools: Sequence[Pool], gone: int, most: float) -> list[int]:
    """Layers whose density would pass 1 are dense, and the rest is solved again."""
    raw = [sum(pool.dims) / prod(pool.dims) for pool in pools]
    free = set(range(len(pools)))
    left = float(sum(pool.cost for pool in pools) - gone)
    while free:
        scale = left / sum(raw[i] * pools[i].cost for i in free)
        full = {i for i in free if scale * raw[i] > 1}
        if not full:
            break
        free -= full
        left -= sum(pools[i].cost for i in full)
    exact = [pool.units * (1 - scale * raw[i]) if i in free else 0.0 for i, pool in enumerate(pools)]
    return _rounded(exact, pools, gone, most)


def _spartan(pools: Sequence[Pool], gone: int, most: float) -> list[int]:
    """The mass that each layer loses in m = sigmoid(β v / c - μ), v the size of a weight, c its MACs."""
    if not gone:
        return [0] * len(pools)
    worth = torch.cat([pool.sizes.double() * pool.weights / pool.cost for pool in pools])[None]
    costs = torch.cat([torch.full_like(pool.sizes, pool.price, dtype=torch.float64) for pool in pools])[None]
    m = soft_top_k(_BETA * worth / worth.mean(), costs, float(costs.sum()) - gone)[0]
    exact = [float((1 - part).sum()) for part in torch.split(m, [pool.units for pool in pools])]
    return _rounded(exact, pools, gone, most)


def _rounded(exact: Sequence[float], pools: Sequence[Pool], gone: int, most: float) -> list[int]:
    """Whole units near the exact numbers: largest remainders first, the sum as wanted; full layers pass theirs on."""
    removed = [min(floor(n), pool.most(most)) for n, pool in zip(exact, pools, strict=True)]
    left = gone - sum(n * pool.price for n, pool in zip(removed, pools, strict=True))
    while left > 1e-6:
        able = [i for i, pool in enumerate(pools) if removed[i] < pool.most(most) and pool.price <= left + 1e-6]
        if not able:
            break
        best = max(able, key=lambda i: exact[i] - removed[i])
        room = min(pools[best].most(most) - removed[best], floor(left / pools[best].price + 1e-6))
        step = max(1, min(floor(exact[best] - removed[best]), room))
        removed[best] += step
        left -= step * pools[best].price
    return removed


RULES: Mapping[str, Callable[[Sequence[Pool], int, float], list[int]]] = {
    "uniform": _uniform,
    "global": _global,
    "erk": _erk,
    "spartan": _spartan,
}

"""Per-layer sparsities from one number, and from them a plan.

| method  | rule                                                                                          |
|---------|-----------------------------------------------------------------------------------------------|
| uniform | the same sparsity everywhere                                                                  |
| global  | one threshold over all units of all layers; PDP (arXiv 2305.11203) decides so after warm-up     |
| erk     | density in proportion to sum(dims) / prod(dims), at most 1 (RigL, arXiv 1911.11134)             |
| spartan | one soft top-k over all units under a budget of MACs (Spartan, arXiv 2205.14107)               |

The number is the share of zeros among the weights of the layers that the policy opens; published tables differ in
this denominator. For "spartan" it is the share of these layers' MACs that zeros save. Units of different sizes (tiles,
kernels, channels) are compared by the root mean square of their weights. No layer loses more than `Policy.most`; what
it cannot lose, the others do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import floor
from typing import Literal

import torch
from torch import nn

from pruning import masks
from pruning.allocation_rules import RULES, Pool
from pruning.errors import PlanError
from pruning.importance import channel_norms, widened
from pruning.layers import ChannelGroup, LayerSpec, ModelSpec
from pruning.masked import find_tensor
from pruning.masks import Sparse
from pruning.oneshot import SOLVERS, check_solver
from pruning.patterns import NM, Channel, Kernel, Pattern, Unstructured, kept_count
from pruning.plan import PruningPlan
from pruning.pruners import make

Treatment = Literal["dense", "prune"]
Method = Literal["uniform", "global", "erk", "spartan"]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Which layers stay dense: a first convolution, a last linear, depthwise convolutions; `most` any layer loses."""

    first: Treatment = "dense"
    last: Treatment = "dense"
    depthwise: Treatment = "dense"
    most: float = 0.99

    def __post_init__(self) -> None:
        for name in ("first", "last", "depthwise"):
            if getattr(self, name) not in ("dense", "prune"):
                raise PlanError(f"policy {name} {getattr(self, name)!r} is neither 'dense' nor 'prune'")
        if not 0.0 <= self.most < 1.0:
            raise PlanError(f"policy most {self.most!r} is outside [0, 1): a layer cannot lose everything")

    def opens(self, spec: ModelSpec) -> tuple[LayerSpec, ...]:
        """The layers that may be pruned."""
        return tuple(layer for layer in spec.layers if not self._holds(layer, spec))

    def _holds(self, layer: LayerSpec, spec: ModelSpec) -> bool:
        first = layer is spec.layers[0] and layer.op != "linear" and self.first == "dense"
        last = layer is spec.layers[-1] and layer.op == "linear" and self.last == "dense"
        return first or last or (layer.depthwise and self.depthwise == "dense")


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """What is to be spread over the layers: a pattern with the overall sparsity, by which method, where."""

    pattern: Sparse
    method: Method = "global"
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        if self.method not in RULES:
            raise PlanError(f"there is no allocation {str(self.method)[:40]!r}; there are {sorted(RULES)}")
        if isinstance(self.pattern, NM) and self.method != "uniform":
            raise PlanError(f"{self.pattern} is the same in every layer: it leaves {self.method!r} nothing to spread")


def allocate(
    net: nn.Module, spec: ModelSpec, allocation: Allocation, pruner: str, settings: Mapping[str, float] | None = None
) -> PruningPlan:
    """The plan that spreads the allocation over the model's open layers.

    Raises:
        PlanError: nothing to prune, more asked for than the policy allows, or a pruner that does not fit.
    """
    if pruner not in SOLVERS:
        make(pruner, allocation.pattern, settings or {})
    patterns: dict[str, Pattern] = {}
    for layer, sparsity in sparsities(net, spec, allocation).items():
        pattern = allocation.pattern
        patterns[layer] = pattern if isinstance(pattern, NM) else replace(pattern, sparsity=sparsity)
    plan = PruningPlan(pruner=pruner, settings=dict(settings or {}), patterns=patterns)
    if pruner in SOLVERS:
        check_solver(spec, plan)
    return plan


@torch.no_grad()
def sparsities(net: nn.Module, spec: ModelSpec, allocation: Allocation) -> dict[str, float]:
    """The share of zeros of each open layer: as much as asked for in all, to within one unit a layer.

    Raises:
        PlanError: nothing to prune, or more asked for than the policy allows.
    """
    pattern, policy = allocation.pattern, allocation.policy
    pools = [pool for pool in _pools(net, spec, allocation) if pool.units]
    if not pools:
        raise PlanError(f"no layer is open to {pattern}: relax the policy {policy}")
    if isinstance(pattern, NM):
        return {layer: 1 - pattern.density for pool in pools for layer in pool.layers}
    total = sum(pool.cost for pool in pools)
    possible = sum(pool.price * pool.most(policy.most) for pool in pools)
    gone = total - kept_count(total, pattern.sparsity)
    if gone > possible + max(pool.price for pool in pools):
        named = "MACs" if allocation.method == "spartan" else "weights"
        raise PlanError(
            f"{pattern} asks for zeros in {gone} of {total} {named}, but at most {floor(possible)} can go without "
            f"emptying a layer: ask for less than {possible / total:.4f} or raise the policy's most"
        )
    removed = RULES[allocation.method](pools, gone, policy.most)
    return {layer: n / pool.units for pool, n in zip(pools, removed, strict=True) for layer in pool.layers}


def _pools(net: nn.Module, spec: ModelSpec, allocation: Allocation) -> list[Pool]:
    pattern, opened = allocation.pattern, allocation.policy.opens(spec)
    if isinstance(pattern, Channel):
        names = {layer.name for layer in opened}
        families = dict.fromkeys(tuple(spec.family_of(layer.name)) for layer in opened)
        whole = [f for f in families if f and names.issuperset(name for g in f for name in g.producers)]
        pools = [_family_pool(net, spec, family) for family in whole]
    else:
        fitting = [layer for layer in opened if layer.kernel or not isinstance(pattern, Kernel)]
        pools = [_layer_pool(net, layer, pattern) for layer in fitting]
    if allocation.method != "spartan":
        return pools
    return [replace(pool, cost=sum(spec.layer(name).macs for name in pool.layers)) for pool in pools]


def _layer_pool(net: nn.Module, layer: LayerSpec, pattern: Sparse) -> Pool:
    weight = find_tensor(net, layer.parameter)
    weight = masks.turned(weight, layer.groups) if layer.transposed else weight
    element = Unstructured(0.0) if isinstance(pattern, NM) else pattern
    norms = masks.split(widened(weight), element).flatten().abs()
    members = masks.split(torch.ones_like(weight, dtype=norms.dtype), element).flatten()  # norm of ones: √size
    count = weight.numel()
    return Pool(layers=(layer.name,), sizes=norms / members, weights=count, cost=count, dims=tuple(weight.shape))


def _family_pool(net: nn.Module, spec: ModelSpec, family: Sequence[ChannelGroup]) -> Pool:
    sizes, weights = [], 0
    for group in family:
        makers = [(find_tensor(net, cut.parameter), cut) for cut in group.cuts if cut.role == "producer"]
        per_channel = sum(weight.numel() // weight.shape[cut.dim] * cut.repeat for weight, cut in makers)
        sizes.append(channel_norms(makers, group.channels) / per_channel**0.5)
        weights += per_channel * group.channels
    layer = spec.layer(family[0].producers[0])
    return Pool(
        layers=tuple(dict.fromkeys(name for group in family for name in group.producers)),
        sizes=torch.cat(sizes),
        weights=weights,
        cost=weights,
        dims=(layer.out_channels, layer.in_channels // layer.groups, *layer.kernel),
    )

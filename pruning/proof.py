"""What lies in a file, counted layer by layer against what the plan promised. Knows neither masks nor formats."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from pruning import masks
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import NM, Channel, Dense, Pattern
from pruning.plan import PruningPlan


@dataclass(frozen=True, kw_only=True)
class LayerCount:
    """One stored weight. `promised_zeros` is the fewest that the layer's pattern allows in what is left of it.

    `groups` counts the N:M groups, `valid_groups` those with no more non-zeros than may stay; None for other patterns.
    """

    name: str
    pattern: str
    shape: tuple[int, ...]
    weights: int
    promised_zeros: int
    zeros: int
    kept_broken: int  # rows of the pattern's table with more non-zero units than promised
    groups: int | None = None
    valid_groups: int | None = None

    @property
    def holds(self) -> bool:
        """Whether the stored weight keeps its promise."""
        return self.zeros >= self.promised_zeros and not self.kept_broken


def count_layers(spec: ModelSpec, plan: PruningPlan, tensors: Mapping[str, Tensor]) -> tuple[LayerCount, ...]:
    """Every layer whose weight is among `tensors` (by parameter, in the smaller shapes), in the model's order."""
    return tuple(
        _count(layer, plan.pattern(layer.name), tensors[layer.parameter])
        for layer in plan.shrunk(spec)
        if layer.parameter in tensors
    )


def _count(layer: LayerSpec, pattern: Pattern, weight: Tensor) -> LayerCount:
    zeros = weight.numel() - int(weight.count_nonzero())
    common = LayerCount(
        name=layer.name,
        pattern=str(pattern),
        shape=tuple(weight.shape),
        weights=weight.numel(),
        promised_zeros=0,
        zeros=zeros,
        kept_broken=0,
    )
    if isinstance(pattern, Dense | Channel):
        return common
    laid = masks.turned(weight, layer.groups) if layer.transposed else weight
    allowed = masks.keep(laid.shape, pattern)
    units = masks.split((laid != 0).float(), pattern)
    sizes = masks.split(laid.new_ones(laid.shape).float(), pattern).square()  # of a tile or kernel: its weights
    fewest = sizes.sort(dim=1).values[:, : max(0, sizes.shape[1] - allowed)].sum().round()
    broken = int((units.count_nonzero(dim=1) > allowed).sum())
    grouped = isinstance(pattern, NM)
    return LayerCount(
        **{
            **vars(common),
            "promised_zeros": int(fewest),
            "kept_broken": broken,
            "groups": len(units) if grouped else None,
            "valid_groups": len(units) - broken if grouped else None,
        }
    )

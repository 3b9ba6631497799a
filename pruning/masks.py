"""Where zeros may fall, as tensors: a pattern lays values out as a table, and every row keeps its best few.

| pattern      | values               | table                    | kept in each row |
|--------------|----------------------|--------------------------|------------------|
| unstructured | weights of one layer | 1 x weights              | kept_count       |
| keep n of m  | weights of one layer | groups along inputs x m  | n                |
| channel      | norms of one group   | 1 x channels             | Channel.kept     |

So a formula is written once and serves all patterns. A ragged tail no longer than `keep` is kept whole: it is
left out of the table.
"""

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from pruning.patterns import NM, Channel, Unstructured, kept_count

Sparse = Unstructured | NM | Channel  # every pattern that makes zeros


def keep(shape: torch.Size, pattern: Sparse) -> int:
    """How many candidates survive in each row of the table of values of that shape."""
    match pattern:
        case Unstructured(sparsity=sparsity):
            return kept_count(prod(shape), sparsity)
        case NM():
            return pattern.keep
        case Channel():
            return pattern.kept(prod(shape))


def split(values: Tensor, pattern: Sparse) -> Tensor:
    """`values` as a `rows x candidates` table; short groups are filled up with zeros."""
    if not isinstance(pattern, NM):
        return values.reshape(1, -1)
    inputs = values.shape[1]
    lines = values.narrow(1, 0, inputs - _spared(inputs, pattern)).movedim(1, -1)
    return _padded(lines, 0, -lines.shape[-1] % pattern.group, 0).reshape(-1, pattern.group)


def join(table: Tensor, shape: torch.Size, pattern: Sparse) -> Tensor:
    """A table of mask values in the shape of the weights again; spared inputs get 1 (True)."""
    if not isinstance(pattern, NM):
        return table.reshape(shape)
    outputs, inputs, *kernel = shape
    spared = _spared(inputs, pattern)
    groups = -(-(inputs - spared) // pattern.group)
    lines = table.reshape(outputs, *kernel, groups * pattern.group)[..., : inputs - spared]
    return _padded(lines, 0, spared, 1).movedim(-1, 1)


def _padded(values: Tensor, before: int, after: int, value: int) -> Tensor:
    if not before and not after:
        return values  # `pad` would copy, once a layer in every training step
    return torch.nn.functional.pad(values, (before, after), value=value)


def _spared(inputs: int, pattern: NM) -> int:
    if pattern.keep == pattern.group:
        return inputs
    tail = inputs % pattern.group
    return tail if tail <= pattern.keep else 0


def mask(scores: Tensor, pattern: Sparse) -> Tensor:
    """True where a value survives: exactly `keep` a row, the lowest index first among equals.

    Scores are non-negative, in the values' shape; the mask has that shape too.
    """
    table = split(scores, pattern)
    best = table.sort(dim=1, descending=True, stable=True).indices[:, : keep(scores.shape, pattern)]
    chosen = torch.zeros_like(table, dtype=torch.bool).scatter_(1, best, True)
    return join(chosen, scores.shape, pattern)


def spread(channels: Tensor, size: int, offset: int, repeat: int) -> Tensor:
    """Values of a group's channels along a dimension of `size` indices; 1 (True) where it owns nothing."""
    owned = channels.repeat_interleave(repeat) if repeat > 1 else channels
    return _padded(owned, offset, size - offset - len(owned), 1)


def block(shape: torch.Size, kept: Mapping[int, Tensor]) -> tuple[Tensor, ...]:
    """Index of the sub-block of a weight whose rows and columns are `kept`: `{dim: bool tensor}`."""
    device = next(iter(kept.values())).device
    rows, columns = (
        kept[dim].nonzero().flatten() if dim in kept else torch.arange(shape[dim], device=device) for dim in (0, 1)
    )
    return torch.meshgrid(rows, columns, indexing="ij")

"""Where zeros may fall, as tensors: a pattern lays values out as a table, and every row keeps its best few.

| pattern      | values               | unit                          | table             | kept in each row |
|--------------|----------------------|-------------------------------|-------------------|------------------|
| unstructured | weights of one layer | a weight                      | 1 x weights       | kept_count       |
| keep n of m  | weights of one layer | a weight                      | groups x m        | n                |
| block        | weights of one layer | a tile of outputs x inputs    | 1 x tiles         | Block.kept       |
| kernel       | weights of one layer | a 2-D kernel                  | 1 x kernels       | Kernel.kept      |
| channel      | norms of one group   | a channel                     | 1 x channels      | Channel.kept     |

So a formula is written once and serves all patterns. The value of a tile or kernel is its L2 norm; what is said
of it is spread back over its weights. Groups and tiles lie at a fixed kernel position; tiles at the edges may be
smaller. A ragged tail no longer than `keep` is kept whole: it is left out of the table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import floor, prod

import torch
from torch import Tensor

from pruning.layers import ChannelGroup
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured, kept_count

Sparse = Unstructured | NM | Block | Kernel | Channel  # every pattern that makes zeros
KINDS: tuple[str, ...] = ("unstructured", "nm", "block", "kernel", "channel")

_SHORT = 64  # rows up to here are sorted: faster than selecting, when there are many


def keep(shape: torch.Size, pattern: Sparse) -> int:
    """How many candidates survive in each row of the table of values of that shape."""
    return quota(_candidates(shape, pattern), pattern)


def quota(candidates: int, pattern: Sparse, share: float = 1.0) -> int:
    """How many of a row's candidates survive once the pattern is approached by `share`, in [0, 1].

    The sparsity grows with the share; in keep-n-of-m, whose counts are whole, it does so in stairs.
    """
    match pattern:
        case Unstructured(sparsity=sparsity):
            return kept_count(candidates, sparsity * share)
        case NM(keep=few, group=group):
            return group - floor((group - few) * share + 1e-9)
        case Block() | Kernel() | Channel():
            return replace(pattern, sparsity=pattern.sparsity * share).kept(candidates)


def split(values: Tensor, pattern: Sparse) -> Tensor:
    """`values` as a `rows x candidates` table of units; short groups are filled up with zeros.

    Norms of tiles and kernels have gradient 0 where all their weights are 0.
    """
    match pattern:
        case Unstructured() | Channel():
            return values.reshape(1, -1)
        case NM():
            inputs = values.shape[1]
            lines = values.narrow(1, 0, inputs - _spared(inputs, pattern)).movedim(1, -1)
            return _padded(lines, 0, -lines.shape[-1] % pattern.group, 0).reshape(-1, pattern.group)
        case Kernel():
            return _norms(values.reshape(*values.shape[:2], -1), (2,))
        case Block(rows=rows, cols=cols):
            outputs, inputs, *kernel = values.shape
            edges = [0, 0] * len(kernel) + [0, -inputs % cols, 0, -outputs % rows]
            whole = torch.nn.functional.pad(values, edges) if any(edges) else values
            return _norms(whole.reshape(whole.shape[0] // rows, rows, whole.shape[1] // cols, cols, *kernel), (1, 3))


def join(table: Tensor, shape: torch.Size, pattern: Sparse) -> Tensor:
    """A table of mask values in the shape of the values again; spared inputs get 1 (True)."""
    match pattern:
        case Unstructured() | Channel():
            return table.reshape(shape)
        case NM():
            outputs, inputs, *kernel = shape
            spared = _spared(inputs, pattern)
            groups = -(-(inputs - spared) // pattern.group)
            lines = table.reshape(outputs, *kernel, groups * pattern.group)[..., : inputs - spared]
            return _padded(lines, 0, spared, 1).movedim(-1, 1)
        case Kernel():
            return table.reshape(*shape[:2], *(1 for _ in shape[2:])).expand(shape)
        case Block(rows=rows, cols=cols):
            outputs, inputs, *kernel = shape
            down, across = -(-outputs // rows), -(-inputs // cols)
            tiles = table.reshape(down, 1, across, 1, *kernel).expand(-1, rows, -1, cols, *kernel)
            return tiles.reshape(down * rows, across * cols, *kernel)[:outputs, :inputs]


def padding(shape: torch.Size, pattern: Sparse) -> Tensor | None:
    """True at the table's places that no value fills; None where there are none."""
    if not isinstance(pattern, NM) or (shape[1] - _spared(shape[1], pattern)) % pattern.group == 0:
        return None
    return ~split(torch.ones(shape, dtype=torch.bool), pattern)


def choose(table: Tensor, count: int) -> Tensor:
    """True at the `count` largest of each row, the lowest index first among equals."""
    candidates = table.shape[1]
    if not 0 < count < candidates:
        return torch.full_like(table, count > 0, dtype=torch.bool)
    if candidates <= _SHORT:
        best = table.sort(dim=1, descending=True, stable=True).indices[:, :count]
        return torch.zeros_like(table, dtype=torch.bool).scatter_(1, best, True)
    edge = table.kthvalue(candidates - count + 1, dim=1, keepdim=True).values
    above, level = table > edge, table == edge
    return above | (level & (level.cumsum(dim=1) <= count - above.sum(dim=1, keepdim=True)))


def mask(scores: Tensor, pattern: Sparse) -> Tensor:
    """True where a value survives: exactly `keep` a row, the lowest index first among equals.

    Scores are non-negative, in the values' shape; the mask has that shape too.
    """
    return join(choose(split(scores, pattern), keep(scores.shape, pattern)), scores.shape, pattern)


def spread(channels: Tensor, size: int, offset: int, repeat: int) -> Tensor:
    """Values of a group's channels along a dimension of `size` indices; 1 (True) where it owns nothing."""
    owned = channels.repeat_interleave(repeat) if repeat > 1 else channels
    return _padded(owned, offset, size - offset - len(owned), 1)


def turned(weight: Tensor, groups: int) -> Tensor:
    """A transposed layer's weight, `in x out/groups x *kernel`, as `out x in/groups x *kernel`; its own inverse."""
    rows, columns, *kernel = weight.shape
    apart = weight.reshape(groups, rows // groups, columns, *kernel).transpose(1, 2)
    return apart.reshape(groups * columns, rows // groups, *kernel)


def turned_block(shape: torch.Size, kept: Mapping[int, Tensor], groups: int) -> tuple[Tensor, ...]:
    """`block` of a transposed layer's weight of that shape, as an index of the turned weight."""
    rows, columns = shape[:2]
    inside = block(shape, kept)
    places = torch.arange(rows * columns, device=inside[0].device).reshape(rows, columns)
    stand = turned(places, groups).flatten().argsort()  # where each place is in the turned weight
    left = int(kept[0].reshape(groups, -1).any(dim=1).sum()) if 0 in kept else groups
    found = stand[turned(places[inside], left)]
    return found // (rows // groups), found % (rows // groups)


def block(shape: torch.Size, kept: Mapping[int, Tensor]) -> tuple[Tensor, ...]:
    """Index of the sub-block of a weight whose rows and columns are `kept`: `{dim: bool tensor}`."""
    device = next(iter(kept.values())).device
    rows, columns = (
        kept[dim].nonzero().flatten() if dim in kept else torch.arange(shape[dim], device=device) for dim in (0, 1)
    )
    return torch.meshgrid(rows, columns, indexing="ij")


def remaining(
    shape: torch.Size, parameter: str, groups: Iterable[tuple[ChannelGroup, Tensor]]
) -> tuple[Tensor, ...] | None:
    """Index of what is left of a parameter once groups keep only some channels (bool); None if nothing goes."""
    sides: dict[int, Tensor] = {}
    for group, alive in groups:
        for cut in group.cuts:
            if cut.parameter == parameter:
                line = spread(alive, shape[cut.dim], cut.offset, cut.repeat)
                sides[cut.dim] = sides[cut.dim] & line if cut.dim in sides else line
    return block(shape, sides) if sides else None


def _candidates(shape: torch.Size, pattern: Sparse) -> int:
    match pattern:
        case NM():
            return pattern.group
        case Kernel():
            return prod(shape[:2])
        case Block(rows=rows, cols=cols):
            return -(-shape[0] // rows) * -(-shape[1] // cols) * prod(shape[2:])
        case Unstructured() | Channel():
            return prod(shape)


def _norms(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(values, dim=dims)
    return norms.reshape(1, -1)


def _padded(values: Tensor, before: int, after: int, value: int) -> Tensor:
    if not before and not after:
        return values  # `pad` would copy, once a layer in every training step
    return torch.nn.functional.pad(values, (before, after), value=value)


def _spared(inputs: int, pattern: NM) -> int:
    if pattern.keep == pattern.group:
        return inputs
    tail = inputs % pattern.group
    return tail if tail <= pattern.keep else 0

"""The two values between which a row is cut: its `count`-th and next largest, exact, without sorting the row.

A long row is selected from as Floyd and Rivest do (CACM 18(3), 1975): a sorted sample gives a bracket that should
hold both values, one pass over the row counts what lies above it and so proves, or refutes, that it does, and only
what lies inside is searched. Nothing is remembered between calls, so the result depends on the row alone.

Many short rows, the groups of n:m, go side by side through Batcher's sorting network (Knuth 5.2.2, algorithm M):
a comparator is a minimum and a maximum of whole columns.
"""

from collections.abc import Iterator
from functools import cache
from math import ceil, floor, gcd, inf, sqrt

import torch
from torch import Tensor

_SHORT = 64  # candidates: rows up to here are sorted,
_MANY = 1 << 10  # and, if there are as many, by the network
_LONG = 1 << 14  # from here on, sampling pays
_DEVIATIONS = 4.0  # of the sample's rank: a random row falls outside the bracket once in ten thousand times


def edge(table: Tensor, count: int) -> Tensor:
    """The `count`-th and the next largest of each row, in any order: `rows x 2`; 0 < count < candidates."""
    rows, candidates = table.shape
    if candidates <= _SHORT and rows >= _MANY:
        return _networked(table, count)
    if candidates <= _SHORT:
        return table.sort(dim=1, descending=True).values[:, count - 1 : count + 1]
    if candidates >= _LONG:
        return torch.stack([_sampled(row, count) for row in table]) if rows else table[:, :2]
    return _pair(table, count)


def _networked(table: Tensor, count: int) -> Tensor:
    columns = list(table.t().contiguous())
    for i, j in _comparators(len(columns)):
        columns[i], columns[j] = torch.maximum(columns[i], columns[j]), torch.minimum(columns[i], columns[j])
    return torch.stack(columns[count - 1 : count + 1], dim=1)


@cache
def _comparators(length: int) -> tuple[tuple[int, int], ...]:
    """Places i < j to compare, in order, so that any `length` values come out sorted."""
    half = 1 << (length - 1).bit_length() >> 1
    return tuple(pair for p in _halves(half) for pair in _merge(length, half, p))


def _halves(whole: int) -> Iterator[int]:
    while whole:
        yield whole
        whole >>= 1


def _merge(length: int, half: int, p: int) -> Iterator[tuple[int, int]]:
    distances = [p, *(q - p for q in _halves(half) if q > p)]
    for n, distance in enumerate(distances):
        yield from ((i, i + distance) for i in range(length - distance) if i & p == (p if n else 0))


def _pair(table: Tensor, count: int) -> Tensor:
    places = (table.shape[1] - count + 1, table.shape[1] - count)  # counted from the smallest
    return torch.stack([table.kthvalue(place, dim=1).values for place in places], dim=1)


def _sampled(row: Tensor, count: int) -> Tensor:
    low, high = _bracket(row, count)
    reached = row >= low
    above = reached.count_nonzero()
    inside = row[reached.logical_and_(row <= high)]
    rank = count - (int(above) - len(inside))  # among those inside
    proven = 0 < rank < len(inside)
    return _pair(inside[None], rank)[0] if proven else _pair(row[None], count)[0]


def _bracket(row: Tensor, count: int) -> tuple[Tensor | float, Tensor | float]:
    """Two values of the row between which its `count`-th and next largest should lie; unproven."""
    length = len(row)
    stride = round(length ** (1 / 3))
    while gcd(stride, length) > 1:  # else it might see but one position of every kernel
        stride += 1
    sample = row[::stride].sort(descending=True).values
    share = count / length
    middle, margin = share * len(sample), _DEVIATIONS * sqrt(len(sample) * share * (1 - share)) + 2
    first, last = floor(middle - margin), ceil(middle + margin)
    return sample[last] if last < len(sample) else -inf, sample[first] if first >= 0 else inf

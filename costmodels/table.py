"""Prices from a profile's rows, and the match between a profile and a model.

Rules, each leaving its mark in the derivation:
- dense rows at several channel counts form a grid: `exact` on it, `interpolated` inside (bilinear), `clamped`
  outside. Without a full grid the two axes are combined as a product, and an axis without rows goes by
  multiply-adds: `scaled`.
- unstructured rows: linear in density between two rows; denser than all of them costs dense time (the step
  from dense to the first sparse row is a change of kernel, not a slope); sparser is `clamped`.
- N:M rows: that pattern, or one that it satisfies (keep1of4 satisfies keep2of4), `clamped`; else dense time.
- a sparse pattern on a thinner shape takes the ratio seen at the full shape: `scaled`.
- nothing costs more than the dense kernel at full shape: `dense_fallback` where that is what is paid.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from costmodels.accelerator import implies
from costmodels.base import Derivation
from costmodels.profile import ProfileRow
from pruning.layers import LayerSpec
from pruning.patterns import NM, Dense, Pattern, Unstructured, parse

Shape = tuple[int, int]  # input channels, output channels
_RANK: tuple[Derivation, ...] = ("exact", "interpolated", "clamped", "scaled", "modelled")


@dataclass(frozen=True)
class Cell:
    """A time and how it was derived, before calibration."""

    latency_ms: float
    derivation: Derivation


@dataclass(frozen=True)
class LayerTable:
    """All rows of one layer, at absolute channel counts. `full`, the model's own shape, is among them."""

    full: Shape
    depthwise: bool
    dense_ms: Mapping[Shape, float]
    # density and time, by density
    unstructured_ms: Mapping[Shape, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    nm_ms: Mapping[Shape, Mapping[NM, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, layer: LayerSpec, rows: Sequence[ProfileRow]) -> "LayerTable | None":
        """The table of a layer, or None where no dense row has its shape, or a row is wider than it."""
        full = (layer.in_channels, layer.out_channels)
        dense: dict[Shape, float] = {}
        slopes: dict[Shape, dict[float, float]] = {}
        groups: dict[Shape, dict[NM, float]] = {}
        for row in rows:
            shape = (row.in_channels or full[0], row.out_channels or full[1])
            if shape[0] > full[0] or shape[1] > full[1]:
                return None
            match parse(row.pattern):
                case Dense():
                    dense[shape] = row.latency_ms
                case Unstructured() as pattern:
                    slopes.setdefault(shape, {})[pattern.density] = row.latency_ms
                case NM() as pattern:
                    groups.setdefault(shape, {})[pattern] = row.latency_ms
        if full not in dense:
            return None
        points = {shape: tuple(sorted(found.items())) for shape, found in slopes.items()}
        return cls(full, layer.depthwise, dense, points, groups)

    @property
    def full_ms(self) -> float:
        """The dense time at full shape."""
        return self.dense_ms[self.full]

    def price(self, shape: Shape, pattern: Pattern) -> Cell:
        """The price of a pattern at a shape no larger than the full one."""
        dense = self._cap(self._dense(shape))
        sparse = self._sparse(shape, pattern, dense)
        if sparse is not None and sparse.latency_ms < dense.latency_ms:
            return sparse
        wanted = isinstance(pattern, Unstructured | NM)
        return Cell(dense.latency_ms, "dense_fallback") if wanted else dense

    def _cap(self, cell: Cell) -> Cell:
        # A thinner layer can always run as the full one with channels of zeros.
        return cell if cell.latency_ms <= self.full_ms else Cell(self.full_ms, "dense_fallback")

    def _dense(self, shape: Shape) -> Cell:
        if shape in self.dense_ms:
            return Cell(self.dense_ms[shape], "exact")
        if self.depthwise:  # input and output channels are one and the same
            points = {out: ms for (_, out), ms in self.dense_ms.items()}
            return _axis(points, shape[1], self.full[1])
        ins, outs = (sorted({s[axis] for s in self.dense_ms}) for axis in (0, 1))
        if len(ins) > 1 and len(outs) > 1 and all(s in self.dense_ms for s in product(ins, outs)):
            return self._bilinear(shape, ins, outs)
        return self._separable(shape)

    def _bilinear(self, shape: Shape, ins: Sequence[int], outs: Sequence[int]) -> Cell:
        columns = [_line([(i, self.dense_ms[i, o]) for i in ins], shape[0]) for o in outs]
        row = _line([(o, cell.latency_ms) for o, cell in zip(outs, columns, strict=True)], shape[1])
        return Cell(row.latency_ms, _worst(row.derivation, columns[0].derivation))

    def _separable(self, shape: Shape) -> Cell:
        by_in = {i: ms for (i, o), ms in self.dense_ms.items() if o == self.full[1]}
        by_out = {o: ms for (i, o), ms in self.dense_ms.items() if i == self.full[0]}
        ins, outs = _axis(by_in, shape[0], self.full[0]), _axis(by_out, shape[1], self.full[1])
        thin = shape[0] < self.full[0] and shape[1] < self.full[1]
        kind: Derivation = "scaled" if thin else _worst(ins.derivation, outs.derivation)
        return Cell(ins.latency_ms * outs.latency_ms / self.full_ms, kind)

    def _sparse(self, shape: Shape, pattern: Pattern, dense: Cell) -> Cell | None:
        here = self._listed(shape, pattern)
        if here is not None or shape == self.full:
            return here
        full = self._listed(self.full, pattern)
        if full is None or full.latency_ms >= self.full_ms:
            return None
        return Cell(dense.latency_ms * full.latency_ms / self.full_ms, "scaled")

    def _listed(self, shape: Shape, pattern: Pattern) -> Cell | None:
        match pattern:
            case Unstructured():
                return _slope(self.unstructured_ms.get(shape, ()), pattern.density)
            case NM():
                return _looser(self.nm_ms.get(shape, {}), pattern)
        return None


def _worst(*kinds: Derivation) -> Derivation:
    return max(kinds, key=_RANK.index)


def _axis(points: Mapping[int, float], at: int, full: int) -> Cell:
    """One axis of channel counts; by multiply-adds where only the full width is known."""
    if len(points) > 1:
        return _line(sorted(points.items()), at)
    share = at / full
    return Cell(points[full] * share, "exact" if at == full else "scaled")


def _line(points: Sequence[tuple[float, float]], at: float) -> Cell:
    """Linear between points sorted by their first coordinate, flat outside them."""
    spots = [spot for spot, _ in points]
    index = bisect_left(spots, at)
    if index < len(points) and spots[index] == at:
        return Cell(points[index][1], "exact")
    if index in (0, len(points)):
        return Cell(points[min(index, len(points) - 1)][1], "clamped")
    (left, low), (right, high) = points[index - 1], points[index]
    share = (at - left) / (right - left)
    return Cell(low * (1.0 - share) + high * share, "interpolated")


def _slope(points: Sequence[tuple[float, float]], density: float) -> Cell | None:
    if not points or density > points[-1][0] + 1e-9:
        return None  # between dense and the first sparse row: the dense kernel runs
    near = next((point for point in points if abs(point[0] - density) <= 1e-9), None)
    return Cell(near[1], "exact") if near else _line(points, density)


def _looser(listed: Mapping[NM, float], pattern: NM) -> Cell | None:
    if pattern in listed:
        return Cell(listed[pattern], "exact")
    usable = [ms for loose, ms in listed.items() if implies(pattern, loose)]
    return Cell(min(usable), "clamped") if usable else None

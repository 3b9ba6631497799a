"""The price of one layer from a profile's rows.

Rules, each leaving its mark in the derivation:
- channel counts are rounded up to the device's multiple, never above the full layer.
- dense rows at several channel counts form a grid: `exact` on it, `interpolated` inside (bilinear), `clamped` outside.
  Without a full grid the two axes are combined as a product, and an axis without rows goes by multiply-adds: `scaled`.
- unstructured, kernel and block rows: linear in density between two rows of the same kind; sparser is `clamped`. The
  step from dense to the first sparse row is a change of kernel, not a slope: a runtime that dispatches runs dense
  there, one that is forced to its sparse kernel gets its line drawn on, `scaled`.
- N:M rows: that pattern, or one that it satisfies (keep1of4 satisfies keep2of4), `clamped`.
- a sparse pattern on a thinner shape takes the ratio seen at the full shape: `scaled`.
- a pattern without rows, a shape that a capability rules out, and whatever is slower than the dense kernel of a runtime
  that dispatches cost dense time: `dense_fallback`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from costmodels.points import Cell, Point, beyond, cell, gap_error, line, mix, residual, worst
from costmodels.profile import Capability, Profile, ProfileRow
from costmodels.zeros import implies
from pruning.layers import LayerSpec
from pruning.patterns import NM, Block, Dense, Pattern, parse

Shape = tuple[int, int]  # input channels, output channels
Family = str  # what may be interpolated together: "unstructured", "kernel", "block1x4"
Slope = tuple[tuple[float, Point], ...]  # by density


@dataclass(frozen=True)
class TableRules:
    """What a profile says about all of its layers, and the share of the rows' time that is this layer's."""

    dispatch: str = "auto"
    channel_multiple: int = 1
    capabilities: tuple[Capability, ...] = ()
    share: float = 1.0

    @classmethod
    def of(cls, profile: Profile, share: float = 1.0) -> "TableRules":
        """The rules of a profile."""
        return cls(profile.dispatch, profile.channel_multiple, profile.capabilities, share)


@dataclass(frozen=True)
class LayerTable:
    """All rows of one layer, at absolute channel counts. `full`, the model's own shape, is among them."""

    layer: LayerSpec
    rules: TableRules
    dense: Mapping[Shape, Point]
    slopes: Mapping[tuple[Shape, Family], Slope] = field(default_factory=dict)
    nm: Mapping[Shape, Mapping[NM, Point]] = field(default_factory=dict)

    @classmethod
    def of(cls, layer: LayerSpec, rows: Sequence[ProfileRow], rules: TableRules | None = None) -> "LayerTable | None":
        """The table of a layer, or None where no dense row has its shape, or a row is wider than it.

        Rows of several partners are added up where all of them have one.
        """
        rules = rules or TableRules()
        full = (layer.in_channels, layer.out_channels)
        points = _points(rows, full, rules.share)
        if (full, "dense") not in points or any(s[0] > full[0] or s[1] > full[1] for s, _ in points):
            return None
        dense: dict[Shape, Point] = {}
        slopes: dict[tuple[Shape, Family], list[tuple[float, Point]]] = {}
        nm: dict[Shape, dict[NM, Point]] = {}
        for (shape, text), point in points.items():
            match parse(text):
                case Dense():
                    dense[shape] = point
                case NM() as pattern:
                    nm.setdefault(shape, {})[pattern] = point
                case pattern:
                    slopes.setdefault((shape, family(pattern)), []).append((pattern.density, point))
        ordered = {key: tuple(sorted(found, key=lambda one: one[0])) for key, found in slopes.items()}
        return cls(layer, rules, dense, ordered, nm)

    @property
    def full(self) -> Shape:
        """The model's own channels, in and out."""
        return (self.layer.in_channels, self.layer.out_channels)

    @property
    def full_ms(self) -> float:
        """The dense time at full shape."""
        return self.dense[self.full].latency_ms

    def price(self, shape: Shape, pattern: Pattern) -> Cell:
        """The price of a pattern at a shape no larger than the full one."""
        shape = self._rounded(shape)
        dense = self._cap(self._dense(shape))
        if isinstance(pattern, Dense):
            return dense
        sparse = self._sparse(shape, pattern, dense) if self._capable(shape, pattern) else None
        if sparse is None:
            return dense.fallback()
        chosen = self.rules.dispatch == "forced" or sparse.latency_ms < dense.latency_ms
        return sparse if chosen else dense.fallback(sparse)

    def _rounded(self, shape: Shape) -> Shape:
        multiple = self.rules.channel_multiple
        ins, outs = (min(-(-now // multiple) * multiple, most) for now, most in zip(shape, self.full, strict=True))
        return ins, outs

    def _cap(self, found: Cell) -> Cell:
        # A thinner layer can always run as the full one with channels of zeros.
        return found if found.latency_ms <= self.full_ms else cell(self.dense[self.full], "exact").fallback()

    def _dense(self, shape: Shape) -> Cell:
        if shape in self.dense:
            return cell(self.dense[shape], "exact")
        if self.layer.depthwise:  # input and output channels are one and the same
            return self._axis({out: point for (_, out), point in self.dense.items()}, shape[1], self.full[1])
        ins, outs = (sorted({s[axis] for s in self.dense}) for axis in (0, 1))
        if len(ins) > 1 and len(outs) > 1 and all(s in self.dense for s in product(ins, outs)):
            return self._bilinear(shape, ins, outs)
        return self._separable(shape)

    def _bilinear(self, shape: Shape, ins: Sequence[int], outs: Sequence[int]) -> Cell:
        columns = [line([(i, self.dense[i, o]) for i in ins], shape[0]) for o in outs]
        row = line([(o, column.point) for o, column in zip(outs, columns, strict=True)], shape[1])
        return cell(row.point, worst(row.derivation, columns[0].derivation))

    def _separable(self, shape: Shape) -> Cell:
        by_in = {i: point for (i, o), point in self.dense.items() if o == self.full[1]}
        by_out = {o: point for (i, o), point in self.dense.items() if i == self.full[0]}
        ins, outs = self._axis(by_in, shape[0], self.full[0]), self._axis(by_out, shape[1], self.full[1])
        thin = shape[0] < self.full[0] and shape[1] < self.full[1]
        share = outs.latency_ms / self.full_ms
        if share == 1.0:
            return ins
        return cell(ins.point.times(share), "scaled" if thin else worst(ins.derivation, outs.derivation))

    def _axis(self, points: Mapping[int, Point], at: int, full: int) -> Cell:
        """One axis of channel counts; by multiply-adds where only the full width is known."""
        if len(points) > 1:
            return line(sorted(points.items()), at)
        return cell(points[full], "exact") if at == full else cell(points[full].times(at / full), "scaled")

    def _capable(self, shape: Shape, pattern: Pattern) -> bool:
        """Whether the device's stated capabilities leave room for this; silence leaves the word to the rows."""
        stated = [c for c in self.rules.capabilities if c.pattern == pattern.kind]
        return not stated or any(_fits(c, self.layer, shape, pattern) for c in stated)

    def _sparse(self, shape: Shape, pattern: Pattern, dense: Cell) -> Cell | None:
        here = self._listed(shape, pattern)
        if here is not None or shape == self.full:
            return here
        full = self._listed(self.full, pattern)
        if full is None or (self.rules.dispatch == "auto" and full.latency_ms >= self.full_ms):
            return None
        return cell(dense.point.times(full.latency_ms / self.full_ms), "scaled", full.half_width)

    def _listed(self, shape: Shape, pattern: Pattern) -> Cell | None:
        if isinstance(pattern, NM):
            return _looser(self.nm.get(shape, {}), pattern)
        points = self.slopes.get((shape, family(pattern)), ())
        if not points:
            return None
        if pattern.density > points[-1][0] + 1e-9:
            return None if self.rules.dispatch == "auto" else beyond(points, pattern.density)
        return line(points, pattern.density, max(residual(points), gap_error(points, pattern.density)))


def family(pattern: Pattern) -> Family:
    """What a pattern's rows may be interpolated with."""
    return f"block{pattern.rows}x{pattern.cols}" if isinstance(pattern, Block) else pattern.kind


def _points(rows: Sequence[ProfileRow], full: Shape, share: float) -> dict[tuple[Shape, str], Point]:
    """The rows by shape and pattern, added up over the partners and relative to the dense rows of the profile."""
    partners = len({row.layer for row in rows})
    dense_ms = {row.layer: row.latency_ms for row in rows if row.pattern == "dense" and _shape(row, full) == full}
    found: dict[tuple[Shape, str], list[tuple[Point, float]]] = {}
    for row in rows:
        own = Point(row.latency_ms, row.latency_std_ms or 0.0, row.energy_mj, row.weight_bytes)
        if row.dense_ms is not None and row.layer in dense_ms and row.dense_ms != dense_ms[row.layer]:
            scaled = own.times(dense_ms[row.layer] / row.dense_ms)  # another campaign: only its ratio carries over
            own = Point(scaled.latency_ms, scaled.std_ms, None, own.weight_bytes, "scaled")
        found.setdefault((_shape(row, full), row.pattern), []).append((own, share))
    whole = {key: mix(parts) for key, parts in found.items() if len(parts) == partners}
    if share == 1.0:
        return whole
    return {
        k: Point(p.latency_ms, p.std_ms, p.energy_mj, None, worst("scaled", p.derivation)) for k, p in whole.items()
    }


def _shape(row: ProfileRow, full: Shape) -> Shape:
    return (row.in_channels or full[0], row.out_channels or full[1])


def _fits(rule: Capability, layer: LayerSpec, shape: Shape, pattern: Pattern) -> bool:
    enough = 1.0 - pattern.density >= rule.min_sparsity - 1e-9
    if rule.effect != "skip" or (rule.ops and layer.op not in rule.ops) or not enough:
        return False
    if isinstance(pattern, NM) and not implies(pattern, NM(rule.keep or 1, rule.group or 1)):
        return False
    if isinstance(pattern, Block) and (pattern.rows, pattern.cols) != (
        rule.rows or pattern.rows,
        rule.cols or pattern.cols,
    ):
        return False
    limits = ((rule.in_channels_multiple, rule.in_channels_min), (rule.out_channels_multiple, rule.out_channels_min))
    return all(now % multiple == 0 and now >= least for now, (multiple, least) in zip(shape, limits, strict=True))


def _looser(listed: Mapping[NM, Point], pattern: NM) -> Cell | None:
    if pattern in listed:
        return cell(listed[pattern], "exact")
    usable = [point for loose, point in listed.items() if implies(pattern, loose)]
    return cell(min(usable, key=lambda point: point.latency_ms), "clamped") if usable else None

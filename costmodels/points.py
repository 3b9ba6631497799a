"""Points of a layer's table, straight lines between them, and how far each kind of price can be trusted.

Every price is a weighted sum of rows, so time, energy, bytes and spread go through the same arithmetic.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from costmodels.base import Derivation

RANK: tuple[Derivation, ...] = ("exact", "interpolated", "clamped", "scaled", "modelled")
# Half-widths of intervals as shares of the price, where the layer's own table does not show a larger error. The sources
# are the errors of 323 measured sparse layer curves and of fitted rooflines: 8 % and 12 % are the ninetieth percentiles
# of interpolating seven and four sparsities, 25 % is the floor for anything modelled; 2 % for a listed row is ours.
FLOORS: dict[Derivation, float] = {
    "exact": 0.02,
    "interpolated": 0.08,
    "clamped": 0.12,
    "scaled": 0.25,
    "dense_fallback": 0.02,
    "modelled": 0.25,
}


@dataclass(frozen=True)
class Point:
    """A row, or a weighted sum of rows. None: not known. `derivation` is that of a point by itself."""

    latency_ms: float
    std_ms: float = 0.0
    energy_mj: float | None = None
    weight_bytes: float | None = None
    derivation: Derivation = "exact"

    def times(self, factor: float) -> "Point":
        """The point, scaled; a smaller layer's weights are not known."""
        energy_mj = None if self.energy_mj is None else self.energy_mj * factor
        return Point(self.latency_ms * factor, self.std_ms * factor, energy_mj, None, self.derivation)


@dataclass(frozen=True)
class Cell:
    """A price and how it was derived, before calibration. `half_width` is that of its interval, as a share."""

    point: Point
    derivation: Derivation
    half_width: float

    @property
    def latency_ms(self) -> float:
        """The time."""
        return self.point.latency_ms

    def fallback(self, lost: "Cell | None" = None) -> "Cell":
        """The same price, paid because nothing better exists for the pattern, or because `lost` is no better.

        Its interval reaches down to that of the other: what looks slower may be the faster one.
        """
        least_ms = self.latency_ms if lost is None else lost.latency_ms * (1.0 - lost.half_width)
        half_width = max(self.half_width, 1.0 - least_ms / self.latency_ms)
        return replace(self, derivation="dense_fallback", half_width=half_width)


def cell(point: Point, derivation: Derivation, error: float = 0.0) -> Cell:
    """A price whose interval is the widest of: its spread, `error` of its table, the floor of its derivation."""
    kind = worst(derivation, point.derivation)
    spread = point.std_ms / point.latency_ms if point.latency_ms else 0.0
    return Cell(point, kind, max(spread, error, FLOORS[kind]))


def worst(*kinds: Derivation) -> Derivation:
    """The least trusted of several; falling back to dense is as good as the dense price."""
    return max(kinds, key=lambda kind: RANK.index("exact" if kind == "dense_fallback" else kind))


def mix(parts: Sequence[tuple[Point, float]]) -> Point:
    """A weighted sum; spreads add up, since neighbouring rows were measured in the same minutes."""
    used = [(point, weight) for point, weight in parts if weight]
    return Point(
        latency_ms=sum(point.latency_ms * weight for point, weight in used),
        std_ms=sum(point.std_ms * abs(weight) for point, weight in used),
        energy_mj=_sum([(point.energy_mj, weight) for point, weight in used]),
        weight_bytes=_sum([(point.weight_bytes, weight) for point, weight in used]),
        derivation=worst(*(point.derivation for point, _ in used)),
    )


def _sum(parts: Sequence[tuple[float | None, float]]) -> float | None:
    total = 0.0
    for value, weight in parts:
        if value is None:
            return None
        total += value * weight
    return total


def line(points: Sequence[tuple[float, Point]], at: float, error: float = 0.0) -> Cell:
    """Linear between points sorted by their first coordinate, flat outside them."""
    spots = [spot for spot, _ in points]
    index = bisect_left(spots, at - 1e-9)
    if index < len(points) and abs(spots[index] - at) <= 1e-9:
        return cell(points[index][1], "exact")
    if index in (0, len(points)):
        return cell(points[min(index, len(points) - 1)][1], "clamped", error)
    (left, low), (right, high) = points[index - 1], points[index]
    share = (at - left) / (right - left)
    return cell(mix([(low, 1.0 - share), (high, share)]), "interpolated", error)


def beyond(points: Sequence[tuple[float, Point]], at: float) -> Cell:
    """From the densest point on to `at`, at the slope of all points (least squares); flat where that falls.

    All of them, because two neighbours may lie so close together that their slope is noise; flat, because more weights
    never take less time.
    """
    densest, last = points[-1]
    middle = sum(spot for spot, _ in points) / len(points)
    spread = sum((spot - middle) ** 2 for spot, _ in points)
    slope_ms = sum((spot - middle) * point.latency_ms for spot, point in points) / spread if spread else 0.0
    if slope_ms <= 0.0:
        return cell(last, "clamped")
    return cell(last.times(1.0 + slope_ms * (at - densest) / last.latency_ms), "scaled")


def gap_error(points: Sequence[tuple[float, Point]], density: float) -> float:
    """The ninetieth percentile of interpolation errors by how far apart the neighbours lie.

    8 % for seven sparsities and 12 % for four, over 323 measured layer curves; 19 % for two sparse points 0.59 apart,
    over 53 layers of one (`python -m benchmarks.fidelity`).
    """
    below = max((d for d, _ in points if d <= density + 1e-9), default=0.0)
    above = min((d for d, _ in points if d >= density - 1e-9), default=1.0)
    return 0.08 if above - below <= 0.2 else 0.12 if above - below <= 0.4 else 0.19


def residual(points: Sequence[tuple[float, Point]]) -> float:
    """The largest relative error when an inner point is read off the line between its neighbours."""
    errors = [0.0]
    for left, (at, truth), right in zip(points, points[1:], points[2:], strict=False):
        errors.append(abs(line([left, right], at).latency_ms / truth.latency_ms - 1.0))
    return max(errors)

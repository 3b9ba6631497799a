"""`Calibration`: from predicted totals to measured ones, as a versioned value with its points and residuals.

Layer sums miss network times: profilers slow layers down, runtimes overlap them, and something runs between them. What
is known decides what is fitted, measured = factor x predicted + offset_ms:

- no point: factor 1, offset 0, `none`;
- one point: `scale` where less was measured than predicted (profiling inflates every layer), `offset` where more was
  (something runs that no layer shows);
- two or more at different predictions: `affine`, by least squares of relative errors.

Intervals are split-conformal (Papadopoulos 2002; Lei et al. 2018, arXiv 1604.04173): the model is fitted on every other
point, and the ceil((n + 1)(1 - alpha))-th smallest relative error of the n others covers a new one with probability
1 - alpha, if it is exchangeable with them. Plans chosen by a search are not quite: the coverage is nominal.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from math import ceil
from typing import Any, Literal

from costmodels.base import CostModel, LayerCost, NetworkGroup, Source
from costmodels.errors import ProfileError
from costmodels.points import worst
from costmodels.profile_fields import shown
from pruning.layers import LayerSpec
from pruning.patterns import Pattern

ALPHA = 0.1
SANE_FACTORS = (0.6, 1.1)
MAX_POINTS = 1000  # each is left out once: the work grows with the square
_LARGEST = 1e15


@dataclass(frozen=True, kw_only=True)
class CalibrationPoint:
    """One network whose total was predicted, before calibration, and measured."""

    predicted_ms: float
    measured_ms: float
    label: str = ""  # which plan, which trial

    def __post_init__(self) -> None:
        for name in ("predicted_ms", "measured_ms"):
            if not _is_number(getattr(self, name)) or getattr(self, name) <= 0.0:
                raise ProfileError(
                    f"calibration point {str(self.label)[:60]!r}: {name} {shown(getattr(self, name))} "
                    "is not a positive number"
                )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How a profile's predictions become latencies. Immutable: more points make a new version that names its parent."""

    profile: str  # digest
    method: Literal["none", "scale", "offset", "affine"] = "none"
    factor: float = 1.0
    offset_ms: float = 0.0
    points: tuple[CalibrationPoint, ...] = ()
    residual_mean: float | None = None  # of the relative errors that the fit leaves
    residual_max: float | None = None
    held_out_mean: float | None = None  # each point predicted by a fit to the others; four points or more
    half_width: float | None = None  # of the interval, as a share; None: too few points, the floors of the cells hold
    parent: str = ""

    def __post_init__(self) -> None:
        if not _is_number(self.factor) or self.factor <= 0.0:
            raise ProfileError(f"calibration: factor {shown(self.factor)} is not a positive number")
        for name in ("offset_ms", "half_width"):
            value = getattr(self, name)
            if not (value is None and name == "half_width") and (not _is_number(value) or value < 0.0):
                raise ProfileError(f"calibration: {name} {shown(value)} is not zero or a positive number")

    def latency_ms(self, predicted_ms: float) -> float:
        """A predicted total, calibrated."""
        return self.factor * predicted_ms + self.offset_ms

    def raw_ms(self, calibrated_ms: float) -> float:
        """Inverse of `latency_ms`: what was predicted before calibration."""
        return (calibrated_ms - self.offset_ms) / self.factor

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        return sha256(json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def warning(self) -> str:
        """What a person should know before trusting it, "" if nothing."""
        low, high = SANE_FACTORS
        if low <= self.factor <= high:
            return ""
        return (
            f"measured latencies are {self.factor:.2f} x the predicted ones, outside {low} ... {high}: profile and "
            "deployment differ in clock, runtime, batch or precision"
        )

    def to_json(self) -> dict[str, Any]:
        """JSON form; `from_json` is its inverse."""
        return {**asdict(self), "points": [asdict(point) for point in self.points]}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Calibration":
        """Inverse of `to_json`.

        Raises:
            ProfileError: fields that are missing, unknown or of another type, or numbers that are none of a fit.
        """
        try:
            return cls(**{**document, "points": tuple(CalibrationPoint(**point) for point in document["points"])})
        except (KeyError, TypeError) as error:
            raise ProfileError(f"the calibration is broken: {str(error)[:120]}") from error


def calibrate(
    profile_digest: str, points: Sequence[CalibrationPoint], parent: Calibration | None = None, alpha: float = ALPHA
) -> Calibration:
    """The calibration of a profile by all points so far, the parent's among them.

    Raises:
        ProfileError: too many points, or a parent of another profile.
    """
    if parent is not None and parent.profile != profile_digest:
        raise ProfileError("the calibration to be refined belongs to another profile: start a new one")
    known = (*(parent.points if parent else ()), *points)
    if len(known) > MAX_POINTS:
        raise ProfileError(f"{len(known)} calibration points are more than {MAX_POINTS}: start a new calibration")
    method, factor, offset_ms = _fit(known)
    errors = [_error(factor, offset_ms, point) for point in known]
    held_out = [_error(*_fit([*known[:n], *known[n + 1 :]])[1:], known[n]) for n in range(len(known))]
    return Calibration(
        profile=profile_digest,
        method=method,
        factor=factor,
        offset_ms=offset_ms,
        points=known,
        residual_mean=sum(errors) / len(errors) if errors else None,
        residual_max=max(errors, default=None),
        held_out_mean=sum(held_out) / len(held_out) if len(held_out) >= 4 else None,
        half_width=_conformal(known, alpha),
        parent=parent.digest if parent else "",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST  # false for NaN


def _fit(
    points: Sequence[CalibrationPoint],
) -> tuple[Literal["none", "scale", "offset", "affine"], float, float]:
    if not points:
        return "none", 1.0, 0.0
    spots = {point.predicted_ms for point in points}
    if len(spots) == 1:
        predicted_ms = spots.pop()
        measured_ms = sum(point.measured_ms for point in points) / len(points)
        if measured_ms < predicted_ms:
            return "scale", measured_ms / predicted_ms, 0.0
        return "offset", 1.0, measured_ms - predicted_ms
    factor, offset_ms = _line(points)
    if factor > 0.0 and offset_ms >= 0.0:
        return "affine", factor, offset_ms
    # A negative overhead or a falling line is noise between points that lie close together: keep the proportion.
    ratios = sorted(point.measured_ms / point.predicted_ms for point in points)
    return "scale", ratios[len(ratios) // 2], 0.0


def _line(points: Sequence[CalibrationPoint]) -> tuple[float, float]:
    """Least squares of (factor x predicted + offset) / measured - 1."""
    rows = [(point.predicted_ms / point.measured_ms, 1.0 / point.measured_ms) for point in points]
    xx, xy, yy = (sum(a[i] * a[j] for a in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    x, y = (sum(a[i] for a in rows) for i in (0, 1))
    determinant = xx * yy - xy * xy
    if determinant <= 1e-12 * xx * yy:
        return -1.0, 0.0  # all in one place as far as the numbers go
    return (x * yy - y * xy) / determinant, (y * xx - x * xy) / determinant


def _error(factor: float, offset_ms: float, point: CalibrationPoint) -> float:
    return abs(point.measured_ms / (factor * point.predicted_ms + offset_ms) - 1.0)


def _conformal(points: Sequence[CalibrationPoint], alpha: float) -> float | None:
    ordered = sorted(points, key=lambda point: (point.predicted_ms, point.label))
    fitted, held_out = ordered[::2], ordered[1::2]
    rank = ceil((len(held_out) + 1) * (1.0 - alpha))
    if rank > len(held_out):
        return None  # nine held-out points for nine in ten
    _, factor, offset_ms = _fit(fitted)
    return sorted(_error(factor, offset_ms, point) for point in held_out)[rank - 1]


@dataclass(frozen=True)
class Calibrated:
    """A cost model under a calibration; itself a `CostModel`."""

    inner: CostModel
    calibration: Calibration
    groups: tuple[NetworkGroup, ...] = field(init=False)
    name: str = field(init=False)
    batch: int = field(init=False)
    precision: str = field(init=False)
    overhead_ms: float = field(init=False)
    overhead_source: Source = field(init=False)
    half_width: float | None = field(init=False)

    def __post_init__(self) -> None:
        for name in ("groups", "name", "batch", "precision", "overhead_source"):
            object.__setattr__(self, name, getattr(self.inner, name))
        object.__setattr__(self, "overhead_ms", self.calibration.latency_ms(self.inner.overhead_ms))
        object.__setattr__(self, "half_width", self.calibration.half_width)

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        """The inner price, scaled; energy and bytes are as they were."""
        cost, factor = self.inner.cost(dense, now, pattern), self.calibration.factor
        scaled = cost.derivation if factor == 1.0 or cost.derivation != "exact" else worst("scaled", cost.derivation)
        return LayerCost(
            cost.latency_ms * factor,
            cost.source,
            scaled,
            low_ms=None if cost.low_ms is None else cost.low_ms * factor,
            high_ms=None if cost.high_ms is None else cost.high_ms * factor,
            energy_mj=cost.energy_mj,
            weight_bytes=cost.weight_bytes,
            macs=cost.macs,
        )

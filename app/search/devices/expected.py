"""The front that a search may expect, from what earlier searches of the same model on the same data found.

Their trials are priced on the devices of the new search, so a device that nobody has seen is no obstacle. Where there
are none, nothing is claimed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median, variance
from typing import Any

from app.search.devices.estimate import TENTH, Range
from app.search.space.price import ReachableRange
from app.search.spec import SearchSpec

_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)  # of the dense latency
_SLACK = 1e-9


@dataclass(frozen=True, kw_only=True)
class Found:
    """An earlier trial: the search it is of, its quality and that quality's standard error, its latency here."""

    search: str
    quality: float
    standard_error: float
    latency_ms: float


@dataclass(frozen=True, kw_only=True)
class Level:
    """What to expect at a latency. None: no earlier trial is as fast, or no error table is known on this device.

    `excess_loss` is what the best plan is predicted to lose before any recovery, by the bound of an earlier search.
    """

    latency_ms: float
    share: float
    quality: Range | None
    searches: int
    excess_loss: float | None


@dataclass(frozen=True, kw_only=True)
class Unreachable:
    """A limit that no plan of the space keeps, by its place in the spec."""

    index: int
    profile: str
    limit_ms: float
    lowest_ms: float
    dense_ms: float


def expected_front(
    reach: ReachableRange, found: Sequence[Found], bound: Sequence[Mapping[str, Any]], most: float | None = None
) -> list[Level]:
    """What to expect between the lowest latency that the space reaches and the dense one, fastest last.

    Args:
        reach: the range on this device.
        found: earlier trials of the model.
        bound: an earlier search's on this device, `{"latency_ms", "error"}`; empty if there is none.
        most: the highest quality there is, such as 1 for accuracies.
    """
    levels = [reach.dense_ms * share for share in _SHARES if reach.dense_ms * share > reach.lowest_ms]
    return [_level(latency_ms, reach, found, bound, most) for latency_ms in (*levels, reach.lowest_ms)]


def _level(
    latency_ms: float,
    reach: ReachableRange,
    found: Sequence[Found],
    bound: Sequence[Mapping[str, Any]],
    most: float | None,
) -> Level:
    in_time = [one for one in found if one.latency_ms <= latency_ms * (1 + _SLACK)]
    best: dict[str, Found] = {}
    for one in in_time:
        if one.search not in best or one.quality > best[one.search].quality:
            best[one.search] = one
    losses = [point["error"] for point in bound if point["latency_ms"] <= latency_ms * (1 + _SLACK)]
    return Level(
        latency_ms=latency_ms,
        share=latency_ms / reach.dense_ms,
        quality=_quality(list(best.values()), most) if best else None,
        searches=len(best),
        excess_loss=min(losses, default=None),
    )


def _quality(best: Sequence[Found], most: float | None) -> Range:
    """The best of each search at a latency: how they differ, and the noise of the old number and of the new one.

    How two searches differ cannot be seen in one: then the noise is doubled.
    """
    noise = 2 * fmean(one.standard_error**2 for one in best)
    values = [one.quality for one in best]
    spread = sqrt(variance(values) + noise) if len(values) > 1 else 2 * sqrt(noise)
    middle = median(values)
    high = middle + TENTH * spread
    return Range(p10=middle - TENTH * spread, p50=middle, p90=high if most is None else min(high, most))


def unreachable(spec: SearchSpec, reachable: Mapping[str, ReachableRange]) -> list[Unreachable]:
    """The limits below what the space reaches, each by itself; that all are kept at once is not promised."""
    found = []
    for index, limit in enumerate(spec.limits):
        reach = reachable[limit.profile]
        limit_ms = limit.latency_ms if limit.latency_ms is not None else (limit.share or 1.0) * reach.dense_ms
        if limit_ms < reach.lowest_ms * (1 - _SLACK):
            found.append(
                Unreachable(
                    index=index,
                    profile=limit.profile,
                    limit_ms=limit_ms,
                    lowest_ms=reach.lowest_ms,
                    dense_ms=reach.dense_ms,
                )
            )
    return found

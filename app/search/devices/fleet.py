"""Several devices at once: the front of the worst one, and the fewest models that meet a list of limits.

Accuracy is measured once, prices are known on every device; what a fleet wants of them is asked here. numpy; HiGHS
through scipy where models are chosen for limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from app.search.errors import SearchFailed
from app.search.front import pareto_front

Objective = Literal["mean", "min"]
_SLACK = 1e-9  # of a limit: sums of floats in another order
_NODES = 2000  # of one integer program, so that the answer does not hang on the clock; a fleet takes a few
_SOLVE_S = 20.0  # and no request waits longer
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FleetModel:
    """A trial as a fleet sees it: its quality, higher is better, and its latency by profile."""

    number: int
    quality: float
    latency_ms: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class FleetLimit:
    """On this profile some chosen model must be as fast as this, and no worse than `least_quality`."""

    profile: str
    latency_ms: float
    least_quality: float | None = None

    def admits(self, model: FleetModel) -> bool:
        """Whether a model meets it."""
        latency_ms = model.latency_ms.get(self.profile)
        fast = latency_ms is not None and latency_ms <= self.latency_ms * (1 + _SLACK)
        return fast and (self.least_quality is None or model.quality >= self.least_quality)


@dataclass(frozen=True, kw_only=True)
class WorstPoint:
    """A model at the share of its latency on the device where that share is largest."""

    number: int
    quality: float
    share: float
    profile: str
    shares: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Cover:
    """The chosen models, and for each limit the number of the one that serves it.

    `fewest` is the least number of models that meet all limits; `proven`: no other choice of as many is better.
    """

    numbers: tuple[int, ...]
    serves: tuple[int, ...]
    mean_quality: float
    min_quality: float
    fewest: int
    proven: bool


def worst_front(models: Sequence[FleetModel], reference_ms: Mapping[str, float]) -> list[WorstPoint]:
    """The models that nothing beats in (largest latency / reference over the devices, quality), fastest first.

    Args:
        models: those that lack a price on one of the devices are left out; of equal ones the first stands.
        reference_ms: by profile the latency that counts as 1: of the dense model, or the limit.
    """
    priced = [model for model in models if reference_ms.keys() <= model.latency_ms.keys()]
    points = [_worst(model, reference_ms) for model in priced] if reference_ms else []
    return [points[n] for n in pareto_front([(point.share, -point.quality) for point in points])]


def _worst(model: FleetModel, reference_ms: Mapping[str, float]) -> WorstPoint:
    shares = {profile: model.latency_ms[profile] / most_ms for profile, most_ms in reference_ms.items()}
    profile = max(shares, key=lambda key: shares[key])
    return WorstPoint(number=model.number, quality=model.quality, share=shares[profile], profile=profile, shares=shares)


def cover(
    models: Sequence[FleetModel],
    limits: Sequence[FleetLimit],
    k: int | None = None,
    objective: Objective = "mean",
) -> Cover:
    """The best choice of at most `k` models so that every limit is met by one of them.

    The quality at a limit is that of the best chosen model which meets it. "mean" makes its mean over the limits as
    high as possible; "min" the lowest of them first, and then the mean. Without `k` the fewest models are chosen.

    Raises:
        SearchFailed: code `limit_unreachable`, no model meets a limit, with what can be had; code `too_few_models`,
            `k` is less than the fewest.
    """
    if not limits:
        raise SearchFailed("no_limits", "there is no limit to meet: name one at least")
    for index, limit in enumerate(limits):
        if not any(limit.admits(model) for model in models):
            raise _unreachable(index, limit, models)
    meets, quality, numbers = _candidates(models, limits)
    fewest, proven = _fewest(meets)
    if k is not None and k < fewest:
        reason = f"{len(limits)} limits need {fewest} models of this search, not {k}: raise k, or drop or raise limits"
        raise SearchFailed("too_few_models", reason, {"k": k, "fewest": fewest})
    most = fewest if k is None else k
    if objective == "min":
        meets &= (quality >= _highest_floor(meets, quality, most))[:, None]
    chosen, best = _best_mean(meets, quality, most)
    served = [max((row for row in chosen if met[row]), key=lambda row: quality[row]) for met in meets.T]
    reached = quality[served]
    return Cover(
        numbers=tuple(sorted({numbers[row] for row in served})),
        serves=tuple(numbers[row] for row in served),
        mean_quality=float(reached.mean()),
        min_quality=float(reached.min()),
        fewest=fewest,
        proven=proven and best,
    )


def _unreachable(index: int, limit: FleetLimit, models: Sequence[FleetModel]) -> SearchFailed:
    """What keeps a limit from being met, and what could be had."""
    there = [m for m in models if limit.profile in m.latency_ms]
    fastest_ms = min((m.latency_ms[limit.profile] for m in there), default=None)
    in_time = FleetLimit(profile=limit.profile, latency_ms=limit.latency_ms)
    best = max((m.quality for m in there if in_time.admits(m)), default=None)
    if fastest_ms is None:
        why = f"no trial is priced on profile {limit.profile!r}: re-price the model on it first"
    elif best is None:
        why = f"the fastest trial takes {fastest_ms:.4g} ms on profile {limit.profile!r}: raise the limit to that"
    else:
        why = (
            f"the best trial within it has {best:.4g}, not {limit.least_quality:.4g}: ask for less, or raise the limit"
        )
    return SearchFailed(
        "limit_unreachable",
        f"no trial meets the limit of {limit.latency_ms:.4g} ms: {why}",
        {"limit": index, "profile": limit.profile, "limit_ms": limit.latency_ms, "lowest_ms": fastest_ms, "best": best},
    )


def _candidates(
    models: Sequence[FleetModel], limits: Sequence[FleetLimit]
) -> tuple[npt.NDArray[np.bool_], Floats, list[int]]:
    """Which limits each model meets, `[models, limits]`, without models that another one replaces everywhere."""
    best: dict[tuple[bool, ...], FleetModel] = {}
    for model in sorted(models, key=lambda m: (-m.quality, m.number)):
        met = tuple(limit.admits(model) for limit in limits)
        if any(met):
            best.setdefault(met, model)
    kept: list[tuple[bool, ...]] = []
    for met in best:  # by falling quality
        if not any(all(theirs or not ours for ours, theirs in zip(met, other, strict=True)) for other in kept):
            kept.append(met)
    found = [best[met] for met in kept]
    return np.array(kept), np.array([m.quality for m in found]), [m.number for m in found]


def _fewest(meets: npt.NDArray[np.bool_]) -> tuple[int, bool]:
    """The size of the smallest set of rows that meets every column (set cover), and whether that is proven."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    found = milp(
        np.ones(len(meets)),
        integrality=np.ones(len(meets), dtype=np.intp),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(meets.T.astype(float), lb=1),
        options={"node_limit": _NODES, "time_limit": _SOLVE_S},
    )
    if found.x is None:
        return min(meets.shape), False  # a row for each column always does
    return round(found.fun), found.status == 0


def _highest_floor(meets: npt.NDArray[np.bool_], quality: Floats, most: int) -> float:
    """The highest quality that the worst served limit can have with `most` models: set covers, by bisection."""
    floors = np.unique(quality)
    low, high = 0, len(floors) - 1
    while low < high:
        middle = (low + high + 1) // 2
        rows = meets[quality >= floors[middle]]
        if rows.any(axis=0).all() and _fewest(rows)[0] <= most:
            low = middle
        else:
            high = middle - 1
    return float(floors[low])


def _best_mean(meets: npt.NDArray[np.bool_], quality: Floats, most: int) -> tuple[list[int], bool]:
    """At most `most` rows with the highest mean over columns of the best row that meets it; and whether it is proven.

    The program: x[row] in {0, 1} is chosen, y[row, column] serves; each column is served once, by what is chosen.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    rows, columns = np.nonzero(meets)
    models, pairs = len(meets), len(rows)
    each = np.arange(pairs)
    served = coo_array((np.ones(pairs), (columns, models + each)), shape=(meets.shape[1], models + pairs))
    open_ = coo_array(
        (np.r_[np.ones(pairs), -np.ones(pairs)], (np.r_[each, each], np.r_[models + each, rows])),
        shape=(pairs, models + pairs),
    )
    count = coo_array((np.ones(models), (np.zeros(models, dtype=int), np.arange(models))), shape=(1, models + pairs))
    found = milp(
        np.r_[np.zeros(models), -quality[rows]],
        integrality=np.repeat([1, 0], [models, pairs]),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(served.tocsr(), lb=1, ub=1),
            LinearConstraint(open_.tocsr(), ub=0),
            LinearConstraint(count.tocsr(), ub=most),
        ],
        options={"node_limit": _NODES, "time_limit": _SOLVE_S, "mip_rel_gap": 0.0},
    )
    if found.x is None:
        raise SearchFailed("cover_unsolved", "no choice was found among so many: name fewer limits")
    return np.nonzero(found.x[:models] > 0.5)[0].tolist(), found.status == 0

"""The ground a search stands on: all that is fixed while it proposes plans."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from app.search.space.limits import Limits, Prices
from app.search.space.options import Choice
from app.search.spec import SearchSpec
from app.search.trial import TrialCost
from pruning.plan import PruningPlan

Floats = npt.NDArray[np.float64]
MILDEST_SHARE = 0.9  # of dense latency: closer to it there is nothing to find
STRONGEST_SHARE = 0.1  # of dense latency: below it networks mostly guess; a front that is still flat there is followed


@dataclass(frozen=True, kw_only=True)
class Terrain:
    """Everything fixed that coordinates are read against. `haven` are choices that keep every limit."""

    spec: SearchSpec
    prices: Prices
    errors: tuple[Floats, ...]  # per unit, per option
    limits: Limits
    haven: tuple[Choice, ...]

    def band_ms(self, device: str) -> tuple[float, float]:
        """Between which latencies bands lie on a device: from the lowest to the mildest pruning within its limit."""
        range_ = self.prices.reachable[device]
        tightest_ms = self.limits.by_profile_ms.get(device, range_.dense_ms)
        return range_.lowest_ms, max(range_.lowest_ms, min(MILDEST_SHARE * range_.dense_ms, tightest_ms))

    def floor(self, device: str) -> float:
        """The band below which a search looks only once its front has led there.

        Where a limit ends the bands below two tenths of dense latency it is lower too, a tenth below that end: 0 where
        all is below a tenth anyway, and never so near the end that next to nothing is left to look at.
        """
        mildest = self.band_ms(device)[1] / self.prices.reachable[device].dense_ms
        return self.band_of(device, min(STRONGEST_SHARE, *self.spec.targets, mildest - STRONGEST_SHARE))

    def target_ms(self, device: str, band: float) -> float:
        """The latency that a band in [0, 1] stands for on a device: 0 is the strongest pruning, 1 the mildest."""
        strongest_ms, mildest_ms = self.band_ms(device)
        return strongest_ms + band * (mildest_ms - strongest_ms)

    def band_of(self, device: str, share: float) -> float:
        """The band of a share of the dense latency; the nearest end for one outside."""
        strongest_ms, mildest_ms = self.band_ms(device)
        if mildest_ms <= strongest_ms:
            return 0.0
        wanted_ms = share * self.prices.reachable[device].dense_ms
        return min(max((wanted_ms - strongest_ms) / (mildest_ms - strongest_ms), 0.0), 1.0)

    def share(self, cost: TrialCost) -> float:
        """A price as a share of the dense latency there."""
        return cost.latency_ms / self.prices.reachable[cost.profile].dense_ms

    def trusting(self, errors: tuple[Floats, ...]) -> "Terrain":
        """The same ground with another error table."""
        return replace(self, errors=errors)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A plan with its exact prices."""

    plan: PruningPlan
    costs: tuple[TrialCost, ...]

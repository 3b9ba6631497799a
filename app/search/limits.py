"""Latency limits: what they are in milliseconds, whether a plan keeps them, and whether any plan can.

Impossible limits are answered here, from prices alone, before anything is scored or trained.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from app.search.between import within
from app.search.candidates import weighted
from app.search.coupled_front import Couplings
from app.search.errors import SearchFailed
from app.search.options import Choice, Space
from app.search.price import CostTable, ReachableRange, price_plan
from app.search.spec import SearchSpec
from app.search.trial import TrialCost
from costmodels.base import CostModel
from pruning.layers import ModelSpec

_SLACK = 1e-9  # of a limit: sums of floats in another order


@dataclass(frozen=True)
class Limits:
    """The tightest limit of every limited profile, in milliseconds."""

    by_profile_ms: Mapping[str, float]

    @classmethod
    def of(cls, spec: SearchSpec, reachable: Mapping[str, ReachableRange]) -> "Limits":
        """The limits of a search; shares are of the dense latency."""
        found: dict[str, float] = {}
        for limit in spec.limits:
            share = 1.0 if limit.share is None else limit.share
            given_ms = limit.latency_ms if limit.latency_ms is not None else share * reachable[limit.profile].dense_ms
            found[limit.profile] = min(given_ms, found.get(limit.profile, given_ms))
        return cls(found)

    def tightened(self, profile: str, latency_ms: float) -> "Limits":
        """These limits, and a further one."""
        known_ms = self.by_profile_ms.get(profile, latency_ms)
        return Limits({**self.by_profile_ms, profile: min(known_ms, latency_ms)})

    def hold(self, costs: Sequence[TrialCost]) -> bool:
        """Whether these prices keep every limit."""
        latency_ms = {cost.profile: cost.latency_ms for cost in costs}
        return all(latency_ms[profile] <= most_ms * (1 + _SLACK) for profile, most_ms in self.by_profile_ms.items())

    def weights(self) -> dict[str, float]:
        """What a millisecond on each limited profile counts, so that all limits count the same."""
        return {profile: 1.0 / most_ms for profile, most_ms in self.by_profile_ms.items()}


@dataclass(frozen=True, kw_only=True)
class Prices:
    """All that is known of what plans cost, before any error is."""

    model: ModelSpec
    space: Space
    table: CostTable
    cost_models: Mapping[str, CostModel]
    reachable: Mapping[str, ReachableRange]

    @cached_property
    def couplings(self) -> Couplings:
        """The exact prices on each device, in tables of two sides."""
        return Couplings(self.model, self.space, self.cost_models)

    def keeping(self, limits: Limits) -> tuple[Choice, ...]:
        """Choices that keep all limits at once.

        Raises:
            SearchFailed: code `limit_unreachable`, with what can be reached.
        """
        for profile, limit_ms in limits.by_profile_ms.items():
            if self.reachable[profile].lowest_ms > limit_ms * (1 + _SLACK):
                raise _unreachable(self.reachable[profile], limit_ms)
        cheapest = [self.reachable[profile].choices for profile in limits.by_profile_ms]
        for choices in chain(cheapest, ([0] * len(self.space.units),), self._between(limits)):
            if limits.hold(price_plan(self.model, self.space.plan(choices, ""), self.cost_models)):
                return tuple(choices)
        wanted = " and ".join(f"{ms:.4g} ms on {profile!r}" for profile, ms in limits.by_profile_ms.items())
        raise SearchFailed(
            "limit_unreachable",
            f"each limit can be kept, but no plan was found that keeps {wanted} at once; raise one of them",
            {
                "limits_ms": dict(limits.by_profile_ms),
                "lowest_ms": {profile: self.reachable[profile].lowest_ms for profile in limits.by_profile_ms},
                "dense_ms": {profile: self.reachable[profile].dense_ms for profile in limits.by_profile_ms},
            },
        )

    def _between(self, limits: Limits) -> Iterator[Sequence[Choice]]:
        """Choices that keep limits on several devices; of all those one that takes little of each."""
        if len(limits.by_profile_ms) < 2:
            return

        def exact_ms(choices: Sequence[Choice]) -> dict[str, float]:
            costs = price_plan(self.model, self.space.plan(choices, ""), self.cost_models)
            return {cost.profile: cost.latency_ms for cost in costs}

        shares = weighted(self.table, limits.weights())
        yield from within(self.space, self.table, shares, limits.by_profile_ms, exact_ms)


def _unreachable(range_: ReachableRange, limit_ms: float) -> SearchFailed:
    return SearchFailed(
        "limit_unreachable",
        f"no plan reaches {limit_ms:.4g} ms on profile {range_.profile!r}: this space goes from "
        f"{range_.lowest_ms:.4g} ms ({range_.lowest_ms / range_.dense_ms:.0%} of dense) to "
        f"{range_.dense_ms:.4g} ms (dense); raise the limit, or allow more patterns or sparsities",
        {
            "profile": range_.profile,
            "limit_ms": limit_ms,
            "lowest_ms": range_.lowest_ms,
            "dense_ms": range_.dense_ms,
        },
    )

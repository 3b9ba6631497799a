"""Limits: what they are in milliseconds, millijoules and bytes, whether a plan keeps them, and whether any plan can.

Impossible limits are answered here, from prices alone, before anything is scored or trained.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any

from app.search.errors import SearchFailed
from app.search.space.between import Additive, within
from app.search.space.coupled_front import Couplings
from app.search.space.options import Choice, Space
from app.search.space.price import CostTable, ReachableRange, price_plan
from app.search.space.resources import SLACK, Key, ResourceRange, Resources, at_least, shown
from app.search.spec import SearchSpec
from app.search.trial import Failure, TrialCost
from costmodels.base import CostModel
from pruning.layers import ModelSpec

_UNKNOWN = 1.0  # by how much of a limit a plan is above it of which nobody knows what it takes


@dataclass(frozen=True)
class Limits:
    """The tightest limit of every limited profile, in milliseconds; and of every further (profile, resource)."""

    by_profile_ms: Mapping[str, float]
    further: Mapping[Key, float] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: SearchSpec, reachable: Mapping[str, ReachableRange]) -> "Limits":
        """The limits of a search; shares are of the dense latency."""
        found: dict[str, float] = {}
        further: dict[Key, float] = {}
        for limit in spec.limits:
            if limit.further is not None:
                resource, most = limit.further
                further[limit.profile, resource] = min(most, further.get((limit.profile, resource), most))
                continue
            share = 1.0 if limit.share is None else limit.share
            given_ms = limit.latency_ms if limit.latency_ms is not None else share * reachable[limit.profile].dense_ms
            found[limit.profile] = min(given_ms, found.get(limit.profile, given_ms))
        return cls(found, further)

    @cached_property
    def by_key(self) -> dict[Key, float]:
        """All limits, those on latency first."""
        timed: dict[Key, float] = {(profile, "latency_ms"): most_ms for profile, most_ms in self.by_profile_ms.items()}
        return timed | dict(self.further)

    def tightened(self, profile: str, latency_ms: float) -> "Limits":
        """These limits, and a further one on latency."""
        known_ms = self.by_profile_ms.get(profile, latency_ms)
        return replace(self, by_profile_ms={**self.by_profile_ms, profile: min(known_ms, latency_ms)})

    def hold(self, costs: Sequence[TrialCost]) -> bool:
        """Whether these prices keep every limit; what is not known keeps none."""
        taken = _taken(costs, self.by_key).values()
        pairs = zip(taken, self.by_key.values(), strict=True)
        return all(amount is not None and amount <= most * (1 + SLACK) for amount, most in pairs)

    def excesses(self, costs: Sequence[TrialCost]) -> dict[Key, float]:
        """By how much of each limit a price is above it; below zero where it keeps it."""
        taken = _taken(costs, self.by_key)
        return {
            key: _UNKNOWN if (amount := taken[key]) is None else amount / most - 1.0
            for key, most in self.by_key.items()
        }

    def failure(self, costs: Sequence[TrialCost]) -> Failure:
        """Why a plan of these prices, which breaks a limit, is not trained: the limit that it breaks most."""
        (profile, resource), excess = max(self.excesses(costs).items(), key=lambda pair: pair[1])
        most, amount = self.by_key[profile, resource], _taken(costs, self.by_key)[profile, resource]
        if resource == "latency_ms":
            what, details = f"latency on {profile!r} is {amount:.4g} ms", {"profile": profile, "limit_ms": most}
        else:
            told = "not known" if amount is None else f"{amount:.4g}"
            what = f"{resource} on {profile!r} is {told}"
            details = {"profile": profile, "resource": resource, "limit": most}
        above = "so it may be above" if amount is None else f"{excess:.0%} above"
        limit = shown((profile, resource), most)
        reason = f"its predicted {what}, {above} the limit of {limit}, so it was not trained"
        return Failure(code="over_limit", reason=reason, details=details)


def _taken(costs: Sequence[TrialCost], keys: Iterable[Key]) -> dict[Key, float | None]:
    """What a plan takes, by (profile, resource); None where it is not known."""
    by_profile = {cost.profile: cost for cost in costs}
    return {(profile, resource): getattr(by_profile[profile], resource) for profile, resource in keys}


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

    @cached_property
    def resources(self) -> Resources:
        """What plans take beside time."""
        return Resources(self.model, self.space, self.cost_models)

    def additive(self, limits: Limits) -> Additive:
        """The prices as sums over units, under limits."""
        return Additive(space=self.space, table=self.table, resources=self.resources, limits=limits.by_key)

    def keeping(self, limits: Limits) -> tuple[Choice, ...]:
        """Choices that keep all limits at once.

        Raises:
            SearchFailed: code `limit_unreachable`, with what can be reached; code `resource_unknown`, a limit is on
                something that its profile cannot price.
        """
        for profile, limit_ms in limits.by_profile_ms.items():
            if self.reachable[profile].lowest_ms > limit_ms * (1 + SLACK):
                raise _unreachable(self.reachable[profile], self.cost_models[profile].name, limit_ms)
        ranges = [self.resources.require(key, most) for key, most in limits.further.items()]
        cheapest = [self.reachable[profile].choices for profile in limits.by_profile_ms]
        cheapest += [reach.choices for reach in ranges]
        for choices in chain(cheapest, ([0] * len(self.space.units),), self._between(limits)):
            if limits.hold(self._exact(choices)):
                return tuple(choices)
        wanted = " and ".join(
            f"{shown(key, most)} on {self.cost_models[key[0]].name!r}" for key, most in limits.by_key.items()
        )
        further = {"further": [_reached(reach, limits) for reach in ranges]} if ranges else {}
        raise SearchFailed(
            "limit_unreachable",
            f"each limit can be kept, but no plan was found that keeps {wanted} at once; raise one of them",
            {
                "limits_ms": dict(limits.by_profile_ms),
                "lowest_ms": {profile: self.reachable[profile].lowest_ms for profile in limits.by_profile_ms},
                "dense_ms": {profile: self.reachable[profile].dense_ms for profile in limits.by_profile_ms},
                **further,
            },
        )

    def _between(self, limits: Limits) -> Iterator[Sequence[Choice]]:
        """Choices that keep several limits; of all those one that takes little of each."""
        if len(limits.by_key) < 2:
            return
        prices = self.additive(limits)
        yield from within(prices, prices.shares(), self._exact)

    def _exact(self, choices: Sequence[Choice]) -> tuple[TrialCost, ...]:
        return price_plan(self.model, self.space.plan(choices, ""), self.cost_models)


def _reached(reach: ResourceRange, limits: Limits) -> dict[str, Any]:
    key = (reach.profile, reach.resource)
    told = {"profile": reach.profile, "resource": reach.resource, "limit": limits.further[key]}
    return {**told, "lowest": reach.lowest, "dense": reach.dense}


def _unreachable(range_: ReachableRange, name: str, limit_ms: float) -> SearchFailed:
    return SearchFailed(
        "limit_unreachable",
        f"no plan reaches {limit_ms:.6g} ms on profile {name!r}: this space goes from "
        f"{at_least(range_.lowest_ms)} ms ({range_.lowest_ms / range_.dense_ms:.1%} of dense) to "
        f"{range_.dense_ms:.4g} ms (dense); raise the limit, or allow more patterns or sparsities",
        {
            "profile": range_.profile,
            "limit_ms": limit_ms,
            "lowest_ms": range_.lowest_ms,
            "dense_ms": range_.dense_ms,
        },
    )

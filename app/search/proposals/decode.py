"""From coordinates to a plan: the solver's, checked at its exact price.

The solver's prices add up and are nearly right; every plan is priced again by the network function, on the shapes it
really leaves, and what does not hold its target or a limit is passed over. Under limits on several devices, on energy
or on bytes, the plan of least error is found by an exact integer program (see `app.search.space.between`).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from math import inf
from typing import Any

from app.search.proposals.coordinates import pruners_of, pruning_of, trusted
from app.search.proposals.terrain import Floats, Proposal, Terrain
from app.search.pruners import serves
from app.search.space.between import within
from app.search.space.candidates import candidates, weighted
from app.search.space.coupling import coupled
from app.search.space.limits import Limits
from app.search.space.options import Choice
from app.search.space.price import price_plan
from app.search.trial import TrialCost

_STRIDE = 16


def decode(coordinates: Mapping[str, Any], terrain: Terrain, taken: Collection[str] = ()) -> Proposal:
    """The plan of least trusted error whose exact price keeps its target and every limit.

    If the target cannot be had along with the limits, the limits are what counts.

    Args:
        coordinates: values for `distributions`.
        terrain: the search.
        taken: digests of plans that were tried already; another is preferred.
    """
    device = coordinates.get("device", terrain.spec.profiles[0])
    target_ms = terrain.target_ms(device, coordinates["band"])
    errors = trusted(coordinates, terrain)
    for limits in (terrain.limits.tightened(device, target_ms), terrain.limits):
        offers = (
            _coupled(device, errors, limits, coordinates, terrain),
            _on_front(device, errors, limits, coordinates, terrain),
            _between(errors, limits, coordinates, terrain),
        )
        for offer in offers:
            if found := _best(offer, taken):
                return found
        cheapest = priced(terrain.prices.reachable[device].choices, coordinates, terrain)
        if limits.hold(cheapest.costs):
            return cheapest
    return priced(terrain.haven, coordinates, terrain)


def priced(choices: Sequence[Choice], coordinates: Mapping[str, Any], terrain: Terrain) -> Proposal:
    """The plan of these choices with the pruner of these coordinates, or the first that can make its zeros."""
    unpruned = terrain.prices.space.plan(choices, "")
    wanted = [(terrain.prices.model.layer(name), pattern.kind) for name, pattern in unpruned.patterns.items()]
    asked_first = sorted(pruners_of(terrain.spec), key=lambda pruner: pruner != coordinates.get("pruner"))
    able = next(pruner for pruner in asked_first if serves(pruner, wanted))
    pruner, settings = pruning_of({**coordinates, "pruner": able}, terrain.spec)
    plan = replace(unpruned, pruner=pruner, settings=settings, post=terrain.spec.post_steps)
    return Proposal(plan=plan, costs=price_plan(terrain.prices.model, plan, terrain.prices.cost_models))


def _best(offer: Iterator[Proposal], taken: Collection[str]) -> Proposal | None:
    """The first that is not taken; else the first."""
    first = next(offer, None)
    if first is None or first.plan.digest not in taken:
        return first
    return next((proposal for proposal in offer if proposal.plan.digest not in taken), first)


def _coupled(
    device: str, errors: list[Floats], limits: Limits, coordinates: Mapping[str, Any], terrain: Terrain
) -> Iterator[Proposal]:
    """Where channels can go, the plans that keep a device's limit at exact prices; none if the first breaks another's.

    Prices of units hang together there, and the additive table may be far off.
    """
    if not coupled(terrain.prices.space):
        return
    limit_ms = limits.by_profile_ms.get(device, inf)
    offered = terrain.prices.couplings.offers(device, errors, limit_ms)
    for number, choices in enumerate(offered):
        proposal = priced(choices, coordinates, terrain)
        if limits.hold(proposal.costs):
            yield proposal
        elif not number:
            return


def _on_front(
    device: str, errors: list[Floats], limits: Limits, coordinates: Mapping[str, Any], terrain: Terrain
) -> Iterator[Proposal]:
    """Of a device's front, the plans that keep its limit, from the least error up; none if the first breaks another's.

    The front knows nothing of limits elsewhere. Where its best plan keeps them all the same, nothing is better.
    """
    found = candidates(terrain.prices.space, weighted(terrain.prices.table, {device: 1.0}), errors)
    solutions = found.solve()
    own = Limits({device: limits.by_profile_ms[device]} if device in limits.by_profile_ms else {})

    @cache
    def price(row: int) -> Proposal:
        return priced(found.picked(solutions.choices[row]), coordinates, terrain)

    first = _first_holding(len(solutions), lambda row: own.hold(price(row).costs))
    holding = (price(row) for row in range(first, -1, -1) if own.hold(price(row).costs))
    best = next(holding, None)
    if best is None or not limits.hold(best.costs):
        return
    yield best
    yield from (proposal for proposal in holding if limits.hold(proposal.costs))


def _first_holding(count: int, holds: Callable[[int], bool]) -> int:
    """The dearest row that holds, found in strides: exact prices nearly follow the additive order, not quite."""
    above = count
    for row in range(count - 1, -1, -_STRIDE):
        if holds(row):
            return next(r for r in range(above - 1, row - 1, -1) if r == row or holds(r))
        above = row
    return min(above, _STRIDE) - 1


def _between(
    errors: list[Floats], limits: Limits, coordinates: Mapping[str, Any], terrain: Terrain
) -> Iterator[Proposal]:
    """Plans that keep limits on several devices and resources, from the least error up."""
    if not limits.by_key:
        return

    def exact(choices: Sequence[Choice]) -> tuple[TrialCost, ...]:
        return priced(choices, coordinates, terrain).costs

    for choices in within(terrain.prices.additive(limits), errors, exact):
        yield priced(choices, coordinates, terrain)

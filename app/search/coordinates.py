"""The few coordinates a sampler moves in, and the plan that the solver makes of them.

Black-box search over one variable a layer loses to a uniform sweep; so the sampler proposes *how to solve* instead:
which device's latency to aim at and how much of it, how much to trust each pattern's and each depth's errors, and the
pruner with its temperature. The solver turns that into a plan, and the plan is priced by the network function, on the
shapes it really leaves, before it counts: what does not hold its target or a limit is passed over.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import exp
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from app.search.candidates import candidates, weighted
from app.search.limits import Limits, Prices
from app.search.options import Choice, Option
from app.search.price import price_plan
from app.search.pruners import SOLVERS, PrunerName
from app.search.spec import SearchSpec
from app.search.trial import TrialCost
from pruning.plan import PruningPlan

Floats = npt.NDArray[np.float64]
_BIAS = 1.5  # errors may be trusted up to e^1.5 = 4.5 times more or less
_TAU = (0.005, 0.5)  # of t²; channels, whose norms lie close together, want the lower end
_DEPTHS = ("early", "middle", "late")
_STRIDE = 16
_STRENGTHS = tuple(2.0**power for power in range(-6, 7))  # of all latency elsewhere, in all errors
MILDEST_SHARE = 0.9  # of dense latency: closer to it there is nothing to find
STRONGEST_SHARE = 0.1  # below it networks guess; a limit may still ask for less


@dataclass(frozen=True, kw_only=True)
class Terrain:
    """Everything fixed that coordinates are read against. `haven` are choices that keep every limit."""

    spec: SearchSpec
    prices: Prices
    errors: tuple[Floats, ...]  # per unit, per option
    limits: Limits
    haven: tuple[Choice, ...]

    def band_ms(self, device: str) -> tuple[float, float]:
        """Between which latencies a search looks on a device: from strongest to mildest pruning, within its limits."""
        range_ = self.prices.reachable[device]
        tightest_ms = self.limits.by_profile_ms.get(device, range_.dense_ms)
        strongest_ms = max(range_.lowest_ms, min(STRONGEST_SHARE * range_.dense_ms, tightest_ms))
        return strongest_ms, max(strongest_ms, min(MILDEST_SHARE * range_.dense_ms, tightest_ms))


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A plan with its exact prices."""

    plan: PruningPlan
    costs: tuple[TrialCost, ...]


def distributions(spec: SearchSpec) -> dict[str, BaseDistribution]:
    """What a sampler may vary, by name; the same set in every trial of a search."""
    found: dict[str, BaseDistribution] = {"band": FloatDistribution(0.0, 1.0)}
    if len(spec.profiles) > 1:
        found["device"] = CategoricalDistribution(spec.profiles)
    for kind in spec.patterns[1:]:
        found[f"bias_{kind}"] = FloatDistribution(-_BIAS, _BIAS)
    for depth in _DEPTHS[1:]:
        found[f"bias_{depth}"] = FloatDistribution(-_BIAS, _BIAS)
    pruners = pruners_of(spec)
    if len(pruners) > 1:
        found["pruner"] = CategoricalDistribution(pruners)
    if "pdp" in pruners and spec.recovery.steps:
        found["tau"] = FloatDistribution(*_TAU, log=True)
    return found


def pruners_of(spec: SearchSpec) -> tuple[PrunerName, ...]:
    """The pruners that can differ: without recovery one is enough of those that learn in it; solvers need none."""
    if spec.recovery.steps:
        return spec.pruners
    learning = [pruner for pruner in spec.pruners if pruner not in SOLVERS]
    return tuple(pruner for pruner in spec.pruners if pruner in SOLVERS or pruner == learning[0])


def neutral(spec: SearchSpec, *, device: str, band: float, pruner: str) -> dict[str, Any]:
    """Coordinates that trust the error table as it is."""
    fixed = {"device": device, "band": band, "pruner": pruner, "tau": 0.1}
    return {name: fixed.get(name, 0.0) for name in distributions(spec)}


def decode(coordinates: Mapping[str, Any], terrain: Terrain, taken: Collection[str] = ()) -> Proposal:
    """The plan of least biased error whose exact price keeps its target and every limit.

    Looked for on the front of the device it is aimed at. That front knows nothing of limits on other devices; for them
    there are more fronts, on which latency elsewhere counts as error, ever more of it, and the best of all is taken.
    If the target cannot be had along with the limits, the limits are what counts.

    Args:
        coordinates: values for `distributions(spec)`.
        terrain: the search.
        taken: digests of plans that were tried already; another is preferred.
    """
    device = coordinates.get("device", terrain.spec.profiles[0])
    strongest_ms, mildest_ms = terrain.band_ms(device)
    target_ms = strongest_ms + coordinates["band"] * (mildest_ms - strongest_ms)
    errors = _biased(coordinates, terrain)
    for limits in (terrain.limits.tightened(device, target_ms), terrain.limits):
        offers = [_on_front(device, each, limits, coordinates, terrain) for each in _penalised(errors, device, terrain)]
        if found := [plan for offer in offers if (plan := _best(offer, taken))]:
            return min(found, key=lambda p: (p.plan.digest in taken, _error(p.plan, errors, terrain)))
        cheapest = _priced(terrain.prices.reachable[device].choices, coordinates, terrain)
        if limits.hold(cheapest.costs):
            return cheapest
    return _priced(terrain.haven, coordinates, terrain)


def _best(offer: Iterator[Proposal], taken: Collection[str]) -> Proposal | None:
    """The first that is not taken; else the first."""
    first = next(offer, None)
    if first is None or first.plan.digest not in taken:
        return first
    return next((proposal for proposal in offer if proposal.plan.digest not in taken), first)


def _error(plan: PruningPlan, errors: list[Floats], terrain: Terrain) -> float:
    """The sum of the errors of the options that a plan is made of."""
    total = 0.0
    for unit, error in zip(terrain.prices.space.units, errors, strict=True):
        chosen = {layer: pattern for layer in unit.layers if (pattern := plan.patterns.get(layer))}
        for option, value in zip(unit.options, error.tolist(), strict=True):
            whole = dict(option.patterns) == chosen
            part = len(option.patterns) == 1 and option.patterns.items() <= chosen.items()
            total += value if whole or part else 0.0
    return total


def _penalised(errors: list[Floats], device: str, terrain: Terrain) -> Iterator[list[Floats]]:
    """The errors; then, where other devices are limited, more and more of the latency there added to them."""
    yield errors
    weights = {name: weight for name, weight in terrain.limits.weights().items() if name != device}
    if not weights:
        return
    elsewhere = weighted(terrain.prices.table, weights)
    span = sum(float(np.ptp(cost)) for cost in elsewhere)
    scale = sum(float(np.ptp(error)) for error in errors) / span if span else 0.0
    for strength in _STRENGTHS:
        yield [error + strength * scale * cost for error, cost in zip(errors, elsewhere, strict=True)]


def _on_front(
    device: str, errors: list[Floats], limits: Limits, coordinates: Mapping[str, Any], terrain: Terrain
) -> Iterator[Proposal]:
    """Of a device's front, the plans that keep these limits, from the least error up."""
    costs = weighted(terrain.prices.table, {device: 1.0})
    found = candidates(terrain.prices.space, costs, errors)
    solutions = found.solve()

    @cache
    def price(row: int) -> Proposal:
        return _priced(found.picked(solutions.choices[row]), coordinates, terrain)

    first = _first_holding(len(solutions), lambda row: limits.hold(price(row).costs))
    yield from (price(row) for row in range(first, -1, -1) if limits.hold(price(row).costs))


def _first_holding(count: int, holds: Callable[[int], bool]) -> int:
    """The dearest row that holds, found in strides: exact prices nearly follow the additive order, not quite."""
    above = count
    for row in range(count - 1, -1, -_STRIDE):
        if holds(row):
            return next(r for r in range(above - 1, row - 1, -1) if r == row or holds(r))
        above = row
    return min(above, _STRIDE) - 1


def _priced(choices: Sequence[Choice], coordinates: Mapping[str, Any], terrain: Terrain) -> Proposal:
    pruner = coordinates.get("pruner", pruners_of(terrain.spec)[0])
    shown = float(f"{coordinates.get('tau', 0.0):.3g}")  # three digits say all there is to say of a temperature
    settings = {"tau": shown} if pruner == "pdp" and "tau" in coordinates else {}
    plan = replace(terrain.prices.space.plan(choices, pruner, settings), post=terrain.spec.post_steps)
    return Proposal(plan=plan, costs=price_plan(terrain.prices.model, plan, terrain.prices.cost_models))


def _biased(coordinates: Mapping[str, Any], terrain: Terrain) -> list[Floats]:
    layers = terrain.prices.model.layers
    place = {layer.name: index / len(layers) for index, layer in enumerate(layers)}
    biased = []
    for unit, errors in zip(terrain.prices.space.units, terrain.errors, strict=True):
        depth = _DEPTHS[min(int(3 * place[unit.layers[0]]), 2)]
        trust = coordinates.get(f"bias_{depth}", 0.0)
        factors = [exp(trust + coordinates.get(f"bias_{_kind(option)}", 0.0)) for option in unit.options]
        biased.append(errors * np.array(factors))
    return biased


def _kind(option: Option) -> str:
    return next((pattern.kind for pattern in option.patterns.values()), "dense")

"""The few coordinates a sampler moves in, and the plan that the solver makes of them.

Black-box search over one variable a layer loses to a uniform sweep; so the sampler proposes *how to solve* instead:
which device's latency to aim at and how much of it, how much to trust each pattern's and each depth's errors, and the
pruner with its temperature. The solver turns that into a plan, and the plan is priced by the network function, on the
shapes it really leaves, before it counts: what does not hold its target or a limit is passed over.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from app.search.candidates import candidates
from app.search.options import Option, Space
from app.search.price import CostTable, ReachableRange, price_plan
from app.search.spec import SearchSpec
from app.search.trial import TrialCost
from costmodels.base import CostModel
from pruning.layers import ModelSpec
from pruning.plan import PruningPlan

Floats = npt.NDArray[np.float64]
_BIAS = 1.5  # errors may be trusted up to e^1.5 = 4.5 times more or less
_DEPTHS = ("early", "middle", "late")
_LIMIT_SLACK = 1e-9
_STRIDE = 16
MILDEST_SHARE = 0.9  # of dense latency: closer to it there is nothing to find
STRONGEST_SHARE = 0.1  # below it networks guess; a limit may still ask for less


@dataclass(frozen=True, kw_only=True)
class Terrain:
    """Everything fixed that coordinates are read against."""

    spec: SearchSpec
    model: ModelSpec
    space: Space
    table: CostTable
    errors: tuple[Floats, ...]  # per unit, per option
    reachable: Mapping[str, ReachableRange]
    cost_models: Mapping[str, CostModel]

    def limits_ms(self) -> dict[str, list[float]]:
        """The latency limits of the search by profile."""
        found: dict[str, list[float]] = {}
        for limit in self.spec.limits:
            dense_ms = self.reachable[limit.profile].dense_ms
            latency_ms = limit.latency_ms if limit.latency_ms is not None else (limit.share or 1.0) * dense_ms
            found.setdefault(limit.profile, []).append(latency_ms)
        return found

    def band_ms(self, device: str) -> tuple[float, float]:
        """Between which latencies a search looks on a device: from strongest to mildest pruning, within its limits."""
        range_ = self.reachable[device]
        tightest_ms = min(self.limits_ms().get(device, [range_.dense_ms]))
        strongest_ms = max(range_.lowest_ms, min(STRONGEST_SHARE * range_.dense_ms, tightest_ms))
        return strongest_ms, max(strongest_ms, min(MILDEST_SHARE * range_.dense_ms, tightest_ms))

    def holds(self, costs: Sequence[TrialCost]) -> bool:
        """Whether these prices keep every limit."""
        limits = self.limits_ms()
        return all(c.latency_ms <= ms * (1 + _LIMIT_SLACK) for c in costs for ms in limits.get(c.profile, ()))


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A plan with its exact prices."""

    plan: PruningPlan
    costs: tuple[TrialCost, ...]
    feasible: bool


def distributions(spec: SearchSpec) -> dict[str, BaseDistribution]:
    """What a sampler may vary, by name; the same set in every trial of a search."""
    found: dict[str, BaseDistribution] = {"band": FloatDistribution(0.0, 1.0)}
    if len(spec.profiles) > 1:
        found["device"] = CategoricalDistribution(spec.profiles)
    for kind in spec.patterns[1:]:
        found[f"bias_{kind}"] = FloatDistribution(-_BIAS, _BIAS)
    for depth in _DEPTHS[1:]:
        found[f"bias_{depth}"] = FloatDistribution(-_BIAS, _BIAS)
    if len(spec.pruners) > 1:
        found["pruner"] = CategoricalDistribution(spec.pruners)
    if "pdp" in spec.pruners:
        found["tau"] = FloatDistribution(0.02, 0.5, log=True)
    return found


def neutral(spec: SearchSpec, *, device: str, band: float, pruner: str) -> dict[str, Any]:
    """Coordinates that trust the error table as it is."""
    fixed = {"device": device, "band": band, "pruner": pruner, "tau": 0.1}
    return {name: fixed.get(name, 0.0) for name in distributions(spec)}


def decode(coordinates: Mapping[str, Any], terrain: Terrain, taken: Collection[str] = ()) -> Proposal:
    """The plan of least biased error whose exact price keeps its target and every limit.

    Args:
        coordinates: values for `distributions(spec)`.
        terrain: the search.
        taken: digests of plans that were tried already; another is preferred.
    """
    device = coordinates.get("device", terrain.spec.profiles[0])
    strongest_ms, mildest_ms = terrain.band_ms(device)
    target_ms = strongest_ms + coordinates["band"] * (mildest_ms - strongest_ms)
    # the front of one device may never keep the limit of another; then the front of that other one is gone along
    others = [profile for profile in terrain.limits_ms() if profile != device]
    infeasible = []
    for axis, most_ms in ((device, target_ms), *((other, inf) for other in others)):
        if proposal := _on_front(axis, most_ms, coordinates, terrain, taken):
            return proposal
        cheapest = _priced(terrain.reachable[axis].choices, coordinates, terrain)
        if cheapest.feasible:
            return cheapest
        infeasible.append(cheapest)
    return infeasible[0]


def _on_front(
    device: str, most_ms: float, coordinates: Mapping[str, Any], terrain: Terrain, taken: Collection[str]
) -> Proposal | None:
    """Of a device's front, the least error that takes at most `most_ms` there and keeps every limit; a new one."""
    column = terrain.spec.profiles.index(device)
    found = candidates(terrain.space, terrain.table, column, _biased(coordinates, terrain))
    solutions = found.solve()

    def price(row: int) -> Proposal:
        return _priced(found.picked(solutions.choices[row]), coordinates, terrain)

    def holds(proposal: Proposal) -> bool:
        here_ms = next(c.latency_ms for c in proposal.costs if c.profile == device)
        return proposal.feasible and here_ms <= most_ms * (1 + _LIMIT_SLACK)

    fallback: Proposal | None = None
    for row in range(_first_holding(len(solutions), lambda row: holds(price(row))), -1, -1):
        proposal = price(row)
        if not holds(proposal):
            continue
        if proposal.plan.digest not in taken:
            return proposal
        fallback = fallback or proposal
    return fallback


def _first_holding(count: int, holds: Callable[[int], bool]) -> int:
    """The dearest row that holds, found in strides: exact prices nearly follow the additive order, not quite."""
    above = count
    for row in range(count - 1, -1, -_STRIDE):
        if holds(row):
            return next(r for r in range(above - 1, row - 1, -1) if r == row or holds(r))
        above = row
    return min(above, _STRIDE) - 1


def _priced(choices: Sequence[Any], coordinates: Mapping[str, Any], terrain: Terrain) -> Proposal:
    pruner = coordinates.get("pruner", terrain.spec.pruners[0])
    settings = {"tau": round(coordinates["tau"], 4)} if pruner == "pdp" else {}
    plan = terrain.space.plan(choices, pruner, settings)
    costs = price_plan(terrain.model, plan, terrain.cost_models)
    return Proposal(plan=plan, costs=costs, feasible=terrain.holds(costs))


def _biased(coordinates: Mapping[str, Any], terrain: Terrain) -> list[Floats]:
    place = {layer.name: index / len(terrain.model.layers) for index, layer in enumerate(terrain.model.layers)}
    biased = []
    for unit, errors in zip(terrain.space.units, terrain.errors, strict=True):
        depth = _DEPTHS[min(int(3 * place[unit.layers[0]]), 2)]
        trust = coordinates.get(f"bias_{depth}", 0.0)
        factors = [exp(trust + coordinates.get(f"bias_{_kind(option)}", 0.0)) for option in unit.options]
        biased.append(errors * np.array(factors))
    return biased


def _kind(option: Option) -> str:
    return next((pattern.kind for pattern in option.patterns.values()), "dense")

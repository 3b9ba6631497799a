"""Raw coordinates: one choice a unit, the way of every black box. A baseline, and a mode for those who want it.

A sampler may draw plans here that break a limit. They are told to it as such, through Optuna's own constraints, and are
never trained. No trial is given: what a solver or a uniform sweep knows is kept out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from app.search.proposals.coordinates import pruning_distributions
from app.search.proposals.decode import priced
from app.search.proposals.terrain import Proposal, Terrain
from app.search.space.options import Choice, Space, Unit
from app.search.spec import SearchSpec
from app.search.trial import TrialCost


def raw_distributions(spec: SearchSpec, space: Space) -> dict[str, BaseDistribution]:
    """A coordinate for every unit that has a choice, by its name; of a group one for each layer, and one for all."""
    found: dict[str, BaseDistribution] = {}
    for unit in space.units:
        for name, indices in _parts(unit).items():
            if len(indices) > 1:
                found[name] = CategoricalDistribution(indices)
    return found | pruning_distributions(spec)


def raw_decode(coordinates: Mapping[str, Any], terrain: Terrain) -> Proposal:
    """The plan that the coordinates say, whatever it costs."""
    return priced([_choice(unit, coordinates) for unit in terrain.prices.space.units], coordinates, terrain)


def violations(costs: Sequence[TrialCost], terrain: Terrain) -> dict[str, float]:
    """By limit, by how much of it a price is above it; below zero where it keeps it.

    A limit on latency is named by its profile, others by profile and resource.
    """
    excesses = terrain.limits.excesses(costs).items()
    return {p if resource == "latency_ms" else f"{p} {resource}": excess for (p, resource), excess in excesses}


def _choice(unit: Unit, coordinates: Mapping[str, Any]) -> Choice:
    """A joint option, if one is named, stands alone; else the layers' own options together."""
    chosen = [coordinates.get(name, 0) for name in _parts(unit)]
    if joint := [index for index in chosen if index in unit.joint]:
        return int(joint[0])
    own = tuple(int(index) for index in chosen if index)
    return own[0] if len(own) == 1 else own or 0


def _parts(unit: Unit) -> dict[str, tuple[int, ...]]:
    if not unit.combinable:
        return {f"option_{unit.name}": tuple(range(len(unit.options)))}
    parts = {f"option_{layer}": unit.own(layer) for layer in unit.layers}
    return {f"option_{unit.name} channels": (0, *unit.joint), **parts}

"""What earlier searches of the same model and data know of this one's space: plans to begin with, losses to learn."""

from dataclasses import dataclass

from app.search.front import pareto_front
from app.search.proposals.refit import one_hot
from app.search.proposals.rungs import losses_of
from app.search.proposals.terrain import Proposal, Terrain
from app.search.pruners import PrunerName
from app.search.space.price import price_plan
from app.search.table.memory import Memory
from app.search.trial import Trial

_SHARE = 1 / 3  # of the first trials that plans of earlier searches may take


@dataclass(frozen=True, kw_only=True)
class Recalled:
    """Proposals to begin with, at this search's prices, and trials whose losses count."""

    proposals: tuple[Proposal, ...] = ()
    trials: tuple[Trial, ...] = ()


def recall(memory: Memory, terrain: Terrain) -> Recalled:
    """Of the remembered trials those that this search could have asked for; of their plans the front on each device."""
    if terrain.spec.coordinates == "raw":
        return Recalled()
    usable = [trial for trial in memory.trials if _fits(trial, terrain)]
    proposals: dict[str, Proposal] = {}
    for trial in usable:
        found = Proposal(
            plan=trial.plan, costs=price_plan(terrain.prices.model, trial.plan, terrain.prices.cost_models)
        )
        if terrain.limits.hold(found.costs):
            proposals.setdefault(trial.plan.digest, found)
    chosen = _fronts(proposals, usable, terrain)
    return Recalled(proposals=tuple(_thinned(chosen, int(_SHARE * terrain.spec.trials))), trials=tuple(usable))


def _fits(trial: Trial, terrain: Terrain) -> bool:
    legal: tuple[PrunerName, ...] = terrain.spec.pruners
    alike = trial.plan.pruner in legal and trial.plan.post == terrain.spec.post_steps
    known = bool(trial.plan.patterns) and one_hot(trial.plan, terrain.prices.space) is not None
    return alike and known and bool(losses_of(trial))


def _fronts(proposals: dict[str, Proposal], usable: list[Trial], terrain: Terrain) -> list[Proposal]:
    """What nothing beats on some device, from the fastest on the first device up."""
    loss = {t.plan.digest: found[max(found)] for t in usable if (found := losses_of(t))}
    digests = list(proposals)
    kept: set[str] = set()
    for device in range(len(terrain.spec.profiles)):
        points = [(proposals[digest].costs[device].latency_ms, loss[digest]) for digest in digests]
        kept |= {digests[index] for index in pareto_front(points)}
    return sorted((proposals[digest] for digest in digests if digest in kept), key=lambda p: p.costs[0].latency_ms)


def _thinned(found: list[Proposal], most: int) -> list[Proposal]:
    """At most so many, evenly."""
    if len(found) <= most:
        return found
    return [found[round(step * (len(found) - 1) / max(most - 1, 1))] for step in range(most)]

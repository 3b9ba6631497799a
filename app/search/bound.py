"""The bound: what nothing in a space is predicted to beat, and how far from it the best trials are.

Where prices add up it is the additive solver's, else that of coupled widths (`coupled_bound`). Both hold at exact
prices: no plan's error, as the table adds it up, is below. These errors are divergences from the dense model before
recovery, one option at a time, in nats. What a trial's loss is after recovery follows from its table error by the curve
that fits the search's own trials (`refit.healing`); the same curve at the bound is the predicted best loss. Errors do
not quite add up, so a trial may lie below it: a gap says what the table still promises, no more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from app.search.front import pareto_front
from app.search.proposals.refit import Healing, healing, observe
from app.search.proposals.rungs import as_whole
from app.search.proposals.terrain import Floats, Terrain
from app.search.space.candidates import candidates, weighted
from app.search.space.coupling import coupled
from app.search.trial import Trial

GAPS = "gaps"  # in the bound's document, beside the profiles
_POINTS = 400
_LIMITS = 16  # that are solved for where prices hang together; lines bound in between
_SLACK = 1e-9  # of a latency: sums of floats in another order


def bound(terrain: Terrain) -> dict[str, Any]:
    """By profile steps `[{"latency_ms", "error"}]`: from each latency to the next nothing is below its error."""
    return {profile: _steps(terrain, profile) for profile in terrain.spec.profiles}


def _steps(terrain: Terrain, profile: str) -> list[dict[str, float]]:
    prices = terrain.prices
    at: Callable[[Floats], Floats]
    if coupled(prices.space) or prices.cost_models[profile].groups:
        together = prices.couplings.front(profile, terrain.errors, limits=_LIMITS).bound
        at, lowest_ms, highest_ms = together.at, together.lowest, together.highest
    else:
        fixed_ms = float(prices.table.overhead_ms[prices.table.profiles.index(profile)])
        added = candidates(prices.space, weighted(prices.table, {profile: 1.0}), terrain.errors).bound(fixed_ms)
        at, lowest_ms, highest_ms = added.at, float(added.costs[0]), float(added.costs[-1])
    latencies_ms = np.linspace(lowest_ms, highest_ms, _POINTS)
    errors = at(np.append(latencies_ms[1:] * (1 + _SLACK), highest_ms * (1 + _SLACK)))
    return [{"latency_ms": float(x), "error": float(y)} for x, y in zip(latencies_ms, errors, strict=True)]


def gaps(
    document: Mapping[str, Sequence[Mapping[str, float]]], trials: Sequence[Trial], terrain: Terrain
) -> dict[str, Any]:
    """By profile, for every trial on the front by validation loss: its loss, the predicted least loss, and the gap.

    The predicted least loss at a latency is what the trials' losses say of the bound's error there; with too few of
    them, the loss of the dense model with the same recovery plus that error, unhealed.
    """
    dense = [t for t in trials if t.role != "searched" and t.state == "complete" and t.value("loss", "validation")]
    if not dense:
        return {profile: [] for profile in document}
    loss = dense[-1].value("loss", "validation")
    assert loss is not None
    predict = _healed(trials, terrain) or Healing(base=loss.value, slope=1.0, power=1.0)
    return {profile: list(_gaps(profile, points, trials, predict)) for profile, points in document.items()}


def _healed(trials: Sequence[Trial], terrain: Terrain) -> Healing | None:
    """What the complete trials say of loss after recovery; None if there are too few."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.role == "searched"]
    observed = observe(as_whole(complete, terrain.spec.recovery.steps), terrain.prices.space)
    return healing(observed.chosen @ np.concatenate(terrain.errors), observed.losses) if observed else None


def _gaps(
    profile: str, points: Sequence[Mapping[str, float]], trials: Sequence[Trial], predict: Healing
) -> Iterable[dict[str, float]]:
    found = [
        (trial.cost(profile).latency_ms, measured.value, trial.number)
        for trial in trials
        if trial.role == "searched" and trial.state == "complete" and (measured := trial.value("loss", "validation"))
    ]
    for index in pareto_front([point[:2] for point in found]):
        latency_ms, loss, number = found[index]
        within = [point["error"] for point in points if point["latency_ms"] <= latency_ms * (1 + 1e-9)]
        if within:
            predicted = predict.loss(min(within))
            yield {
                "number": number,
                "latency_ms": latency_ms,
                "loss": loss,
                "predicted_loss": predicted,
                "gap": loss - predicted,
            }

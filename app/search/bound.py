"""The bound: what nothing in a space is predicted to beat, and how far from it the best trials are.

The bound is the exact front of the additive table: its errors are sums of one-at-a-time divergences from the dense
model before recovery, in nats. Trials recover and errors do not quite add up, so a trial may lie below what is
predicted; a gap says what the table still promises, no more.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from app.search.candidates import candidates, weighted
from app.search.front import pareto_front
from app.search.terrain import Terrain
from app.search.trial import Trial

GAPS = "gaps"  # in the bound's document, beside the profiles
_POINTS = 200


def bound(terrain: Terrain) -> dict[str, Any]:
    """By profile the additive front: `[{"latency_ms", "error"}]`, from the fastest to the least error."""
    table, document = terrain.prices.table, {}
    for device, profile in enumerate(terrain.spec.profiles):
        front = candidates(terrain.prices.space, weighted(table, {profile: 1.0}), terrain.errors).solve()
        rows = np.unique(np.linspace(0, len(front) - 1, min(len(front), _POINTS)).round().astype(int))
        overhead_ms = float(table.overhead_ms[device])
        document[profile] = [
            {"latency_ms": overhead_ms + float(front.costs[row]), "error": float(front.errors[row])} for row in rows
        ]
    return document


def gaps(document: Mapping[str, Sequence[Mapping[str, float]]], trials: Sequence[Trial]) -> dict[str, Any]:
    """By profile, for every trial on the front by validation loss: its loss, the predicted least loss, and the gap.

    The predicted least loss at a latency is the dense model's with the same recovery, plus the bound's error there.
    """
    dense = [t for t in trials if t.role != "searched" and t.state == "complete" and t.value("loss", "validation")]
    if not dense:
        return {profile: [] for profile in document}
    loss = dense[-1].value("loss", "validation")
    assert loss is not None
    return {profile: list(_gaps(profile, points, trials, loss.value)) for profile, points in document.items()}


def _gaps(
    profile: str, points: Sequence[Mapping[str, float]], trials: Sequence[Trial], dense_loss: float
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
            predicted = dense_loss + min(within)
            yield {
                "number": number,
                "latency_ms": latency_ms,
                "loss": loss,
                "predicted_loss": predicted,
                "gap": loss - predicted,
            }

"""The bound and the gap to it."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from app.search.bound import bound, gaps
from app.search.proposals.refit import Healing, one_hot
from tests.app.search.fakes import FakeExecutor, follow, problem, terrain
from tests.app.search.proposals.test_decode import SMALL, TINY


def test_no_plan_of_a_small_space_is_below_the_bound() -> None:
    points = bound(TINY)["cpu"]
    for choices in product(*(range(len(unit.options)) for unit in TINY.prices.space.units)):
        latency_ms = TINY.prices.couplings.exact_ms("cpu", choices)
        error = sum(float(e[i]) for e, i in zip(TINY.errors, choices, strict=True))
        within = [point["error"] for point in points if point["latency_ms"] <= latency_ms * (1 + 1e-9)]
        assert min(within) <= error + 1e-9
    assert points[-1]["error"] == 0.0
    assert SMALL.spec.profiles == ("cpu",)


def test_a_gap_is_a_trials_loss_less_what_is_predicted_at_its_latency() -> None:
    asked = problem(trials=4)  # too few to say what recovery heals
    trials = follow(asked, FakeExecutor()).history()
    document = bound(terrain(asked))
    found = gaps(document, trials, terrain(asked))
    assert set(found) == {"cpu", "eyeriss"}
    dense = trials[1].value("loss", "validation")
    assert dense
    for profile, rows in found.items():
        assert [row["latency_ms"] for row in rows] == sorted(row["latency_ms"] for row in rows)
        for row in rows:
            trial = trials[int(row["number"])]
            loss = trial.value("loss", "validation")
            within = [p["error"] for p in document[profile] if p["latency_ms"] <= row["latency_ms"] * (1 + 1e-9)]
            assert loss and row["gap"] == pytest.approx(loss.value - dense.value - min(within))
    assert gaps(document, [], terrain(asked)) == {"cpu": [], "eyeriss": []}


def test_what_recovery_heals_is_learned_from_the_trials() -> None:
    """Losses that follow a curve of the table error exactly: a plan that the table thinks best has no gap."""
    asked = problem(trials=12)
    here = terrain(asked)
    flat = np.concatenate(here.errors)
    curve = Healing(base=0.3, slope=0.2, power=0.5)
    healed = []
    for trial in follow(asked, FakeExecutor()).history():
        row = one_hot(trial.plan, here.prices.space)
        assert row is not None
        new = tuple(
            replace(m, value=curve.loss(float(row @ flat))) if m.metric == "loss" else m for m in trial.measurements
        )
        healed.append(trial.evolve(measurements=new))
    document = bound(here)
    found = gaps(document, healed, here)
    for profile, rows in found.items():
        assert rows
        for row in rows:
            within = [p["error"] for p in document[profile] if p["latency_ms"] <= row["latency_ms"] * (1 + 1e-9)]
            assert row["predicted_loss"] == pytest.approx(curve.loss(min(within)))
            assert row["gap"] >= -1e-9

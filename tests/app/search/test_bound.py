"""The bound and the gap to it."""

from itertools import product

import pytest

from app.search.bound import bound, gaps
from tests.app.search.fakes import FakeExecutor, follow, problem, terrain
from tests.app.search.test_decode import SMALL, TINY


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
    asked = problem(trials=8)
    trials = follow(asked, FakeExecutor()).history()
    document = bound(terrain(asked))
    found = gaps(document, trials)
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
    assert gaps(document, []) == {"cpu": [], "eyeriss": []}

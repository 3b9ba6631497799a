"""A trial survives JSON whole, and finds its own numbers."""

import json

import pytest

from app.search.trial import Failure, Measurement, Trial, TrialCost
from pruning.patterns import NM, Channel, Unstructured
from pruning.plan import PruningPlan


def measured(value: float, fidelity: int, **where: str) -> Measurement:
    return Measurement(
        metric="accuracy", value=value, standard_error=0.01, samples=9, seed=1, fidelity=fidelity, **where
    )  # type: ignore[arg-type]


TRIAL = Trial(
    number=3,
    role="searched",
    state="failed",
    plan=PruningPlan(
        pruner="pdp",
        settings={"tau": 0.1},
        patterns={"a": Unstructured(0.5), "b": NM(keep=2, group=4), "c": Channel(0.25)},
    ),
    seed=7,
    recovery_steps=100,
    costs=(
        TrialCost(profile="p", latency_ms=1.5, sources={"measured": 1.0}, derivations={"exact": 1.0}),
        TrialCost(profile="chip", latency_ms=1.5, sources={}, derivations={}, energy_mj=2.0, weight_bytes=512.0),
    ),
    measurements=(
        measured(0.5, 10, split="test"),
        measured(0.7, 100, split="test"),
        measured(0.9, 10, split="validation"),
    ),
    coordinates={"band": 0.5, "pruner": "pdp"},
    failure=Failure(code="lost", reason="gone", details={"attempt": 3}),
)


@pytest.mark.parametrize("trial", [TRIAL, TRIAL.evolve(failure=None, measurements=())])
def test_json_is_its_inverse(trial: Trial) -> None:
    again = Trial.from_json(json.loads(json.dumps(trial.to_json())))
    assert again == trial
    assert again.plan.digest == trial.plan.digest


def test_the_measurement_of_the_highest_fidelity_counts() -> None:
    found = TRIAL.value("accuracy", "test")
    assert found is not None
    assert found.value == 0.7
    assert TRIAL.value("loss", "test") is None
    assert TRIAL.value("accuracy", None) is None


def test_costs_go_by_profile() -> None:
    assert TRIAL.cost("p").latency_ms == 1.5
    with pytest.raises(KeyError):
        TRIAL.cost("q")

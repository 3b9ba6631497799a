"""Calibration: what is fitted from how many points, versions, and intervals that cover."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.calibrate import Calibrated, Calibration, CalibrationPoint, calibrate
from costmodels.errors import ProfileError
from costmodels.network import network_cost
from pruning.patterns import Unstructured
from pruning.plan import PruningPlan
from tests.costmodels.models import chain
from tests.costmodels.test_network import ByHand


def point(predicted_ms: float, measured_ms: float, label: str = "") -> CalibrationPoint:
    return CalibrationPoint(predicted_ms=predicted_ms, measured_ms=measured_ms, label=label)


def test_no_point_changes_nothing() -> None:
    found = calibrate("p", [])
    assert (found.method, found.latency_ms(3.0), found.half_width, found.warning) == ("none", 3.0, None, "")


def test_one_point_scales_what_is_too_long_and_lifts_what_is_too_short() -> None:
    shorter = calibrate("p", [point(10.0, 8.0)])
    assert (shorter.method, shorter.factor, shorter.latency_ms(5.0)) == ("scale", 0.8, 4.0)
    longer = calibrate("p", [point(10.0, 12.0)])
    assert (longer.method, longer.offset_ms, longer.latency_ms(5.0)) == ("offset", 2.0, 7.0)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.2, 3.0), st.floats(0.0, 50.0), st.lists(st.floats(1.0, 100.0), min_size=2, max_size=12, unique=True))
def test_a_straight_line_is_found_exactly(factor: float, offset_ms: float, spots: list[float]) -> None:
    if max(spots) < 1.05 * min(spots):
        return
    found = calibrate("p", [point(x, factor * x + offset_ms) for x in spots])
    for x in spots:
        assert found.latency_ms(x) == pytest.approx(factor * x + offset_ms, rel=1e-6)
    assert found.residual_max == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"factor": float("nan")},
        {"factor": 0},
        {"factor": True},
        {"offset_ms": -1.0},
        {"offset_ms": 10**400},
        {"half_width": float("inf")},
        {"points": 3},
        {"points": [{"predicted_ms": 1.0}]},
        {"points": [{"predicted_ms": 1.0, "measured_ms": 10**400}]},
        {"stranger": 1},
    ],
)
def test_broken_documents_are_refused(change: dict[str, object]) -> None:
    document = calibrate("p", [point(10.0, 8.0)]).to_json()
    assert Calibration.from_json(document).factor == 0.8
    with pytest.raises(ProfileError):
        Calibration.from_json({**document, **change})


def test_nonsense_lines_are_not_fitted() -> None:
    falling = calibrate("p", [point(10.0, 12.0), point(11.0, 9.0)])
    assert (falling.method, falling.offset_ms) == ("scale", 0.0)
    steep = calibrate("p", [point(10.0, 5.0), point(11.0, 9.0)])  # a negative overhead
    assert (steep.method, steep.offset_ms) == ("scale", 0.0)


def test_refining_keeps_what_was_known_and_names_its_parent() -> None:
    first = calibrate("p", [point(10.0, 12.0, "dense")])
    second = calibrate("p", [point(4.0, 6.5, "trial 7")], parent=first)
    assert [p.label for p in second.points] == ["dense", "trial 7"]
    assert (second.parent, second.method) == (first.digest, "affine")
    assert second.digest != first.digest
    with pytest.raises(ProfileError, match="another profile"):
        calibrate("q", [], parent=first)


def test_it_travels_as_json() -> None:
    found = calibrate("p", [point(10.0, 12.0, "dense"), point(4.0, 6.5)])
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf"), True, "3"])
def test_a_point_must_be_a_time(bad: object) -> None:
    with pytest.raises(ProfileError, match="measured_ms"):
        CalibrationPoint(predicted_ms=1.0, measured_ms=bad)  # type: ignore[arg-type]


def test_strange_factors_are_said() -> None:
    assert "clock" in calibrate("p", [point(10.0, 3.0)]).warning
    assert calibrate("p", [point(10.0, 9.0)]).warning == ""


def test_an_interval_needs_nine_points_held_out() -> None:
    points = [point(float(n), n * (1.0 + 0.01 * (n % 3))) for n in range(1, 20)]
    assert calibrate("p", points[:17]).half_width is None
    assert calibrate("p", points[:18]).half_width is not None


@pytest.mark.parametrize("noise", ["normal", "heavy"])
def test_intervals_cover_what_they_say(noise: str) -> None:
    """300 calibrations of 40 points each, one fresh point against each interval: nine in ten are inside."""
    generator, inside = random.Random(5), 0

    def measured(predicted_ms: float) -> float:
        error = (
            generator.gauss(0, 0.05)
            if noise == "normal"
            else 0.05 * generator.expovariate(1) * generator.choice((-1, 1))
        )
        return (0.9 * predicted_ms + 3.0) * max(0.2, 1.0 + error)

    for _ in range(300):
        spots = [generator.uniform(5.0, 60.0) for _ in range(41)]
        points = [point(x, measured(x), str(n)) for n, x in enumerate(spots)]
        found = calibrate("p", points[:40])
        assert found.half_width is not None
        fresh = points[40]
        inside += abs(fresh.measured_ms / found.latency_ms(fresh.predicted_ms) - 1.0) <= found.half_width
    assert 0.86 <= inside / 300 <= 0.97


def test_a_calibrated_model_prices_networks_as_the_calibration_says() -> None:
    model, plan = chain((16, 24)), PruningPlan(pruner="", patterns={"c1": Unstructured(0.5)})
    inner = ByHand()
    predicted_ms = network_cost(model, plan, inner).latency_ms
    found = calibrate("p", [point(10.0, 10.5), point(20.0, 18.5), point(30.0, 26.5)])
    priced = network_cost(model, plan, Calibrated(inner, found))
    assert priced.latency_ms == pytest.approx(found.latency_ms(predicted_ms))
    assert priced.layers["c1"].derivation == "scaled"
    assert sum(priced.sources.values()) == pytest.approx(1.0)
    covered = Calibration(profile="p", half_width=0.1)
    interval = network_cost(model, plan, Calibrated(inner, covered))
    assert (interval.low_ms, interval.high_ms) == (pytest.approx(0.9 * predicted_ms), pytest.approx(1.1 * predicted_ms))

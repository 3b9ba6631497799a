"""Tables that were measured by others, kept beside the checkout: program, hull, bound and integer program agree."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.search.solve import solve
from app.search.solve.bound import bound_of
from app.search.solve.resources import solve_resources

TABLES = Path(__file__).parents[4] / ".." / "shared" / "latency_tables"
Tables = tuple[list[np.ndarray], list[np.ndarray]]

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not TABLES.is_dir(), reason="no latency tables beside the checkout"),
]


def sparseml() -> Tables:
    """ResNet-50 on a CPU engine: latency in seconds and loss of four sparsities; layers that are not timed left out."""
    layers = [layer["options"] for layer in json.loads((TABLES / "sparseml_resnet50.json").read_text())["layers"]]
    timed = [[o for o in options if o["latency"] is not None] for options in layers]
    kept = [options for options in timed if options]
    return (
        [np.array([o["latency"] for o in options]) for options in kept],
        [np.array([o["loss_increase"] for o in options]) for options in kept],
    )


def hawq() -> Tables:
    """ResNet-50 on a T4 in 4 and 8 bits: latency in ms, and a Hessian's error; too many digits to be exact."""
    layers = [layer["options"] for layer in json.loads((TABLES / "hawq_resnet50_t4.json").read_text())["layers"]]
    return (
        [np.array([o["latency"] for o in options]) for options in layers],
        [np.array([o["loss_proxy"] for o in options]) for options in layers],
    )


def haq() -> Tables:
    """MobileNetV2 on a bit-serial simulator, 64 pairs of bits; errors fall fourfold a bit, as rounding's do."""
    layers = [layer["options"] for layer in json.loads((TABLES / "haq_mobilenetv2_bismo.json").read_text())["layers"]]
    costs = [np.array([float(o["latency"]) for o in options]) for options in layers]
    return costs, [np.array([4.0 ** -o["w_bits"] + 4.0 ** -o["a_bits"] for o in options]) for options in layers]


@pytest.mark.parametrize("table", [sparseml, hawq, haq])
def test_program_hull_bound_and_integer_program_agree(table: Callable[[], Tables]) -> None:
    costs, errors = table()
    front, hull, bound = solve(costs, errors), solve(costs, errors, buckets=0), bound_of(costs, errors)
    for row in range(len(hull)):  # supported points are optimal: nothing is better at their cost
        index = front.best_within(hull.costs[row] * (1 + 1e-12))
        assert index is not None
        assert front.errors[index] == pytest.approx(hull.errors[row], rel=1e-9, abs=1e-12)
        assert bound.at(hull.costs[row]) == pytest.approx(hull.errors[row], rel=1e-6, abs=1e-9)
    for share in (0.05, 0.3, 0.7):
        limit = float(front.costs[0] + share * (front.costs[-1] - front.costs[0]))
        proven = solve_resources([cost[:, None] for cost in costs], errors, [limit])
        found = float(front.errors[front.best_within(limit)])
        assert proven.status == "optimal"
        assert bound.at(limit) <= proven.error * (1 + 1e-6)
        assert proven.error <= found * (1 + 1e-6)
        assert found <= proven.error * (1.0 + (2e-6 if front.exact else 0.02))


def test_latencies_in_tenths_of_a_microsecond_are_solved_exactly() -> None:
    assert solve(*sparseml()).exact

"""Energy: the sum by hand, gating, and None as soon as a figure is unknown."""

import pytest

from costmodels.accelerator import load
from costmodels.analytical import analytical
from costmodels.energy import Energy, energy_mj
from costmodels.errors import AcceleratorError
from costmodels.figures import Figure
from pruning.patterns import NM, Dense, Unstructured
from tests.costmodels.models import conv


def figure(value: float) -> Figure:
    return Figure(value=value, status="assumed", source="test")


ENERGY = Energy(node="45 nm", mac_pj={"int8": figure(0.3)}, byte_pj={"dram": figure(160), "sram": figure(2)})


def test_the_sum_in_millijoules() -> None:
    assert energy_mj(ENERGY, "int8", 1e9, {"dram": 1e6, "sram": 1e6}) == pytest.approx(0.3 + 0.16 + 0.002)


def test_what_is_not_known_is_none_and_not_a_small_sum() -> None:
    assert energy_mj(None, "int8", 1e9, {}) is None
    assert energy_mj(ENERGY, "float32", 1e9, {"dram": 1e6}) is None
    assert energy_mj(ENERGY, "int8", 1e9, {"flash": 1.0}) is None
    with pytest.raises(AcceleratorError, match="node"):
        Energy(node=" ", mac_pj=ENERGY.mac_pj)


def test_gating_saves_energy_and_no_time() -> None:
    layer = conv("a", 64, 64, 16)
    device = analytical(load("eyeriss-v1-like"), 1, "int16")
    dense, half = (device.cost(layer, layer, pattern) for pattern in (Dense(), Unstructured(0.5)))
    assert half.latency_ms == dense.latency_ms
    assert half.derivation == "modelled"
    assert dense.energy_mj is not None and half.energy_mj is not None
    assert dense.energy_mj - half.energy_mj == pytest.approx(layer.macs / 2 * 10.6e-9)


def test_skipping_saves_both() -> None:
    layer = conv("a", 64, 64, 16)
    device = analytical(load("systolic-32-sparse"), 1, "int8")
    dense, half = (device.cost(layer, layer, pattern) for pattern in (Dense(), NM(2, 4)))
    assert half.latency_ms < dense.latency_ms
    saved_bytes = layer.weights * (1 - 0.625)
    assert dense.energy_mj is not None and half.energy_mj is not None
    assert dense.energy_mj - half.energy_mj == pytest.approx((layer.macs / 2 * 0.3 + saved_bytes * 160) * 1e-9)

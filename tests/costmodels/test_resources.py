"""Max of resources: NVDLA's sheet where it states its numbers, Vela's kind of estimate, coded weights that pay."""

import csv
from math import ceil
from pathlib import Path

import pytest

from costmodels.accelerator import load
from costmodels.analytical import Analytical
from costmodels.errors import AcceleratorError
from costmodels.figures import Figure
from costmodels.resources import Memory, memory_s, winograd_gain
from costmodels.roofline import Traffic
from costmodels.zeros import dense_left
from pruning.layers import LayerSpec
from pruning.patterns import NM, Dense, Unstructured
from tests.costmodels.models import conv, linear

VALIDATION = Path(__file__).parents[2] / ".." / "shared" / "validation"
NVDLA = Analytical(load("nvdla-large"), 1, "int8")
GAIN = NVDLA.accelerator.winograd


def figure(value: float) -> Figure:
    return Figure(value=value, status="assumed", source="test")


def sheet_layer(row: dict[str, str]) -> LayerSpec:
    sides, stride = (int(row["filter_h"]), int(row["filter_w"])), (int(row["stride_h"]), int(row["stride_w"]))
    size = (int(row["out_h"]), int(row["out_w"]))
    return LayerSpec(
        name=row["layer"],
        parameter="w",
        op="conv2d",
        in_channels=int(row["in_channels"]),
        out_channels=int(row["out_channels"]),
        kernel=sides,
        stride=stride,
        output_size=size,
        positions=size[0] * size[1],
    )


def arithmetic_cycles(layer: LayerSpec) -> float:
    """At 1 GHz; rounded where seconds are not exact in binary."""
    return round(NVDLA.busy_s(layer, dense_left(layer, "int8"))["compute"] * 1e9, 6)


# NVDLA's sheet, ResNet-50: channels in and out, side, kernel, MAC cycles.
SHEET = [(64, 256, 56, 1, 25088), (64, 64, 56, 3, 25088), (256, 256, 14, 3, 25088), (2048, 512, 7, 1, 25088)]


@pytest.mark.parametrize("row", SHEET)
def test_arithmetic_cycles_of_the_sheet(row: tuple[int, int, int, int, int]) -> None:
    inputs, outputs, size, kernel, cycles = row
    assert arithmetic_cycles(conv("a", inputs, outputs, size, kernel)) == cycles


@pytest.mark.shared
@pytest.mark.skipif(not VALIDATION.exists(), reason="the shared validation files are not beside this checkout")
def test_every_row_of_the_sheet_that_states_its_numbers() -> None:
    with (VALIDATION / "nvdla_layers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    memory = {"dram": Memory(bytes_per_s=figure(10.24e9))}
    for row in rows:
        moved = Traffic(weights=float(row["dram_traffic_kb"]) * 1024, inputs=0, outputs=0)
        assert ceil(memory_s(memory, moved)["dram"] * 1e9 - 1e-6) == int(row["dram_cycles"])
    stated = [row for row in rows if row["max_cycles"]]
    names = ("dram_cycles", "sram_read_cycles", "sram_write_cycles", "mac_cycles")
    assert len(stated) == 88
    assert all(max(float(row[name]) for name in names) == float(row["max_cycles"]) for row in stated)
    exact = []
    for row in stated:
        layer = sheet_layer(row)
        assert (winograd_gain(layer, GAIN) > 1) == (row["winograd"] == "True")
        cycles = arithmetic_cycles(layer)
        assert cycles >= float(row["mac_cycles"])  # the sheet does not round channels up everywhere
        exact.append(cycles == float(row["mac_cycles"]))
    whole = [int(row["in_channels"]) % 64 == 0 and int(row["out_channels"]) % 32 == 0 for row in stated]
    assert (sum(whole), sum(exact)) == (57, 58)
    assert all(match for match, tiles in zip(exact, whole, strict=True) if tiles)
    assert sum(match for match, row in zip(exact, stated, strict=True) if row["network"] == "ResNet50") == 36


def test_winograd_is_for_square_kernels_of_three_at_stride_one() -> None:
    assert winograd_gain(conv("a", 8, 8), GAIN) == 2.25
    assert winograd_gain(conv("a", 8, 8, kernel=1), GAIN) == 1.0
    assert winograd_gain(conv("a", 8, 8, groups=8), GAIN) == 1.0
    assert winograd_gain(conv("a", 8, 8), None) == 1.0


def test_a_memory_carries_what_it_says() -> None:
    moved = Traffic(weights=1e6, inputs=2e6, outputs=4e6)
    memories = {
        "flash": Memory(bytes_per_s=figure(1e9), carries=("weights",)),
        "sram": Memory(bytes_per_s=figure(2e9), carries=("inputs", "outputs")),
    }
    assert memory_s(memories, moved) == {"flash": pytest.approx(1e-3), "sram": pytest.approx(3e-3)}
    with pytest.raises(AcceleratorError, match="carries"):
        Memory(bytes_per_s=figure(1e9), carries=())


def test_coded_weights_pay_where_the_flash_is_the_bottleneck() -> None:
    device = Analytical(load("arm-ethos-u55-128"), 1, "int8")
    fc, map_layer = linear("a", 640, 128), conv("b", 16, 16, 32)
    busy = device.busy_s(fc, dense_left(fc, "int8"))
    assert max(busy, key=lambda name: busy[name]) == "off_chip_flash"
    dense, half = (device.cost(fc, fc, pattern) for pattern in (Dense(), Unstructured(0.5)))
    assert half.latency_ms / dense.latency_ms == pytest.approx(0.625)
    same = device.cost(map_layer, map_layer, Unstructured(0.5))
    assert same.latency_ms == device.cost(map_layer, map_layer, Dense()).latency_ms
    assert (same.weight_bytes, same.derivation) == (map_layer.weights * 0.625, "modelled")


def test_an_ethos_u85_halves_wide_kernels_and_nothing_else() -> None:
    device = Analytical(load("arm-ethos-u85-256"), 1, "int8")
    square, pointwise = conv("a", 64, 64, 8), conv("b", 64, 64, 8, kernel=1)
    ms = {pattern: device.cost(square, square, pattern).latency_ms for pattern in (Dense(), NM(2, 4), NM(1, 4))}
    assert ms[NM(2, 4)] == ms[NM(1, 4)] == pytest.approx(0.53 * ms[Dense()])
    assert (
        device.cost(pointwise, pointwise, NM(2, 4)).latency_ms == device.cost(pointwise, pointwise, Dense()).latency_ms
    )

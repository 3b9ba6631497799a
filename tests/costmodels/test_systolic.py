"""Systolic arrays: SCALE-Sim's cycles, on rows of its own and on all simulated layers; folds by hand."""

import csv
from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.accelerator import load
from costmodels.analytical import analytical
from costmodels.errors import AcceleratorError
from costmodels.figures import Figure
from costmodels.systolic import Array, Dataflow, compute_s, layer_cycles, product_cycles
from pruning.patterns import NM, Dense
from tests.costmodels.models import conv, linear

VALIDATION = Path(__file__).parents[2] / ".." / "shared" / "validation"


def array(rows: int, cols: int, dataflow: Dataflow = "ws") -> Array:
    side = Figure(value=1, status="assumed", source="test")
    return Array(rows=replace(side, value=rows), cols=replace(side, value=cols), dataflow=dataflow)


# Simulated by SCALE-Sim 3.0.0: rows, cols, dataflow, positions, products, filters, share, total less stall cycles.
SIMULATED: list[tuple[int, int, Dataflow, int, int, int, float, int]] = [
    (32, 32, "ws", 55 * 55, 11 * 11 * 3, 96, 1.0, 112283),
    (32, 32, "ws", 55 * 55, 11 * 11 * 3, 96, 0.25, 28070),
    (32, 32, "ws", 23 * 23, 5 * 5 * 96, 256, 1.0, 373799),
    (128, 128, "ws", 110 * 110, 7 * 7 * 3, 64, 0.5, 12481),
    (32, 32, "os", 110 * 110, 7 * 7 * 3, 64, 1.0, 158421),
]


@pytest.mark.parametrize("row", SIMULATED)
def test_simulated_layers(row: tuple[int, int, Dataflow, int, int, int, float, int]) -> None:
    rows, cols, dataflow, positions, products, filters, share, cycles = row
    assert product_cycles(array(rows, cols, dataflow), positions, ceil(products * share), filters) == cycles


@pytest.mark.shared
@pytest.mark.skipif(not VALIDATION.exists(), reason="the shared validation files are not beside this checkout")
def test_every_simulated_layer_of_scale_sim() -> None:
    with (VALIDATION / "scalesim_v3_layers.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 135
    for row in found:
        sides = [
            ceil((int(row[f"ifmap_{axis}"]) - int(row[f"filter_{axis}"]) + int(row["stride"])) / int(row["stride"]))
            for axis in ("h", "w")
        ]
        keep, group = (int(part) for part in row["sparsity_keepN_ofM"].replace("dense", "1:1").split(":"))
        products = int(row["filter_h"]) * int(row["filter_w"]) * int(row["channels"])
        made = array(int(row["array_rows"]), int(row["array_cols"]), "os" if row["dataflow"] == "os" else "ws")
        cycles = product_cycles(made, sides[0] * sides[1], ceil(products * keep / group), int(row["num_filters"]))
        assert cycles == int(row["total_cycles"]) - int(row["stall_cycles"]), row


def test_one_fold_by_hand() -> None:
    assert product_cycles(array(4, 4), positions=10, products=4, filters=4) == 10 + 8 + 4 - 2 - 1
    assert product_cycles(array(4, 4, "os"), positions=4, products=10, filters=4) == 10 + 4 + 4 - 2 - 1
    assert product_cycles(array(4, 4), positions=10, products=5, filters=5) == 4 * 20 - 1


def test_few_inputs_gain_nothing_from_two_of_four_and_many_gain_whole_folds() -> None:
    wide = array(128, 128)
    pointwise, square = conv("a", 64, 128, 28, kernel=1), conv("b", 64, 128, 28)
    assert layer_cycles(wide, pointwise, 1, 0.5) == layer_cycles(wide, pointwise, 1)
    folds = (layer_cycles(wide, square, 1, share) + 1 for share in (1.0, 0.5))
    assert next(folds) / next(folds) == pytest.approx(5 / 3)


def test_groups_run_one_after_another() -> None:
    depthwise = conv("a", 32, 32, 8, groups=32)
    assert layer_cycles(array(8, 8), depthwise, 1) == 32 * layer_cycles(array(8, 8), conv("b", 1, 1, 8), 1)


@settings(max_examples=80)
@given(
    st.builds(array, st.integers(1, 40), st.integers(1, 40), st.sampled_from(["ws", "os"])),
    st.integers(1, 99),
    st.integers(1, 99),
    st.floats(0.05, 1),
)
def test_smaller_is_never_slower_and_no_array_beats_its_cells(
    machine: Array, inputs: int, outputs: int, share: float
) -> None:
    layer = conv("a", inputs, outputs, 5)
    full = layer_cycles(machine, layer, 2)
    assert (full + 1) * machine.cells >= 2 * layer.macs  # the closed form counts from nought
    assert layer_cycles(machine, layer, 2, share) <= full
    assert layer_cycles(machine, layer.resized(max(1, inputs - 1), outputs), 2) <= full
    assert layer_cycles(machine, layer.resized(inputs, max(1, outputs - 1)), 2) <= full


def test_the_clock_follows_from_the_peak() -> None:
    layer = linear("a", 256, 256)
    cycles = layer_cycles(array(16, 16), layer, 1)
    assert compute_s(array(16, 16), 256e9, layer, 1, 1.0) == pytest.approx(cycles / 1e9)


def test_a_catalogue_array_squeezes_by_its_listed_pattern() -> None:
    layer = conv("a", 64, 64, 14)
    device = analytical(load("systolic-32-sparse"), 1, "int8")
    wanted = layer_cycles(array(32, 32), layer, 1, 0.5) / 1e6
    assert device.cost(layer, layer, NM(2, 4)).latency_ms == pytest.approx(wanted)
    assert device.cost(layer, layer, NM(3, 4)).latency_ms == device.cost(layer, layer, Dense()).latency_ms


def test_other_arrays_are_refused() -> None:
    with pytest.raises(AcceleratorError, match="dataflow"):
        replace(array(4, 4), dataflow="is")  # type: ignore[arg-type]
    with pytest.raises(AcceleratorError, match="whole"):
        array(4, 4.5)  # type: ignore[arg-type]

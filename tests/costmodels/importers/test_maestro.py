"""MAESTRO: columns with blanks and one twice, one network on one design."""

from dataclasses import replace

import pytest

from costmodels.importers import import_profile
from tests.costmodels.importers.excerpts import problems_of, shared_file, source
from tests.costmodels.importers.simulated import CLOCKED, MAESTRO


def test_cycles_energy_and_counts() -> None:
    profile = import_profile([source(MAESTRO)], CLOCKED)
    assert [(row.layer, row.latency_ms, row.energy_mj) for row in profile.rows[:2]] == [
        ("CONV1", pytest.approx(0.004), pytest.approx(2.5)),
        ("CONV2", pytest.approx(0.001), pytest.approx(0.5)),
    ]
    assert (profile.layers[0].weights, profile.layers[0].macs) == (9408, 110592)
    assert [layer.name for layer in profile.layers][2:] == ["CONV2 #2", "CONV2_Residual"]
    assert [layer.role for layer in profile.layers] == ["layer", "layer", "layer", "other"]
    assert (profile.name, profile.source, profile.original_unit) == ("Tiny", "simulated", "cycles")


def test_multiply_adds_are_those_of_one_sample() -> None:
    macs = [layer.macs for layer in import_profile([source(MAESTRO)], replace(CLOCKED, batch=4)).layers]
    assert macs == [27648, 16384, 16384, 256]
    assert import_profile([source(MAESTRO)], replace(CLOCKED, batch=5)).layers[0].macs is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",4000,", ",0,", "line 2: 'runtime (cycles)' is '0', not a whole number from 1"),
        (",4000,", ",-4,", "line 2: 'runtime (cycles)' is '-4'"),
        (",2.5e+06,", ",inf,", "'activity count-based energy (nj)' is 'inf', not a number from 0"),
        (",9408,", ",nan,", "'num total weight pixels' is 'nan'"),
        (",1024,1, 2, 2\n", "", "line 5 has 6 of 10 cells: the file is cut off"),
        (",CONV1,256", ",CONV1,128", "'numpes' has 2 values (128, 256): keep the lines of one of them"),
        ("Tiny,CONV1", "Other,CONV1", "'neural network name' has 2 values"),
        ("Tiny,CONV1", "Tiny,", "'layer number' is '', not a name"),
        (" Num MACs", " MACs", "has no column 'num macs'"),
        (" Runtime (Cycles)", " Runtime", "nobody recognises"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, said: str) -> None:
    assert said in problems_of(MAESTRO.replace(old, new, 1), given=CLOCKED)


def test_clock_and_rows_are_needed() -> None:
    assert "state the clock in hertz" in problems_of(MAESTRO, given=replace(CLOCKED, clock_hz=None))
    assert "there are no rows" in problems_of(MAESTRO.split("\n")[0], given=CLOCKED)
    assert "batch is not in the file" in problems_of(MAESTRO, given=replace(CLOCKED, batch=None))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "rows", "others", "cycles", "macs"),
    [
        ("Resnet50_rs_pe256.csv", 66, 16, 31_141_120, 3_075_876_096),
        ("MobileNetV2_kcp_ws_pe256.csv", 56, 5, 4_747_785, 443_407_792),
    ],
)
def test_real_results(name: str, rows: int, others: int, cycles: int, macs: int) -> None:
    profile = import_profile([shared_file("profiles", "maestro", name)], CLOCKED)
    assert len(profile.rows) == rows
    assert sum(layer.role == "other" for layer in profile.layers) == others
    assert sum(row.latency_ms for row in profile.rows) == pytest.approx(cycles * 1e-6, rel=1e-12)
    assert sum(layer.macs or 0 for layer in profile.layers) == macs

"""Vela: cycles that add up, a clock from the summary, operators left to the CPU."""

import pytest

from costmodels.errors import ProfileError
from costmodels.importers import Given, import_profile
from tests.costmodels.importers.excerpts import problems_of, shared_file, source
from tests.costmodels.importers.simulated import CLOCKED, VELA, VELA_OLD, VELA_SUMMARY

PRECISION = Given(precision="int8")


def test_the_summary_gives_clock_device_and_batch() -> None:
    profile = import_profile([source(VELA), source(VELA_SUMMARY)], PRECISION)
    assert (profile.device, profile.batch, profile.name) == ("Ethos_U55_128", 1, "tiny")
    assert (profile.clock_hz, profile.original_unit, profile.source) == (500e6, "cycles", "vendor")
    assert [row.latency_ms for row in profile.rows] == pytest.approx([0.022, 0.003, 0.015])
    assert profile.network_latency_ms == pytest.approx(0.04)


def test_layers_are_what_multiplies_weights() -> None:
    conv, relu, pool, linear = import_profile([source(VELA)], CLOCKED).layers
    assert (conv.role, conv.op, conv.macs, conv.members[-1]) == ("layer", "conv2d", 442368, "net/conv1/Conv2D")
    assert (relu.role, relu.name) == ("other", f"{conv.name} #2")
    assert (pool.role, linear.op, linear.macs) == ("other", "linear", 640)


def test_columns_of_version_3() -> None:
    profile = import_profile([source(VELA_OLD)], CLOCKED)
    assert [row.latency_ms for row in profile.rows] == pytest.approx([0.011, 0.0075])
    assert [layer.op for layer in profile.layers] == ["conv2d", "linear"]


def test_operators_on_the_cpu_make_the_total_incomplete() -> None:
    on_cpu = VELA.replace("FullyConnected,NPU,976,1.7,7500", "FullyConnected,CPU,976,1.7,0").replace(",640,", ",0,")
    summary = VELA_SUMMARY.replace("4e-05", "2.5e-05")
    profile = import_profile([source(on_cpu), source(summary)], PRECISION)
    assert profile.network_latency_ms is None
    assert "1 operators run on the CPU, where Vela estimates nothing (net/fc/MatMul)" in profile.note
    assert profile.layers[-1].role == "layer"
    assert "net/fc/MatMul" not in {row.layer for row in profile.rows}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (",11000,", ",many,", "line 2: 'op cycles' is 'many', not a number from 0"),
        (",11000,", ",-5,", "line 2: 'op cycles' is '-5'"),
        (",11000,", ",nan,", "line 2: 'op cycles' is 'nan'"),
        (",442368,", ",1e99,", "line 2: 'mac count' is '1e99', not a whole number"),
        (",0.6,net/fc/MatMul\n", "", "line 5 has 14 of 16 cells: the file is cut off"),
        (",7500,37.5", ",7000,37.5", "adds up to 19500 cycles and the summary says 20000"),
        ("Op Cycles", "Cycles", "nobody recognises"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, said: str) -> None:
    assert said in problems_of(VELA.replace(old, new, 1), VELA_SUMMARY, given=PRECISION)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("500000000.0", "0", "would need a clock in hertz above 0"),
        ("500000000.0", "fast", "'core_clock' is 'fast'"),
        (",1,4e-05", ",0,4e-05", "'batch_size' is '0', not a whole number from 1"),
        ("default,tiny", "a,b\ndefault,tiny", "line 2 has 2 of 9 cells"),
    ],
)
def test_a_bad_summary_is_refused(old: str, new: str, said: str) -> None:
    assert said in problems_of(VELA, VELA_SUMMARY.replace(old, new, 1), given=PRECISION)


def test_without_a_clock_there_are_no_milliseconds() -> None:
    given = Given(device="board", batch=1, precision="int8")
    assert "state the clock in hertz (clock_hz)" in problems_of(VELA, given=given)
    assert "the per-layer CSV is missing" in problems_of(VELA_SUMMARY, given=given)
    for clock_hz in (0.0, -1.0, float("nan"), float("inf"), 1e16):
        with pytest.raises(ProfileError, match="clock_hz"):
            Given(device="board", batch=1, precision="int8", clock_hz=clock_hz)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("run", "rows", "cycles", "clock_hz"),
    [
        ("pretrainedResnet_quant.ethos-u55-128", 42, 201_747, 500e6),
        ("pretrainedResnet_quant.ethos-u65-256", 42, 104_235, 1e9),
        ("pretrainedResnet_quant.ethos-u85-256", 26, 99_010, 1e9),
        ("kws_ref_model.ethos-u55-128", 39, 89_900, 500e6),
        ("kws_ref_model.ethos-u65-256", 39, 55_411, 1e9),
        ("kws_ref_model.ethos-u85-256", 26, 54_311, 1e9),
    ],
)
def test_real_runs_add_up_to_their_summary(run: str, rows: int, cycles: int, clock_hz: float) -> None:
    files = [shared_file("profiles", "vela", f"{run}_{part}.csv") for part in ("per-layer", "summary")]
    profile = import_profile(files, PRECISION)
    assert len(profile.rows) == rows
    assert sum(row.latency_ms for row in profile.rows) == pytest.approx(cycles / clock_hz * 1e3, rel=1e-12)
    assert profile.network_latency_ms == pytest.approx(cycles / clock_hz * 1e3, rel=1e-12)
    assert sum(layer.role == "layer" for layer in profile.layers) == 10


@pytest.mark.shared
@pytest.mark.parametrize(("variant", "cycles"), [("nm2_4", 68_130), ("unstr50", 99_924), ("unstr90", 92_801)])
def test_real_runs_of_pruned_models(variant: str, cycles: int) -> None:
    name = f"pretrainedResnet_quant__{variant}.ethos-u85-256_per-layer.csv"
    profile = import_profile([shared_file("profiles", "vela", name)], CLOCKED)
    assert sum(row.latency_ms for row in profile.rows) == pytest.approx(cycles * 1e-6, rel=1e-12)


@pytest.mark.shared
def test_the_console_cuts_names_and_is_not_read() -> None:
    log = shared_file("profiles", "vela", "pretrainedResnet_quant.ethos-u55-128.stdout.txt")
    assert "nobody recognises" in problems_of(log.data, given=CLOCKED)

"""SCALE-Sim: reports without names meet their topology, sparse runs their dense one."""

import csv
from collections import defaultdict
from dataclasses import replace
from itertools import permutations

import pytest

from costmodels.importers import import_profile
from tests.costmodels.importers.excerpts import problems_of, shared_file, source
from tests.costmodels.importers.simulated import (
    CLOCKED,
    CONV_CYCLES,
    CONV_FILTERS,
    CONV_MACS,
    CONV_TOPOLOGY,
    GEMM_TOPOLOGY,
    SPARSE_CYCLES,
    SPARSE_TOPOLOGY,
    compute_report,
    sparse_report,
)

DENSE = compute_report(CONV_CYCLES, CONV_MACS)
SPARSE_RUN = compute_report(SPARSE_CYCLES, CONV_MACS)
SPARSE = sparse_report(SPARSE_CYCLES, CONV_FILTERS, ((1, 4), (4, 4), (1, 4), (1, 4)))
UNKNOWN = replace(CLOCKED, device=None, batch=None)
CONFIG = "[general]\nrun_name = x\n[architecture_presets]\nArrayHeight : 8\nArrayWidth :  8\nDataflow : ws\n"


def test_the_topology_names_and_shapes_the_layers() -> None:
    profile = import_profile([source(DENSE), source(CONV_TOPOLOGY)], CLOCKED)
    assert [(row.layer, row.latency_ms) for row in profile.rows] == [
        (name, pytest.approx(cycles * 1e-6))
        for name, cycles in zip(("conv1", "dw2", "pw3", "fc"), CONV_CYCLES, strict=True)
    ]
    conv, depthwise, pointwise, linear = profile.layers
    assert (conv.op, conv.in_channels, conv.out_channels, conv.kernel, conv.stride) == ("conv2d", 3, 8, (3, 3), (2, 2))
    assert (conv.input_size, conv.output_size, conv.macs) == ((16, 16), (8, 8), CONV_MACS[0])
    assert (depthwise.in_channels, depthwise.out_channels, depthwise.groups, depthwise.weights) == (8, 8, 8, 72)
    assert (pointwise.groups, pointwise.macs) == (1, CONV_MACS[2])
    assert (linear.op, linear.in_channels, linear.out_channels, linear.positions) == ("linear", 16, 10, 1)
    assert (profile.source, profile.original_unit, profile.clock_hz) == ("simulated", "cycles", 1e9)
    assert "without padding" in profile.note


def test_version_2_has_no_prefetch_column() -> None:
    old = compute_report(CONV_CYCLES, CONV_MACS, version=2)
    topology = source(CONV_TOPOLOGY)
    assert (
        import_profile([source(old), topology], CLOCKED).rows == import_profile([source(DENSE), topology], CLOCKED).rows
    )


def test_matrix_products_are_linears_over_positions() -> None:
    macs = (196 * 192 * 64, 196 * 64 * 64)
    files = [source(compute_report((50_000, 20_000), macs)), source(GEMM_TOPOLOGY)]
    layer = import_profile(files, replace(CLOCKED, batch=4)).layers[0]
    assert (layer.op, layer.in_channels, layer.out_channels, layer.positions) == ("linear", 64, 192, 49)
    assert layer.macs == macs[0] // 4
    assert import_profile(files, replace(CLOCKED, batch=5)).layers[0].positions is None
    assert "batch is not in the file" in problems_of(files[0].data, files[1].data, given=replace(CLOCKED, batch=None))


def test_dense_and_sparse_run_in_one_profile_in_any_order() -> None:
    texts = (DENSE, CONV_TOPOLOGY, SPARSE_RUN, SPARSE_TOPOLOGY, SPARSE)
    profiles = [import_profile(list(map(source, order)), CLOCKED) for order in permutations(texts)]
    assert len({profile.rows for profile in profiles}) == 1
    sparse = {row.layer: row for row in profiles[0].rows if row.pattern != "dense"}
    assert {name: row.pattern for name, row in sparse.items()} == dict.fromkeys(("conv1", "pw3", "fc"), "keep1of4")
    assert sparse["pw3"].latency_ms == pytest.approx(120e-6)
    assert sparse["pw3"].weight_bytes == 4 * 32 * (1 + 2 / 32)  # words of 32 bits, two bits for each that is left
    assert profiles[0].rows[2].weight_bytes == 4 * 128


def test_a_configuration_names_the_array() -> None:
    files = [DENSE, CONV_TOPOLOGY, CONFIG]
    profile = import_profile(list(map(source, files)), UNKNOWN)
    assert (profile.device, profile.batch) == ("systolic array 8 x 8, ws", 1)
    assert "2 arrays beside it" in problems_of(*files, CONFIG.replace("ws", "os"), given=CLOCKED)
    assert "does not say ArrayHeight" in problems_of(*files[:2], CONFIG.replace(":  8", ":"), given=CLOCKED)


def test_a_sparse_run_alone_is_refused_with_the_way_out() -> None:
    alone = problems_of(SPARSE_RUN, SPARSE_TOPOLOGY, SPARSE, given=CLOCKED)
    assert "sparse run alone" in alone and "topology of the dense run on the same array" in alone
    assert "give SPARSE_REPORT.csv of the sparse run" in problems_of(SPARSE_RUN, SPARSE_TOPOLOGY, given=CLOCKED)
    assert "is of 0 of the compute reports" in problems_of(DENSE, CONV_TOPOLOGY, SPARSE, given=CLOCKED)
    assert "second run without a SPARSE_REPORT" in problems_of(DENSE, SPARSE_RUN, CONV_TOPOLOGY, given=CLOCKED)


def test_the_other_reading_of_1_of_4_does_not_fit() -> None:
    kept_three = sparse_report(SPARSE_CYCLES, CONV_FILTERS, ((3, 4), (4, 4), (3, 4), (3, 4)))
    texts = (DENSE, CONV_TOPOLOGY, SPARSE_RUN, SPARSE_TOPOLOGY, kept_three)
    assert "fits no topology that has a Sparsity column" in problems_of(*texts, given=CLOCKED)


def test_a_report_of_another_network_is_noticed() -> None:
    other = CONV_TOPOLOGY.replace("16, 16, 3, 3, 3, 8, 2", "16, 16, 3, 3, 3, 12, 2")
    assert "utilisation times cycles does not follow" in problems_of(DENSE, other, given=CLOCKED)
    fewer = CONV_TOPOLOGY.replace("fc, 1, 1, 1, 1, 16, 10, 1,\n", "")
    assert "(4 layers) is not of the topology 'upload' (3 layers)" in problems_of(DENSE, fewer, given=CLOCKED)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0, 1000, 900,", "0, 1000, -900,", "line 2: 'total cycles' is '-900', not a whole number from 1"),
        ("0, 1000, 900,", "0, 1000, nan,", "'total cycles' is 'nan'"),
        ("0, 1000, 900,", "0, 1000, 9.5,", "'total cycles' is '9.5'"),
        ("1, 400, 300,", "2, 400, 300,", "LayerID does not count 0, 1, 2"),
        ("1, 400, 300,", "1, 400,", "LayerID"),
        (", Overall Util %", "", "has no column 'overall util %'"),
    ],
)
def test_a_bad_report_is_refused(old: str, new: str, said: str) -> None:
    if new == "1, 400,":
        cut = DENSE[: DENSE.index(old)] + "1, 400, 3"
        assert "line 3 has 3 of 7 cells: the file is cut off" in problems_of(cut, CONV_TOPOLOGY, given=CLOCKED)
    else:
        assert said in problems_of(DENSE.replace(old, new, 1), CONV_TOPOLOGY, given=CLOCKED)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("16, 16, 3, 3, 3", "1, 1, 3, 3, 3", "line 2: the filter 3 x 3 is larger than its map 1 x 1"),
        ("16, 16, 3, 3, 3", "16, 16, 3, 3, 0", "'channels' is '0', not a whole number from 1"),
        ("16, 16, 3, 3, 3", "16, 16, 3, 3, 1e30", "'channels' is '1e30'"),
        ("fc, 1, 1, 1, 1, 16, 10, 1,", "fc, 1, 1, 1", "line 5 has 4 of 8 cells"),
        ("Strides,", "Strides, Sparsity,", "line 2: 'sparsity' is '': write N:M"),
        ("conv1,", ",", "'layer name' is '', not a name"),
    ],
)
def test_a_bad_topology_is_refused(old: str, new: str, said: str) -> None:
    assert said in problems_of(DENSE, CONV_TOPOLOGY.replace(old, new, 1).rstrip(), given=CLOCKED)


@pytest.mark.parametrize("share", ["5:4", "0:4", "half", "2:4:8", "1:99"])
def test_a_sparsity_that_is_none_is_refused(share: str) -> None:
    topology = SPARSE_TOPOLOGY.replace("1:4", share, 1)
    said = problems_of(DENSE, CONV_TOPOLOGY, SPARSE_RUN, topology, SPARSE, given=CLOCKED)
    assert f"line 2: 'sparsity' is '{share}': write N:M" in said


def test_the_clock_and_the_topology_are_needed() -> None:
    assert "state the clock in hertz" in problems_of(DENSE, CONV_TOPOLOGY, given=replace(CLOCKED, clock_hz=None))
    assert "the topology CSV that was run is missing" in problems_of(DENSE, given=CLOCKED)


def _real(*names: str) -> list[bytes]:
    return [shared_file("profiles", "scale-sim", name).data for name in names]


_WS = ("ws32_dense_calc__Resnet18_dense.COMPUTE_REPORT.csv", "topology_Resnet18.csv", "ws32_dense_calc.cfg")
_WS_SPARSE = (
    "ws32_sp_calc__Resnet18_2_4.COMPUTE_REPORT.csv",
    "ws32_sp_calc__Resnet18_2_4.SPARSE_REPORT.csv",
    "ws32_sp_calc__Resnet18_2_4.BANDWIDTH_REPORT.csv",
    "topology_Resnet18_2_4_sparse.csv",
    "ws32_sp_calc.cfg",
)


@pytest.mark.shared
def test_real_dense_and_2_of_4_runs() -> None:
    profile = import_profile(list(map(source, _real(*_WS, *_WS_SPARSE))), UNKNOWN)
    totals: dict[str, float] = defaultdict(float)
    for row in profile.rows:
        totals[row.pattern] += row.latency_ms * 1e6
    assert totals == pytest.approx({"dense": 2_519_815, "keep2of4": 1_272_091}, rel=1e-12)
    assert (len(profile.rows), len(profile.layers)) == (42, 21)
    assert (profile.device, profile.batch) == ("systolic array 32 x 32, ws", 1)
    assert sum(layer.weights or 0 for layer in profile.layers) == 11_678_912  # ResNet-18 without norms and biases
    assert profile.rows[21].weight_bytes == 4 * 5032.0


@pytest.mark.shared
def test_real_output_stationary_run() -> None:
    files = _real("os32_dense_calc__Resnet18_dense.COMPUTE_REPORT.csv", "topology_Resnet18.csv")
    profile = import_profile(list(map(source, files)), CLOCKED)
    assert sum(row.latency_ms for row in profile.rows) == pytest.approx(1.718353, rel=1e-12)


@pytest.mark.shared
def test_real_files_that_do_not_belong_together() -> None:
    report, topology = _real(_WS[0], "topology_mobilenet.csv")
    assert "(21 layers) is not of the topology 'upload' (27 layers)" in problems_of(report, topology, given=CLOCKED)
    assert "sparse run alone" in problems_of(*_real(*_WS_SPARSE), given=CLOCKED)


@pytest.mark.shared
def test_every_run_of_the_validation_file_survives_the_way_through() -> None:
    """135 layers of nine runs, written as reports and topologies and read again: cycles, multiply-adds, patterns."""
    text = shared_file("validation", "scalesim_v3_layers.csv").text
    runs: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for line in csv.DictReader(text.splitlines()):
        keys = ("network", "dataflow", "bandwidth_mode", "sparsity_keepN_ofM", "array_rows")
        runs[tuple(line[key] for key in keys)].append(line)
    checked = 0
    for (network, dataflow, mode, pattern, rows), table in runs.items():
        if pattern != "dense":
            dense = runs[(network, dataflow, mode, "dense", rows)][: len(table)]
            checked += _check(dense, table[: len(dense)])
        elif (network, dataflow, mode, "2:4", rows) not in runs:
            checked += _check(table, [])
    assert checked >= 70


def _check(dense: list[dict[str, str]], sparse: list[dict[str, str]]) -> int:
    texts = [*_written(dense)]
    if sparse:
        keep, group = map(int, sparse[0]["sparsity_keepN_ofM"].split(":"))
        filters = [
            (int(la["filter_h"]) * int(la["filter_w"]) * int(la["channels"]), int(la["num_filters"])) for la in sparse
        ]
        cycles = [int(line["total_cycles"]) for line in sparse]
        texts += [*_written(sparse), sparse_report(cycles, filters, [(keep, group)] * len(sparse))]
    profile = import_profile(list(map(source, texts)), CLOCKED)
    assert [layer.macs for layer in profile.layers] == [int(line["dense_macs_no_padding"]) for line in dense]
    times = [int(line["total_cycles"]) * 1e-6 for line in (*dense, *sparse)]
    assert [row.latency_ms for row in profile.rows] == pytest.approx(times, rel=1e-12)
    return len(times)


def _written(table: list[dict[str, str]]) -> tuple[str, str]:
    """The report and the topology."""
    sparse = table[0]["sparsity_keepN_ofM"] != "dense"
    report = "LayerID, Total Cycles, Stall Cycles, Overall Util %,\n" + "".join(
        f"{index}, {line['total_cycles']}, {line['stall_cycles']}, {line['overall_util_pct']},\n"
        for index, line in enumerate(table)
    )
    keys = ("layer", "ifmap_h", "ifmap_w", "filter_h", "filter_w", "channels", "num_filters", "stride")
    keys += ("sparsity_keepN_ofM",) if sparse else ()
    topology = CONV_TOPOLOGY.split("\n")[0] + (" Sparsity,\n" if sparse else "\n")
    return report, topology + "".join(",".join(line[key] for key in keys) + ",\n" for line in table)

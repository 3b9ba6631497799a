"""TFLite: one table of many, its times alone, and the names of fused nodes."""

import pytest

from costmodels.importers import import_profile
from tests.costmodels.importers.excerpts import STATED, problems_of, shared_file, source
from tests.costmodels.importers.simulated import TFLITE, TFLITE_CSV


def test_only_the_run_order_of_the_regular_runs_counts() -> None:
    profile = import_profile([source(TFLITE)], STATED)
    assert [layer.name for layer in profile.layers] == [
        "net/relu1;net/conv1",
        "Delegate/Convolution:1",
        "net/fc",
        "net/shape",
        "Delegate/Convert:4",
    ]
    assert profile.layers[0].members == ("net/relu1", "net/conv1")
    assert [layer.role for layer in profile.layers] == ["layer", "layer", "layer", "other", "other"]
    assert [layer.op for layer in profile.layers[:3]] == ["conv2d", "conv2d", "linear"]


def test_a_node_costs_all_its_calls_and_none_costs_nothing() -> None:
    profile = import_profile([source(TFLITE)], STATED)
    assert {row.layer: row.latency_ms for row in profile.rows} == {
        "net/relu1;net/conv1": 1.25,
        "Delegate/Convolution:1": 0.5,  # twice 0.25
        "net/fc": 0.5,  # 0 calls: an old build
        "Delegate/Convert:4": 0.2,
    }
    assert "1 nodes took no measurable time" in profile.note


def test_the_header_tells_the_run() -> None:
    profile = import_profile([source(TFLITE)], STATED)
    assert (profile.network_latency_ms, profile.network_latency_std_ms, profile.runs) == pytest.approx((2.45, 0.07, 20))
    assert (profile.name, profile.runtime) == ("tiny.tflite", "TFLite, XNNPACK delegate, 2 threads")
    assert (profile.source, profile.statistic, profile.original_unit) == ("measured", "mean", "ms")
    assert "The whole inference took 2.5505 ms" in profile.note


def test_without_timings_the_inference_is_the_network() -> None:
    without = TFLITE.replace("Timings (microseconds)", "Something else")
    assert import_profile([source(without)], STATED).network_latency_ms == pytest.approx(2.5505)


def test_csv_with_commas_in_its_types_and_a_delegate_that_tells_what_it_did() -> None:
    profile = import_profile([source(TFLITE_CSV)], STATED)
    assert [(row.layer, row.latency_ms) for row in profile.rows] == [
        ("net/relu1;net/conv1", 1.25),
        ("Delegate/Convolution (NHWC, QU8):1", 0.5),
        ("Delegate/Fully Connected (NC, QU8) GEMM:0", 0.6),  # in place of the delegate's one node
    ]
    assert [layer.op for layer in profile.layers] == ["conv2d", "conv2d", "linear"]


def test_percentages_change_nothing() -> None:
    wrong = TFLITE.replace("0.500%", "99.900%").replace("7.000%", "nan%")
    assert import_profile([source(wrong)], STATED).rows == import_profile([source(TFLITE)], STATED).rows


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    1.300\t    1.250", "    1.300\t    -1.25", "line 13: 'CONV_2D"),
        ("    1.300\t    1.250", "    1.300\t    nan", "is no row of 8 cells"),
        ("\t        1\t[net/relu1;net/conv1]:0", "\t      1.5\t[net/relu1;net/conv1]:0", "is not a number from 0"),
        ("\t        1\t[net/relu1;net/conv1]:0", "", "line 13: 'CONV_2D"),
        ("[avg ms]", "[avg cycles]", "counts cycles of a Hexagon"),
        ("Num threads: [2]", "Use Hexagon: [1]", "counts cycles of a Hexagon"),
        ("[times called]", "[calls]", "the table has no column times_called"),
        ("Regular Benchmark Runs", "Benchmark Initialization", "holds no Run Order table of regular"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, said: str) -> None:
    head, regular, rest = TFLITE.partition("INFO: Operator-wise")
    text = head.replace(old, new, 1) + (regular + rest).replace(old, new, 1)
    assert said in problems_of(text)


def test_one_report_of_one_run() -> None:
    assert "2 files are reports of benchmark_model" in problems_of(TFLITE, TFLITE)
    assert "a second benchmark begins" in problems_of(TFLITE + TFLITE)
    assert "device is not in the file" in problems_of(TFLITE, given=type(STATED)())


def test_a_network_that_is_one_opaque_node_says_nothing_of_layers() -> None:
    opaque = "\n".join(line for line in TFLITE_CSV.partition("Delegate internal")[0].split("\n") if "onv" not in line)
    assert "a delegate ran all of it as one" in problems_of(opaque)


def test_a_cut_report_is_refused_or_says_so() -> None:
    start = TFLITE.index("CONV_2D", TFLITE.index("Regular")) + 8
    for end in range(start, TFLITE.index("\n\n", start), 7):
        cut = TFLITE[:end]
        last = cut.rpartition("\n")[2]
        if not last.strip() or last.count("\t") == 8:  # a whole row, but for its name
            assert "it may be cut off" in import_profile([source(cut)], STATED).note
        else:
            assert "is the file cut off?" in problems_of(cut)


@pytest.mark.shared
def test_the_console_sample_of_the_tensorflow_readme() -> None:
    profile = import_profile([shared_file("profiles", "tflite", "benchmark_model_mobilenetv1_stdout.txt")], STATED)
    assert len(profile.rows) == len(profile.layers) == 31
    assert sum(layer.role == "layer" for layer in profile.layers) == 28
    assert sum(row.latency_ms for row in profile.rows) == pytest.approx(79.449)
    assert 79.443 + profile.rows[-1].latency_ms == pytest.approx(79.472)  # the last start is not read
    assert profile.network_latency_ms == pytest.approx(79.732)


@pytest.mark.shared
def test_the_sample_under_a_delegate_keeps_its_kernels() -> None:
    profile = import_profile([shared_file("profiles", "tflite", "benchmark_model_xnnpack_delegate_stdout.txt")], STATED)
    assert len(profile.rows) == 11
    assert profile.rows[3].layer == "Delegate/Convolution (NHWC, QU8) GEMM:3"
    assert "The table holds 11 of 115 nodes" in profile.note
    assert profile.network_latency_ms == pytest.approx(7.36009)

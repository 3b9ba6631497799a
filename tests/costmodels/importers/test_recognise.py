"""Whose files these are, by content alone; what an import needs and what it says when it is not there; shapes."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.errors import ProfileError
from costmodels.importers import IMPORTERS, MAX_FILES, Given, SourceFile, recognise
from costmodels.importers.base import LONGEST_NAME, Timed, build, printable, tabulated, unique
from costmodels.importers.shapes import convolution, convolved, linear, shape_of
from costmodels.profile import ProfileLayer, ProfileRow
from tests.costmodels.importers.excerpts import STATED, problems_of, shared_file, source

TRT = [{"count": 1}, {"name": "a", "averageMs": 1.0}]
ORT = [{"cat": "Session", "name": "model_run", "ts": 1, "dur": 5}]
SHEET = "layer,latency_ms\na,1\n"


def test_the_table_holds_every_importer_under_its_name() -> None:
    for name, importer in IMPORTERS.items():
        assert importer.name == name
        assert importer.title
        assert set(importer.required) <= set(importer.roles)


@pytest.mark.parametrize(
    ("content", "name", "role"),
    [(TRT, "tensorrt", "profile"), (ORT, "onnxruntime", "profile"), (SHEET, "espalier", "profile")],
)
def test_files_are_recognised_by_content_alone(content: object, name: str, role: str) -> None:
    importer, files = recognise([source(content, "misleading.pkl")])
    assert (importer.name, list(files)) == (name, [role])


def test_what_nobody_recognises_says_what_is_read() -> None:
    said = problems_of("hello")
    assert "TensorRT" in said and "layer, pattern, latency_ms" in said
    assert "nests deeper" in problems_of("[" * 90 + "]" * 90)
    assert "not valid JSON" in problems_of('[{"count": 1}, {"na')
    assert "not well-formed" in problems_of("<net>")


def test_files_of_several_tools_are_refused() -> None:
    assert "different tools" in problems_of(TRT, ORT)


def test_a_tool_can_be_named() -> None:
    assert recognise([source(TRT)], "tensorrt")[0].name == "tensorrt"
    assert "nobody recognises" in problems_of(TRT, tool="onnxruntime")
    assert "there is no importer 'abacus'" in problems_of(TRT, tool="abacus")


def test_the_number_of_files_is_limited() -> None:
    for count in (0, MAX_FILES + 1):
        with pytest.raises(ProfileError, match=f"{count} files"):
            recognise([source(TRT)] * count)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for name in ("espalier", "tensorrt", "onnxruntime", "openvino", "torch_profiler"):
        try:
            recognise([SourceFile("x", data)], name)
        except ProfileError:
            pass


def test_what_is_missing_is_asked_for() -> None:
    files = {"profile": (source(TRT),)}
    rows = [ProfileRow(layer="a", latency_ms=1.0)]
    with pytest.raises(ProfileError, match="does not say device and batch: state them") as caught:
        build(files, Given(), [], rows, source="measured", precision="int8")
    assert len(caught.value.problems) == 2
    with pytest.raises(ProfileError, match="does not say batch: state it"):
        build(files, Given(device="d", precision="int8"), [], rows, source="measured")


def test_names_become_unique_and_printable() -> None:
    names = ["a", "a", "a #2", "a", " b\x00\n", "", "c" * 999, "c" * 998, "\ud800"]
    found = [layer.name for layer in unique(ProfileLayer(name=name) for name in names)]
    assert found[:6] == ["a", "a #2", "a #2 #2", "a #3", "b", "unnamed"]
    assert len(set(found)) == len(found)
    assert all(name.isprintable() and len(name) <= LONGEST_NAME + 9 for name in found)
    many = unique(ProfileLayer(name="x") for _ in range(20_000))
    assert many[-1].name == "x #20000"


def test_members_are_printable_too() -> None:
    layer = unique([ProfileLayer(name="a", members=("b\x1f", "b", " ", "c" * 999))])[0]
    assert layer.members == ("b", printable("c" * 999))


def test_only_what_took_time_becomes_a_row() -> None:
    layers, rows = tabulated(Timed(layer=ProfileLayer(name="a"), latency_ms=ms) for ms in (1.0, 0.0, 2.0))
    assert [layer.name for layer in layers] == ["a", "a #2", "a #3"]
    assert [(row.layer, row.latency_ms) for row in rows] == [("a", 1.0), ("a #3", 2.0)]


def test_several_runs_are_their_median_and_spread() -> None:
    layer = ProfileLayer(name="a")
    found = Timed.over_runs(layer, [1.0, 2.0, 9.0])
    assert (found.latency_ms, found.latency_std_ms) == (2.0, pytest.approx(math.sqrt(19.0)))
    assert Timed.over_runs(layer, [3.0]).latency_std_ms is None


@settings(max_examples=80, deadline=None)
@given(
    size=st.integers(1, 64),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    groups=st.sampled_from([1, 2, 4]),
)
def test_a_stride_is_only_said_where_it_is_the_one(
    size: int, kernel: int, stride: int, padding: int, groups: int
) -> None:
    output = convolved(size, kernel, stride, 2 * padding)
    if output < 1 or 2 * padding >= kernel:
        return
    layer = convolution("a", (3, 4, size), (8, 4 // groups, kernel), (3, 8, output))
    assert layer is not None
    assert layer.stride in ((), (stride,))
    assert (layer.op, layer.groups, layer.weights) == ("conv1d", groups, 8 * 4 // groups * kernel)
    assert layer.macs == layer.weights * output


@pytest.mark.parametrize(
    ("image", "weight", "output"),
    [
        ((1, 3, 8, 8), (4, 2, 3, 3), (1, 4, 8, 8)),  # 3 channels in groups of 2
        ((1, 4, 8, 8), (3, 2, 3, 3), (1, 3, 8, 8)),  # 3 outputs in 2 groups
        ((1, 4, 8, 8), (8, 4, 3, 3), (1, 4, 8, 8)),  # other outputs
        ((1, 4, 8), (8, 4, 3, 3), (1, 8, 8)),
        ((1, 4), (8, 4), (1, 8)),
        ((), (), ()),
    ],
)
def test_shapes_that_fit_no_convolution(
    image: tuple[int, ...], weight: tuple[int, ...], output: tuple[int, ...]
) -> None:
    assert convolution("a", image, weight, output) is None


def test_positions_of_a_linear_need_the_batch() -> None:
    assert linear("a", (6, 8), 10, batch=2).macs == 3 * 80
    assert linear("a", (2, 3, 8), 10, batch=2).positions == 3
    for batch in (None, 4):
        layer = linear("a", (6, 8), 10, batch=batch)
        assert (layer.positions, layer.macs, layer.weights) == (None, None, 80)


@pytest.mark.parametrize("value", [None, 3, "3", [0], [-1], [1.0], [True], [2**25], [1] * 9, {"a": 1}])
def test_shapes_that_are_none(value: object) -> None:
    assert shape_of(value) == ()


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "file", "name"),
    [
        ("tensorrt", "a100_pytorch_resnet_fp16.profile.json", "tensorrt"),
        ("tensorrt", "a100_pytorch_resnet_fp16.graph.json", "tensorrt"),
        ("tensorrt", "a100_pytorch_resnet_fp16.metadata.json", "tensorrt"),
        ("tensorrt", "a100_pytorch_resnet_fp16.profile.metadata.json", "tensorrt"),
        ("tensorrt", "a100_pytorch_resnet_fp16.build.metadata.json", "tensorrt"),
        ("onnxruntime", "ort_resnet18_opt.json", "onnxruntime"),
        ("openvino", "resnet18_exec_graph.xml", "openvino"),
        ("openvino", "resnet18_benchmark_sorted_report.csv", "openvino"),
        ("openvino", "resnet18_benchmark_report.csv", "openvino"),
        ("openvino", "resnet18_benchmark_average_counters_report.json", "openvino"),
        ("pytorch", "resnet18_chrome_trace.json", "torch_profiler"),
    ],
)
def test_every_real_file_is_claimed_by_one_importer(folder: str, file: str, name: str) -> None:
    upload = shared_file("profiles", folder, file)
    assert [importer.name for importer in IMPORTERS.values() if importer.recognise(upload)] == [name]


def test_only_what_is_stated_counts() -> None:
    assert STATED.stated() == {"device": "board", "batch": 1, "precision": "float32"}

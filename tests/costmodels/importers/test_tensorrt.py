"""TensorRT: times, shapes and the engine's own latency; what a name alone tells; the notes' figures on real engines."""

import copy

import pytest

from costmodels.importers import Given, SourceFile, import_profile
from costmodels.importers.engine_layers import described
from costmodels.match import match
from costmodels.profile import Profile, ProfileLayer
from tests.costmodels.importers.excerpts import STATED, problems_of, shared_file, source
from tests.costmodels.models import resnet18


def tensor(*dims: int) -> list[dict[str, object]]:
    return [{"Name": "t", "Location": "Device", "Dimensions": list(dims), "Format/Datatype": "Row major linear FP32"}]


CONVOLUTION = {
    "Name": "stem.weight + Conv_0 + Relu_1",
    "LayerType": "CaskConvolution",
    "Inputs": tensor(4, 3, 32, 32),
    "Outputs": tensor(4, 16, 16, 16),
    "ParameterType": "Convolution",
    "Kernel": [3, 3],
    "PrePadding": [1, 1],
    "PostPadding": [1, 1],
    "Stride": [2, 2],
    "Dilation": [1, 1],
    "OutMaps": 16,
    "Groups": 1,
    "Weights": {"Type": "Half", "Count": 432},
}
POOLED = {
    "Name": "Conv_2 + MaxPool_3",
    "LayerType": "ConvActPool",
    "Inputs": tensor(4, 16, 16, 16),
    "Outputs": tensor(4, 16, 8, 8),
    "ParameterType": "ConvActPool",
    **{f"Conv{key}": CONVOLUTION[key] for key in ("Kernel", "PrePadding", "PostPadding", "Dilation", "OutMaps")},
    "ConvStride": [1, 1],
    "ConvGroups": 16,
    "ConvWeights": {"Type": "Half", "Count": 144},
}
LINEAR = CONVOLUTION | {
    "Name": "fc.weight + Gemm_5",
    "Inputs": tensor(4, 16, 1, 1),
    "Outputs": tensor(4, 10, 1, 1),
    "Kernel": [1, 1],
    "PrePadding": [0, 0],
    "PostPadding": [0, 0],
    "Stride": [1, 1],
    "OutMaps": 10,
    "Weights": {"Type": "Half", "Count": 160},
}
COPY = {"Name": "Reformatting CopyNode for Input Tensor 0 to Conv_2 + MaxPool_3", "LayerType": "NoOp"}
GRAPH = {"Layers": [CONVOLUTION, COPY, POOLED, LINEAR], "Bindings": ["x", "y"]}
TIMES_MS = {
    CONVOLUTION["Name"]: 0.5,
    COPY["Name"]: 0,
    POOLED["Name"]: 0.25,
    "PWN(Relu_4)": 0.125,
    LINEAR["Name"]: 0.125,
}
PROFILE = [
    {"count": 20},
    *(
        {"name": name, "timeMs": 20 * ms, "averageMs": ms, "medianMs": ms, "percentage": 1}
        for name, ms in TIMES_MS.items()
    ),
]
TIMES = {
    "performance_summary": {"Latency": [0.7, 1.1, 0.82, 0.8, 1.0]},
    "inference_options": {"Batch": "Explicit", "Input inference shape": "x=4x3x32x32"},
    "device_information": {"Selected Device": "some GPU", "Compute Clock Rate": 1.5},
}


@pytest.fixture(scope="module")
def profile() -> Profile:
    return import_profile([source(PROFILE), source(GRAPH), source(TIMES)])


def test_everything_is_read_where_the_files_say_it(profile: Profile) -> None:
    assert {row.layer: row.latency_ms for row in profile.rows} == {k: v for k, v in TIMES_MS.items() if v}
    header = (profile.device, profile.batch, profile.precision, profile.clock_hz, profile.runs, profile.statistic)
    assert header == ("some GPU", 4, "float16", 1.5e9, 20, "mean")
    assert (profile.network_latency_ms, profile.source, profile.original_unit) == (0.8, "measured", "ms")
    assert [file.format for file in profile.files] == ["profile", "graph", "times"]


def test_a_convolution_is_described_for_one_sample(profile: Profile) -> None:
    assert profile.layers[0] == ProfileLayer(
        name="stem.weight + Conv_0 + Relu_1",
        op="conv2d",
        members=("stem.weight", "Conv_0", "Relu_1"),
        in_channels=3,
        out_channels=16,
        kernel=(3, 3),
        stride=(2, 2),
        groups=1,
        input_size=(32, 32),
        output_size=(16, 16),
        positions=256,
        weights=432,
        macs=432 * 256,
    )


def test_a_convolution_keeps_its_own_size_before_the_fused_pooling(profile: Profile) -> None:
    layer = profile.layers[2]
    assert (layer.groups, layer.stride, layer.output_size, layer.macs) == (16, (1, 1), (16, 16), 144 * 256)


def test_a_linear_run_as_a_convolution_is_a_linear(profile: Profile) -> None:
    layer = profile.layers[4]
    assert (layer.op, layer.kernel, layer.in_channels, layer.out_channels, layer.macs) == ("linear", (), 16, 10, 160)


def test_layers_without_time_stay_without_a_row(profile: Profile) -> None:
    copied = profile.layers[1]
    assert (copied.name, copied.role, copied.members) == (COPY["Name"], "other", ())
    assert "1 of 5 layers took no time" in profile.note


@pytest.mark.parametrize(
    ("name", "role", "members"),
    [
        ("Conv_0 + Add_1", "layer", ("Conv_0", "Add_1")),
        ("/layer1/conv1/Conv || /layer1/downsample/Conv", "layer", ("/layer1/conv1/Conv", "/layer1/downsample/Conv")),
        ("PWN(Relu_4)", "other", ()),
        ("/pool/MaxPool", "other", ()),
        ("Reformatting CopyNode for Output Tensor 0 to Conv_1 + Relu_2", "other", ()),
        ("__myl_Fc_0x1", "layer", ()),
    ],
)
def test_names_alone(name: str, role: str, members: tuple[str, ...]) -> None:
    layer = described(name, {})
    assert (layer.role, layer.members) == (role, members)


def test_newer_engines_list_the_nodes_beside_the_name() -> None:
    layer = described("__myl_Conv_0", {"Metadata": "[ONNX Layer: /a/Conv]\x1f[ONNX Layer: /a/Relu]"})
    assert layer.members == ("__myl_Conv_0", "/a/Conv", "/a/Relu")


def test_times_alone_need_device_batch_and_precision() -> None:
    said = problems_of(PROFILE, given=Given())
    assert "device and batch and precision" in said
    alone = import_profile([source(PROFILE)], STATED)
    assert (len(alone.rows), alone.batch) == (4, 1)
    assert "--exportLayerInfo" in alone.note


def test_an_engine_without_details_lists_bare_names() -> None:
    bare = {"Layers": list(TIMES_MS), "Bindings": []}
    assert not any(layer.weights for layer in import_profile([source(PROFILE), source(bare)], STATED).layers)


def test_weights_of_several_types_have_no_one_precision() -> None:
    mixed = copy.deepcopy(GRAPH)
    mixed["Layers"][0]["Weights"]["Type"] = "Int8"
    assert "does not say precision" in problems_of(PROFILE, mixed, TIMES, given=Given())


def test_what_is_stated_wins(profile: Profile) -> None:
    stated = Given(name="mine", device="board", batch=8, precision="int8", network_latency_ms=2.0)
    found = import_profile([source(PROFILE), source(GRAPH), source(TIMES)], stated)
    assert (found.name, found.device, found.batch, found.precision) == ("mine", "board", 8, "int8")
    assert (found.network_latency_ms, found.rows) == (2.0, profile.rows)


@pytest.mark.parametrize(
    ("time", "said"),
    [(-0.1, "-0.1"), ("0.5", "'0.5'"), (None, "None"), (10**400, "a number"), (True, "True"), ([], "list")],
    ids=lambda value: str(value)[:9],
)
def test_a_bad_time_is_named_with_its_entry(time: object, said: str) -> None:
    entries = copy.deepcopy(PROFILE)
    entries[2]["averageMs"] = time
    found = problems_of(entries)
    assert "entry 3 ('Reformatting" in found and f"averageMs is {said}" in found


def test_missing_names_and_times_are_all_reported() -> None:
    entries = copy.deepcopy(PROFILE)
    del entries[1]["averageMs"], entries[2]["name"]
    entries[3] = 7
    found = problems_of(entries)
    assert "entry 2" in found and "missing" in found and "entry 3: it has no name" in found and "entry 4" in found


def test_other_files_are_refused() -> None:
    other = {"Layers": [CONVOLUTION | {"Name": "else"}], "Bindings": []}
    assert "different engines" in problems_of(PROFILE, other)
    assert "trtexec --exportProfile is missing" in problems_of(GRAPH)
    assert "2 files" in problems_of(PROFILE, PROFILE)
    assert "no layers" in problems_of([{"count": 1}])
    backwards = TIMES | {"performance_summary": {"Latency": [1.1, 0.7, 0.8, 0.8]}}
    assert "network_latency_ms" in problems_of(PROFILE, backwards)


def test_nonsense_among_the_shapes_only_leaves_them_out() -> None:
    for key, value in (("Kernel", "3x3"), ("Inputs", 5), ("Groups", 0), ("OutMaps", None)):
        broken = copy.deepcopy(GRAPH)
        broken["Layers"][0][key] = value
        layer = import_profile([source(PROFILE), source(broken), source(TIMES)], STATED).layers[0]
        assert layer.macs is None, key


def engine(name: str) -> list[SourceFile]:
    return [
        shared_file("profiles", "tensorrt", f"{name}.{part}.json") for part in ("profile", "graph", "profile.metadata")
    ]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "rows", "layers", "weighted", "sum_ms", "ratio", "precision"),
    [
        ("a100_pytorch_resnet_fp16", 25, 36, 21, 1.016832, 1.1794, "float16"),
        ("a100_pytorch_resnet_fp32", 24, 32, 21, 2.123776, 1.0668, "float32"),
        ("a100_pytorch_resnet_qat", 35, 37, 21, 1.095680, 1.2415, "int8"),
        ("a100_pytorch_resnet_qat-residual", 25, 26, 21, 0.731136, 1.3396, "int8"),
        ("test_mobilenet.qat", 72, 73, 53, 0.470389, 1.3394, "int8"),
    ],
)
def test_real_engines(
    name: str, rows: int, layers: int, weighted: int, sum_ms: float, ratio: float, precision: str
) -> None:
    found = import_profile(engine(name))
    total_ms = sum(row.latency_ms for row in found.rows)
    assert (len(found.rows), len(found.layers)) == (rows, layers)
    assert sum(layer.macs is not None for layer in found.layers) == weighted
    assert total_ms == pytest.approx(sum_ms, abs=5e-7)
    assert found.network_latency_ms is not None
    assert total_ms / found.network_latency_ms == pytest.approx(ratio, abs=5e-5)
    assert found.precision == precision


@pytest.mark.shared
def test_the_first_convolution_of_the_real_engine() -> None:
    found = import_profile(engine("a100_pytorch_resnet_fp16"))
    layer = found.layers[1]
    assert (layer.name, found.batch, found.device) == ("Conv_0 + Relu_1", 32, "NVIDIA A100 80GB PCIe")
    assert (layer.in_channels, layer.out_channels, layer.kernel, layer.stride) == (3, 64, (7, 7), (2, 2))
    assert layer.macs is not None
    assert (layer.weights, layer.macs * found.batch) == (9408, 3_776_446_464)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["fp16", "fp32", "qat", "qat-residual"])
def test_every_layer_of_resnet18_is_found_in_the_real_engines(name: str) -> None:
    report = match(import_profile(engine(f"a100_pytorch_resnet_{name}")), resnet18())
    assert (len(report.matches), report.macs_share, report.ambiguous) == (21, 1.0, ())

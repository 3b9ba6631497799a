"""ZigZag: layers that describe themselves, and the network they add up to."""

import csv
from dataclasses import replace

import pytest

from costmodels.importers import Given, SourceFile, import_profile
from tests.costmodels.importers.excerpts import problems_of, shared_file, source
from tests.costmodels.importers.simulated import zigzag

CLOCK = Given(clock_hz=1e9)
LOOPS = {"B": 2, "K": 2, "G": 4, "OX": 5, "OY": 6, "C": 3, "FX": 3, "FY": 1}
CONV = zigzag("/conv/Conv", "Conv", (100.0, 800.0, 100.0), LOOPS)
GEMM = zigzag("/fc/Gemm", "Gemm", (10.0, 80.0, 10.0), {"C": 16, "D": 4, "K": 10})
OVERALL = {"energy": 4e6, "latency": 1200.0}


def test_a_layer_describes_itself() -> None:
    profile = import_profile([source(CONV), source(GEMM), source(OVERALL)], CLOCK)
    conv, linear = profile.layers
    assert (conv.name, conv.op, conv.in_channels, conv.out_channels, conv.groups) == ("/conv/Conv", "conv2d", 12, 8, 4)
    assert (conv.kernel, conv.stride, conv.output_size, conv.positions) == ((1, 3), (1, 2), (6, 5), 30)
    assert (conv.weights, conv.macs) == (72, 2160)
    assert (linear.op, linear.in_channels, linear.out_channels, linear.positions) == ("linear", 16, 10, 2)
    row = profile.rows[0]
    assert (row.latency_ms, row.energy_mj, row.weight_bytes) == pytest.approx((1e-3, 2e-3, 72))
    assert (profile.device, profile.precision, profile.batch, profile.source) == ("tpu_like", "w8a8", 2, "simulated")


def test_the_network_is_more_than_the_layers_that_were_given() -> None:
    profile = import_profile([source(CONV), source(GEMM), source(OVERALL)], CLOCK)
    assert profile.network_latency_ms == pytest.approx(1.2e-3)
    assert "The 2 layers given are 91.7% of the network's cycles" in profile.note
    assert import_profile([source(CONV)], CLOCK).network_latency_ms is None
    fewer = OVERALL | {"latency": 1000.0}
    assert "fewer than its layers' 1100" in problems_of(CONV, GEMM, fewer, given=CLOCK)


def test_what_has_no_weights_only_takes_time() -> None:
    add = zigzag("/add", "Add", (1.0, 2.0, 3.0), {"B": 2, "OX": 5, "OY": 6})
    layer = import_profile([source(CONV), source(add)], CLOCK).layers[1]
    assert (layer.role, layer.op, layer.weights) == ("other", "add", None)


def test_files_of_two_runs_are_no_profile() -> None:
    other = zigzag("/x", "Conv", (1.0, 1.0, 1.0), LOOPS)
    other["inputs"]["accelerator"]["name"] = "edge"  # type: ignore[index]
    assert "has accelerator edge and 'upload' has tpu_like" in problems_of(CONV, other, given=CLOCK)
    batch = zigzag("/x", "Conv", (1.0, 1.0, 1.0), LOOPS | {"B": 3})
    assert "has batch 3 and 'upload' has 2" in problems_of(CONV, batch, given=CLOCK)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("outputs.latency.computation", -1.0, "has computation = -1.0, not a number from 0"),
        ("outputs.latency.computation", "many", "has computation = 'many'"),
        ("outputs.latency.computation", None, "has computation = None"),
        ("outputs.latency", {"data_onloading": 1.0}, "has computation = None"),
        ("outputs.energy.energy_total", True, "has energy_total = True"),
        ("inputs.layer.name", "", "has name = '', not a name"),
        ("inputs.layer.type", 7, "has type = 7, not a name"),
        ("inputs.layer.loop_dimensions.K", 0, "has loop_dimensions.K = 0, not a size"),
        ("inputs.layer.loop_dimensions.K", 1.5, "has loop_dimensions.K = 1.5, not a size"),
        ("inputs.layer.loop_dimensions.K", 10**400, "a number of more than 40 digits"),
        ("inputs.layer", None, "has no object inputs.layer"),
        ("inputs.accelerator", "tpu", "has no object inputs.accelerator"),
    ],
)
def test_what_is_wrong_is_said(path: str, value: object, said: str) -> None:
    document = zigzag("/conv/Conv", "Conv", (100.0, 800.0, 100.0), dict(LOOPS))
    *scopes, last = path.split(".")
    place = document
    for scope in scopes:
        place = place[scope]  # type: ignore[assignment]
    place[last] = value
    assert said in problems_of(document, given=CLOCK)


def test_nothing_at_all_cut_off_and_no_clock() -> None:
    still = zigzag("/conv/Conv", "Conv", (0.0, 0.0, 0.0), LOOPS)
    assert "takes no cycles" in problems_of(still, given=CLOCK)
    assert "is not valid JSON" in problems_of(source(CONV).data[:-20], given=CLOCK)
    assert "state the clock in hertz" in problems_of(CONV, given=replace(CLOCK, clock_hz=None))
    assert "a layer's complete.json is missing" in problems_of(OVERALL, given=CLOCK)
    assert "has latency = -1, not a number above 0" in problems_of(CONV, OVERALL | {"latency": -1}, given=CLOCK)


@pytest.mark.shared
def test_real_layers() -> None:
    layers = ("_conv1_Conv", "_layer2_layer2.0_downsample_downsample.0_Conv", "_fc_Gemm")
    names = [f"resnet18_tpu_like.{layer}_complete.json" for layer in layers] + ["resnet18_tpu_like.overall_simple.json"]
    profile = import_profile([shared_file("profiles", "zigzag", name) for name in names], CLOCK)
    conv, downsample, linear = profile.layers
    assert (conv.kernel, conv.stride, conv.output_size, conv.macs) == ((7, 7), (2, 2), (112, 112), 118_013_952)
    assert (downsample.in_channels, downsample.out_channels, downsample.stride) == (64, 128, (2, 2))
    assert (linear.op, linear.weights, linear.positions) == ("linear", 512_000, 1)
    assert [row.latency_ms * 1e6 for row in profile.rows] == pytest.approx([1_248_163, 18_879, 63_739], rel=1e-12)
    assert profile.network_latency_ms == pytest.approx(3.865041, rel=1e-12)


@pytest.mark.shared
def test_the_21_layers_of_resnet_18_are_the_network() -> None:
    table = list(csv.DictReader(shared_file("validation", "zigzag_layers.csv").text.splitlines()))
    files = list(map(_written, (line for line in table if line["network"] == "resnet18")))
    overall = shared_file("profiles", "zigzag", "resnet18_tpu_like.overall_simple.json")
    profile = import_profile([*files, overall], CLOCK)
    assert len(profile.rows) == 21
    assert sum(row.latency_ms for row in profile.rows) == pytest.approx(3.865041, rel=1e-12)
    assert sum(layer.macs or 0 for layer in profile.layers) == 1_814_073_344
    assert "100.0% of the network's cycles" in profile.note


def _written(line: dict[str, str]) -> SourceFile:
    parts = ("data_onloading_cycles", "computation_cycles", "data_offloading_cycles")
    loops = {key: int(line[key]) for key in ("B", "G", "K", "C", "OX", "OY", "FX", "FY") if line[key]}
    cycles = (float(line[parts[0]]), float(line[parts[1]]), float(line[parts[2]]))
    return source(zigzag(line["layer"], line["type"], cycles, loops))

"""ONNX Runtime: runs told apart, the first dropped, layers told by shapes; the notes' figures on real sessions."""

import copy

import pytest

from costmodels.importers import Given, import_profile
from costmodels.match import match
from costmodels.profile import Profile
from tests.costmodels.importers.excerpts import problems_of, shared_file, source
from tests.costmodels.models import resnet18

STATED = Given(device="board")


def shapes(*dims: list[int]) -> list[dict[str, list[int]]]:
    return [{"float": one} for one in dims]


def node(name: str, op: str, inputs: list[list[int]], output: list[int], parameters: int = 0) -> dict[str, object]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "args": {
            "op_name": op,
            "provider": "CPUExecutionProvider",
            "node_index": str(len(name)),
            "input_type_shape": shapes(*inputs),
            "output_type_shape": shapes(output),
            "parameter_size": str(parameters),
        },
    }


NODES = [
    node("relu_nchwc", "Conv", [[2, 3, 32, 32], [16, 3, 3, 3], [16]], [2, 16, 16, 16], 1728),
    node("depthwise", "Conv", [[2, 16, 16, 16], [16, 1, 3, 3], [2, 16, 16, 16]], [2, 16, 16, 16], 576),
    node("pool", "GlobalAveragePool", [[2, 16, 16, 16]], [2, 16, 1, 1]),
    node("attention", "MatMul", [[2, 4, 5, 8], [2, 4, 8, 5]], [2, 4, 5, 5]),
    node("packed", "MatMul", [[2, 5, 16]], [2, 5, 24]),
    node("fc", "Gemm", [[2, 16], [10]], [2, 10], 40),
]
TIMES_US = [[900, 90, 9, 9, 50, 70], [400, 40, 8, 0, 30, 20], [500, 40, 8, 0, 34, 20], [600, 46, 2, 0, 38, 20]]


def session(times_us: list[list[int]], *, marked: bool = True) -> list[dict[str, object]]:
    """The events of a session with one run a list of times."""
    events: list[dict[str, object]] = [
        {"cat": "Session", "ph": "X", "name": "model_loading_uri", "ts": 1, "dur": 100, "args": {}}
    ]
    now = 200
    for run in times_us:
        if marked:
            events.append({"cat": "Session", "name": "model_run", "ts": now, "dur": sum(run) + 60, "args": {}})
        for event, dur in zip(NODES, run, strict=True):
            now += 10
            events.append(copy.deepcopy(event) | {"ph": "X", "ts": now, "dur": dur})
            now += dur
        now += 10
    return events


@pytest.fixture(scope="module")
def profile() -> Profile:
    return import_profile([source(session(TIMES_US))], STATED)


def test_the_first_run_is_dropped_and_the_median_of_the_rest_is_kept(profile: Profile) -> None:
    times = {row.layer: (row.latency_ms, row.latency_std_ms) for row in profile.rows}
    assert times["relu_nchwc"] == (0.5, pytest.approx(0.1))
    assert times["fc"] == (0.02, 0.0)
    assert (profile.runs, profile.warm_up_runs, profile.statistic) == (3, 1, "median")
    assert profile.network_latency_ms == pytest.approx((602 + 60) / 1e3)
    assert "attention" not in times and "attention" in {layer.name for layer in profile.layers}


def test_one_run_is_not_dropped() -> None:
    found = import_profile([source(session(TIMES_US[:1]))], STATED)
    assert (found.runs, found.warm_up_runs, found.rows[0].latency_ms) == (1, 0, 0.9)
    assert found.rows[0].latency_std_ms is None


def test_shapes_tell_the_layers(profile: Profile) -> None:
    stem, depthwise, pool, attention, packed, fc = profile.layers
    assert (stem.kernel, stem.stride, stem.groups, stem.weights, stem.macs) == ((3, 3), (2, 2), 1, 432, 432 * 256)
    assert (depthwise.groups, depthwise.stride, depthwise.weights) == (16, (1, 1), 144)
    assert (pool.role, attention.role) == ("other", "other")
    assert (packed.op, packed.in_channels, packed.out_channels, packed.positions) == ("linear", 16, 24, 5)
    assert (fc.op, fc.in_channels, fc.out_channels, fc.macs) == ("linear", 16, 10, 160)
    assert (profile.batch, profile.precision) == (2, "float32")


def test_several_types_have_no_one_precision() -> None:
    events = session(TIMES_US)
    for event in events:
        if str(event["name"]).startswith("fc"):
            event["args"]["input_type_shape"] = [{"float16": [2, 16]}]
    assert "does not say precision" in problems_of(events, given=STATED)


def test_a_node_that_runs_twice_in_a_run_is_one_layer_with_two_calls() -> None:
    events = session([[100, 10, 1, 1, 5, 7]])
    again = copy.deepcopy(events[2]) | {"ts": events[-1]["ts"] + 1, "dur": 50}
    layer = import_profile([source([*events, again])], STATED)
    assert (layer.layers[0].calls, layer.layers[0].macs, layer.rows[0].latency_ms) == (2, 2 * 432 * 256, 0.15)


def test_runs_without_marks_are_told_by_counting(profile: Profile) -> None:
    unmarked = import_profile([source(session(TIMES_US, marked=False))], STATED)
    assert unmarked.rows == profile.rows
    assert unmarked.network_latency_ms is None
    assert "cannot be told apart" in problems_of(session(TIMES_US, marked=False)[:-1], given=STATED)


def test_runs_at_the_same_time_are_refused() -> None:
    events = session(TIMES_US)
    events[1]["dur"] = 10_000
    assert "overlap" in problems_of(events, given=STATED)


def test_containers_are_not_counted_beside_their_body() -> None:
    events = session([[100, 10, 1, 1, 5, 7]])
    loop = {"cat": "Node", "name": "loop_kernel_time", "ts": 205, "dur": 200, "args": {"op_name": "Loop"}}
    assert "loop" not in {layer.name for layer in import_profile([source([*events, loop])], STATED).layers}


def test_a_provider_that_only_queues_is_noted(profile: Profile) -> None:
    assert not profile.note
    events = session(TIMES_US)
    for event in events:
        if event["cat"] == "Node":
            event["args"]["provider"] = "CUDAExecutionProvider"
    assert "queueing" in import_profile([source(events)], STATED).note


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("dur", -1, "dur is -1"),
        ("dur", "400", "dur is '400'"),
        ("dur", None, "dur is None"),
        ("dur", 10**400, "digits"),
        ("ts", {}, "ts is dict"),
        ("name", 5, "no object with a name"),
    ],
)
def test_a_bad_event_is_named(key: str, value: object, said: str) -> None:
    events = session(TIMES_US)
    events[2][key] = value
    found = problems_of(events, given=STATED)
    assert "event 3" in found and said in found


def test_other_files_are_refused() -> None:
    assert "no kernel times" in problems_of(session([])[:1], given=STATED)
    assert "does not say device" in problems_of(session(TIMES_US), given=Given())
    text = source(session(TIMES_US)).text
    assert "not valid JSON" in problems_of(text[: len(text) // 2], given=STATED)
    assert "not valid JSON" in problems_of(text.replace("400", "NaN", 1), given=STATED)


def test_nonsense_among_the_shapes_only_leaves_them_out() -> None:
    for value in (None, [], [5], [{"float": "1x3"}], [{"float": [0, 3]}], {"float": 1}):
        events = session(TIMES_US[:1])
        events[2]["args"]["input_type_shape"] = value
        layer = import_profile([source(events)], Given(device="board", batch=2, precision="float32")).layers[0]
        assert (layer.op, layer.macs, layer.role) == ("Conv", None, "layer"), value


@pytest.mark.shared
@pytest.mark.parametrize(("name", "keys", "share"), [("opt", 25, 0.9970), ("noopt", 49, 0.9823)])
def test_real_sessions(name: str, keys: int, share: float) -> None:
    found = import_profile([shared_file("profiles", "onnxruntime", f"ort_resnet18_{name}.json")], STATED)
    ops = [layer.op for layer in found.layers]
    assert (len(found.rows), found.runs, found.batch, found.precision) == (keys, 4, 1, "float32")
    assert (ops.count("conv2d"), ops.count("linear")) == (20, 1)
    report = match(found, resnet18())
    assert (len(report.matches), report.macs_share, report.ambiguous) == (21, 1.0, ())
    assert report.time_share == pytest.approx(share, abs=5e-5)
    assert sum(layer.macs or 0 for layer in found.layers) == 1_814_073_344

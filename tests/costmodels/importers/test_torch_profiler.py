"""PyTorch traces: one operator of every chain, runs folded or refused; the notes' figures on a real trace."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.importers import Given, import_profile
from costmodels.importers.repeats import period
from costmodels.match import match
from costmodels.profile import Profile
from tests.costmodels.importers.excerpts import problems_of, shared_file, source
from tests.costmodels.models import resnet18

STATED = Given(device="board")
Event = dict[str, object]


def op(name: str, ts: float, dur: float, dims: list[list[int]], concrete: list[str] | None = None) -> Event:
    args = {"Input Dims": dims, "Input type": ["float"] * len(dims), "Concrete Inputs": concrete or [""] * len(dims)}
    return {"ph": "X", "cat": "cpu_op", "name": name, "pid": 1, "tid": 1, "ts": ts, "dur": dur, "args": args}


CONVOLUTION = ["", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "2"]


def forward(ts: float, scale: float = 1.0) -> list[Event]:
    """One run of convolution, relu, wrapped linear: nested as eager mode nests them."""
    image, weight = [2, 4, 16, 16], [8, 2, 3, 3]
    return [
        op("aten::conv2d", ts, 1000 * scale, [image, weight, [], [], [], [], []], CONVOLUTION),
        op("aten::convolution", ts + 1, 1000 * scale - 2, [image, weight, [], [], [], [], []], CONVOLUTION),
        op("aten::empty", ts + 2, 1, [[]]),
        op("aten::relu", ts + 2500, 100, [[2, 8, 8, 8]]),
        op("aten::clamp_min", ts + 2501, 90, [[2, 8, 8, 8]]),
        op("MyBlock", ts + 3000, 300, []),
        op("aten::linear", ts + 3001, 200, [[2, 8], [10, 8], [10]]),
        op("aten::addmm", ts + 3002, 190, [[10], [2, 8], [8, 10]]),
    ]


def trace(*runs: list[Event], **header: object) -> dict[str, object]:
    return {
        "schemaVersion": 1,
        "deviceProperties": [],
        **header,
        "traceEvents": [event for run in runs for event in run],
    }


RUNS = [forward(10_000, 2.4), forward(30_000, 1.0), forward(50_000, 1.5), forward(70_000, 2.0)]


@pytest.fixture(scope="module")
def profile() -> Profile:
    return import_profile([source(trace(*RUNS))], STATED)


def test_nested_operators_are_counted_once(profile: Profile) -> None:
    assert [layer.name for layer in profile.layers] == ["aten::conv2d", "aten::relu", "aten::linear"]
    times = {row.layer: row.latency_ms for row in profile.rows}
    assert times == {"aten::conv2d": 1.5, "aten::relu": 0.1, "aten::linear": 0.2}


def test_runs_are_folded_and_the_first_is_dropped(profile: Profile) -> None:
    assert (profile.runs, profile.warm_up_runs, profile.rows[0].latency_std_ms) == (3, 1, pytest.approx(0.5))
    alone = import_profile([source(trace(RUNS[0]))], STATED)
    assert (alone.runs, alone.warm_up_runs, alone.rows[0].latency_ms) == (1, 0, 2.4)


def test_shapes_and_settings_tell_the_layers(profile: Profile) -> None:
    conv, relu, linear = profile.layers
    assert (conv.op, conv.in_channels, conv.out_channels, conv.groups) == ("conv2d", 4, 8, 2)
    assert (conv.kernel, conv.stride, conv.output_size, conv.macs) == ((3, 3), (2, 2), (8, 8), 144 * 64)
    assert (relu.role, linear.op, linear.in_channels, linear.out_channels, linear.positions) == (
        "other",
        "linear",
        8,
        10,
        1,
    )
    assert (profile.batch, profile.precision) == (2, "float32")


@pytest.mark.parametrize(
    ("padding", "dilation", "stride", "size"),
    [
        ("[0, 0]", "[1, 1]", "[1, 1]", 14),
        ("[2]", "[2]", "[1]", 16),
        ("same", "[1, 1]", "[1, 1]", 16),
        ("valid", "1", "2", 7),
    ],
)
def test_the_size_of_the_output_follows_from_the_settings(padding: str, dilation: str, stride: str, size: int) -> None:
    settings_now = ["", "", "", stride, padding, dilation, "1"]
    event = op("aten::conv2d", 1, 10, [[1, 4, 16, 16], [8, 4, 3, 3], [], [], [], [], []], settings_now)
    assert import_profile([source(trace([event]))], STATED).layers[0].output_size == (size, size)


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        ("aten::linear", [[2, 7, 8], [10, 8], []]),
        ("aten::addmm", [[10], [14, 8], [8, 10]]),
        ("aten::mm", [[14, 8], [8, 10]]),
    ],
)
def test_linears_in_every_form(name: str, dims: list[list[int]]) -> None:
    found = import_profile([source(trace([op(name, 1, 10, dims)]))], Given(device="board", batch=2))
    layer = found.layers[0]
    assert (layer.op, layer.in_channels, layer.out_channels, layer.positions) == ("linear", 8, 10, 7)


def test_a_transposed_convolution_has_weights_but_no_shape_of_ours() -> None:
    settings_now = ["", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "True", "[0, 0]", "1"]
    dims = [[1, 4, 16, 16], [4, 8, 3, 3], [], [], [], [], [], [], []]
    outer, inner = op("aten::conv_transpose2d", 1, 20, dims), op("aten::convolution", 2, 10, dims, settings_now)
    layer = import_profile([source(trace([outer, inner]))], Given(device="board", batch=1)).layers[0]
    assert (layer.name, layer.role, layer.macs) == ("aten::convolution", "layer", None)


def test_what_stands_around_the_runs_is_left_out(profile: Profile) -> None:
    before, after = [op("aten::randn", 100, 50, [[]])], [op("aten::argmax", 90_000, 5, [[2, 10]])]
    assert import_profile([source(trace(before, *RUNS, after))], STATED).rows == profile.rows


def test_what_comes_before_the_first_layer_of_every_run_belongs_to_it() -> None:
    runs = [[op("aten::mul", run[0]["ts"] - 100, 40, [[2, 4, 16, 16]]), *run] for run in RUNS]  # type: ignore[operator]
    found = import_profile([source(trace([op("aten::randn", 100, 50, [[]])], *runs))], STATED)
    assert [layer.name for layer in found.layers] == ["aten::mul", "aten::conv2d", "aten::relu", "aten::linear"]


def mlp(ts: float) -> list[Event]:
    return [op("aten::linear", ts, 10, [[2, 8], [8, 8], [8]]), op("aten::relu", ts + 20, 5, [[2, 8]])]


def test_equal_layers_and_equal_runs_are_not_confused() -> None:
    found = problems_of(trace(mlp(100), mlp(200), mlp(300)), given=Given(device="board", batch=2))
    assert "repeats 1 layer(s) 3 times" in found and "prof.step()" in found


def test_a_run_that_is_cut_off_is_noticed() -> None:
    found = problems_of(trace(*RUNS, forward(90_000)[:3]), given=STATED)
    assert "repeats 2 layers, and ends after 1 of them" in found


def test_steps_mark_the_runs() -> None:
    steps = [
        {"ph": "X", "cat": "user_annotation", "name": f"ProfilerStep#{n}", "ts": 100 * n, "dur": 99, "args": {}}
        for n in range(1, 5)
    ]
    two = import_profile([source(trace(steps[:3], mlp(110), mlp(150), mlp(210), mlp(250)))], Given(device="b", batch=2))
    assert [layer.name for layer in two.layers if layer.role == "layer"] == ["aten::linear", "aten::linear #2"]
    assert (two.runs, two.warm_up_runs) == (1, 1)


def test_runs_that_differ_are_refused() -> None:
    other = copy.deepcopy(RUNS)
    other[2][3]["name"] = "aten::gelu"
    assert "operator 2 is 'aten::relu' in run 1 and 'aten::gelu' in run 3" in problems_of(trace(*other), given=STATED)
    assert "differ" in problems_of(trace(*RUNS[:2], RUNS[2][:3] + RUNS[2][5:]), given=STATED)


def test_kernels_count_where_there_is_a_device() -> None:
    events = copy.deepcopy(forward(1000))
    for number, at in enumerate((1, 4, 7)):
        launch = {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1}
        events.append(launch | {"ts": events[at]["ts"], "dur": 0.5, "args": {"correlation": number}})
        kernel = {
            "ph": "X",
            "cat": "kernel",
            "name": "k",
            "pid": 0,
            "tid": 7,
            "ts": 9000 + number,
            "dur": 500.0 + number,
        }
        events.append(kernel | {"args": {"correlation": number}})
    found = import_profile([source(trace(events, deviceProperties=[{"id": 0, "name": "some GPU"}]))])
    assert [row.latency_ms for row in found.rows] == [0.5, 0.501, 0.502]
    assert found.device == "some GPU"
    lost = [event for event in events if event["cat"] != "cuda_runtime"]
    assert "not what launched them" in problems_of(trace(lost), given=STATED)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dur": -1}, "dur is -1"),
        ({"dur": "5"}, "dur is '5'"),
        ({"ts": None}, "ts is None"),
        ({"dur": 10**400}, "digits"),
        ({"args": []}, "args that are no object"),
        ({"name": 3}, "no name"),
    ],
)
def test_a_bad_event_is_named(change: Event, said: str) -> None:
    events = copy.deepcopy(RUNS)
    events[1][0] |= change
    found = problems_of(trace(*events), given=STATED)
    assert "event 9" in found and said in found


def test_other_traces_are_refused() -> None:
    no_shapes = copy.deepcopy(RUNS[:1])
    for event in no_shapes[0]:
        del event["args"]["Input Dims"]  # type: ignore[attr-defined]
    assert "record_shapes=True" in problems_of(trace(*no_shapes), given=STATED)
    assert "no convolution or linear" in problems_of(trace(), given=STATED)
    elsewhere = [event | {"tid": 2} for event in forward(1)]
    assert "2 threads" in problems_of(trace(RUNS[0], elsewhere), given=STATED)
    training = op("autograd::engine::evaluate_function: AddmmBackward0", 20_000, 5, [[]])
    assert "no_grad" in problems_of(trace(RUNS[0], [training]), given=STATED)
    text = source(trace(*RUNS)).text
    assert "not valid JSON" in problems_of(text[:-9], given=STATED)
    assert "not valid JSON" in problems_of(text.replace("200", "Infinity", 1), given=STATED)
    assert "does not say device" in problems_of(text, given=Given())


def test_nonsense_among_the_shapes_only_leaves_them_out() -> None:
    for dims in (
        [5],
        "1x3",
        [[1, 4, 0, 16], [8, 4, 3, 3]],
        [[1, 4, 16, 16], [8, 3, 3, 3]],
        [[1, 4, 1, 1], [8, 4, 3, 3]],
    ):
        event = op("aten::conv2d", 1, 10, [[]], ["", "", "", "[1, 1]", "[0, 0]", "[1, 1]", "1"])
        event["args"] |= {"Input Dims": dims}  # type: ignore[operator]
        layer = import_profile([source(trace([event]))], Given(device="b", batch=1, precision="float32")).layers[0]
        assert (layer.role, layer.macs) == ("layer", None), dims


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=9), st.integers(1, 4), st.integers(0, 8))
def test_the_period_is_the_shortest_after_which_all_comes_again(block: list[int], count: int, more: int) -> None:
    keys = block * count + block[:more]
    assert period(keys) == next(n for n in range(1, len(keys) + 1) if keys[n:] == keys[: len(keys) - n])


def test_nothing_has_no_period() -> None:
    assert period([]) == 0


@pytest.mark.shared
def test_the_real_trace() -> None:
    found = import_profile([shared_file("profiles", "pytorch", "resnet18_chrome_trace.json")], STATED)
    assert (len(found.rows), found.runs, found.warm_up_runs, found.batch, found.precision) == (69, 2, 1, 1, "float32")
    report = match(found, resnet18())
    assert (len(report.matches), report.macs_share, report.ambiguous) == (21, 1.0, ())
    assert sum(layer.macs or 0 for layer in found.layers) == 1_814_073_344
    assert sum(row.latency_ms for row in found.rows) == pytest.approx(90.653, abs=5e-4)


@pytest.mark.shared
def test_the_real_table_for_people_is_refused() -> None:
    for name in ("resnet18_key_averages.txt", "resnet18_key_averages.json"):
        assert "nobody recognises" in problems_of(shared_file("profiles", "pytorch", name).text, given=STATED)

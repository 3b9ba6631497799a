"""Measuring: the profile has a row for every width a plan can lead to, and rewards channels only."""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from costmodels.catalogue import cost_model
from costmodels.errors import MeasureError
from costmodels.measure import campaign
from costmodels.measure.backends import BACKENDS
from costmodels.measure.backends.base import require_device
from costmodels.measure.campaign import ROUNDS, measure
from costmodels.measure.document import Measured as Found
from costmodels.measure.options import BackendName, MeasureOptions
from costmodels.measure.timing import WARM_UPS, Call, Clock, Watch, wall_watch
from costmodels.network import network_cost
from costmodels.profile import Profile
from costmodels.profile_table import ProfileTable
from pruning.graphnet import GraphNet
from pruning.layers import ModelSpec
from pruning.patterns import NM, Channel, Unstructured
from pruning.plan import PruningPlan
from pruning.trace import trace
from tests.costmodels.nets import graph_of, small_net

Measured = tuple[GraphNet, ModelSpec, Profile, list[float]]
QUICK = MeasureOptions(batch=4, budget_s=0.3)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    net = graph_of(small_net(), tmp_path_factory.mktemp("net"))
    spec = trace(net)
    fractions: list[float] = []
    threads = torch.get_num_threads()
    profile = measure(net, spec, QUICK, lambda f, _: fractions.append(f)).profile
    assert torch.get_num_threads() == threads
    return net, spec, profile, fractions


def test_it_says_what_was_measured_and_how(measured: Measured) -> None:
    _, _, profile, fractions = measured
    assert (profile.source, profile.precision, profile.batch, profile.statistic) == ("measured", "float32", 4, "p10")
    assert "1 thread" in profile.runtime
    assert profile.network_latency_ms is not None
    assert profile.network_latency_std_ms is not None
    assert (profile.tool, profile.original_unit, profile.warm_up_runs) == ("espalier measure", "ns", WARM_UPS)
    assert profile.runs is not None and profile.runs >= 2 * ROUNDS
    assert "Whole network: p10" in profile.note and "sum of the dense layers: p10" in profile.note
    assert all(row.latency_std_ms is not None for row in profile.rows)
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)


def test_every_layer_is_covered_and_removable_widths_are_rows(measured: Measured) -> None:
    _, spec, profile, _ = measured
    assert {tuple(sorted(g.producers)) for g in spec.groups if g.removable} == {("conv1",), ("conv2", "stem")}
    shapes = {(row.layer, row.in_channels, row.out_channels) for row in profile.rows}
    both = {("conv1", i, o) for i in (8, 4, 2, 1) for o in (8, 4, 2, 1)}
    assert both <= shapes
    assert {("stem", 3, o) for o in (8, 6, 4, 2, 1)} | {("fc", i, 10) for i in (8, 6, 4, 2, 1)} <= shapes
    assert len(shapes) == 2 * len(both) + 10
    priced = cost_model(profile, spec)
    assert isinstance(priced, ProfileTable)
    assert priced.report.macs_share == 1.0
    assert [(layer.name, layer.macs, layer.weights) for layer in profile.layers] == [
        (layer.name, layer.macs, layer.weights) for layer in spec.layers
    ]


def test_the_dense_price_is_the_measured_network(measured: Measured) -> None:
    _, spec, profile, _ = measured
    dense = network_cost(spec, PruningPlan(pruner="magnitude"), cost_model(profile, spec))
    assert dense.latency_ms == pytest.approx(profile.network_latency_ms)


def test_zeros_cost_dense_time_on_a_measured_profile(measured: Measured) -> None:
    _, spec, profile, _ = measured
    priced = cost_model(profile, spec)
    dense_ms = network_cost(spec, PruningPlan(pruner="magnitude"), priced).latency_ms
    for pattern in (Unstructured(0.95), NM(2, 4)):
        plan = PruningPlan(pruner="magnitude", patterns={"conv1": pattern, "fc": pattern})
        assert network_cost(spec, plan, priced).latency_ms == pytest.approx(dense_ms)
    half = PruningPlan(pruner="magnitude", patterns={"conv1": Channel(0.5)})
    cost = network_cost(spec, half, priced).layers["conv1"]
    assert cost.source == "measured"
    assert cost.derivation in ("exact", "scaled", "dense_fallback")


def test_it_travels_as_json_and_csv(measured: Measured) -> None:
    profile = measured[2]
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile
    assert Profile.from_csv(profile.to_csv()) == profile


def test_the_net_is_left_alone(measured: Measured) -> None:
    net = measured[0]
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    measure(net, measured[1], MeasureOptions(batch=2, budget_s=0.05))
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_another_statistic_gives_other_latencies_of_the_same_samples(measured: Measured) -> None:
    net, spec, _, _ = measured
    found = measure(net, spec, MeasureOptions(batch=2, budget_s=0.05, statistic="median"))
    assert found.profile.statistic == "median"
    assert found.profile.network_latency_ms == found.network.median_ms >= found.network.p10_ms
    dense = {row.layer: row.latency_ms for row in reversed(found.profile.rows)}  # each layer's first row is the dense
    assert found.layer_sums_ms["median"] == pytest.approx(sum(dense.values()))
    assert found.layer_sums_ms["median"] >= found.layer_sums_ms["p10"]


@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("compile", marks=pytest.mark.slow)])
def test_every_backend_gives_a_profile_that_prices_its_model(measured: Measured, backend: BackendName) -> None:
    net, spec, eager, _ = measured
    pytest.importorskip("onnxruntime")
    found = measure(
        net, spec, MeasureOptions(batch=4, budget_s=0.3 if backend == "onnxruntime" else 0.05, backend=backend)
    )
    assert backend.replace("eager", "torch") in found.profile.runtime
    if not found.warnings or "narrower" not in found.warnings[-1]:
        assert [row.key for row in found.profile.rows] == [row.key for row in eager.rows]
    dense = network_cost(spec, PruningPlan(pruner="magnitude"), cost_model(found.profile, spec))
    assert dense.latency_ms == pytest.approx(found.profile.network_latency_ms)


def test_a_device_that_is_not_there_is_refused_with_the_way_out(measured: Measured) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(MeasureError, match=r"no CUDA device on this machine.*measure on cpu"):
        measure(measured[0], measured[1], MeasureOptions(device="cuda"))
    require_device(torch.device("cpu"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"backend": "tensorrt"}, {"device": "tpu"}, {"statistic": "mean"}, {"precision": "int8"}, {"batch": 0},
        {"threads": 0}, {"budget_s": 0.0}, {"budget_s": float("nan")}, {"precision": "float16"},
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MeasureError):
        MeasureOptions(**wrong)


class Scripted:
    """A machine in the test's hands: the net takes 100 ms, a layer 1 ms for each output channel, others work too."""

    prepares_slowly = False
    original_unit = "ns"
    runtime = "scripted"

    def __init__(self, slow: bool = False, others: float = 0.0) -> None:
        self.now, self.prepares_slowly, self.others = 0.0, slow, others
        self.log: list[str] = []

    def wall_ns(self) -> int:
        return round(self.now * 1e6)

    process_ns = wall_ns

    def machine_ns(self) -> int:
        return round((1.0 + self.others) * self.now * 1e6)

    def _call(self, name: str, takes_ms: Callable[[], float]) -> Call:
        def call() -> None:
            self.now += takes_ms()
            self.log.append(name)

        return call

    def layer(self, problem: Any, copies: int = 1) -> Call:
        self.now += 1000.0 if self.prepares_slowly else 0.0
        name, width = problem.layer.name, problem.layer.out_channels
        times = self._times(width)
        return self._call(name, lambda: copies * next(times))

    def _times(self, width: int) -> Iterator[float]:
        """Every third call is disturbed."""
        while True:
            yield from (width, width, 3.0 * width)

    def network(self, _net: Any, _inputs: Any) -> Call:
        return self._call("net", lambda: 100.0)

    def empty(self) -> Call:
        return self._call("empty", lambda: 0.0)

    def watch(self, clock: Clock) -> Watch:
        return wall_watch(clock)

    def running(self) -> Any:
        return nullcontext()


def scripted(monkeypatch: pytest.MonkeyPatch, measured: Measured, machine: Scripted, **options: Any) -> Found:
    made = {**BACKENDS, "eager": lambda _place: machine}
    monkeypatch.setattr(campaign, "BACKENDS", made)
    return measure(measured[0], measured[1], MeasureOptions(batch=2, **options), clock=machine)


def test_latencies_are_those_of_the_undisturbed_calls(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    found = scripted(monkeypatch, measured, Scripted(), budget_s=4.0)
    assert all(row.latency_ms == row.out_channels for row in found.profile.rows)
    assert (found.profile.network_latency_ms, found.profile.network_latency_std_ms) == (100.0, 0.0)
    assert found.layer_sums_ms == {"p10": 8 + 8 + 8 + 10, "median": 8 + 8 + 8 + 10}
    assert (found.profile.runtime, found.warnings) == ("scripted, 1 thread", ())


def test_shapes_take_turns_in_the_same_order_each_round(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    machine = Scripted()
    found = scripted(monkeypatch, measured, machine, budget_s=0.001)
    whole = [index for index, name in enumerate(machine.log) if name == "net"]
    rounds = [machine.log[at:] for at in whole if at == 0 or machine.log[at - 1] != "net"]
    turns = [rounds[n][: len(rounds[n]) - len(rounds[n + 1])] for n in range(ROUNDS - 1)] + [rounds[-1]]
    assert len(turns) == ROUNDS and turns[0] == turns[1] == turns[2] == turns[3]
    assert turns[0][: WARM_UPS + 2] == ["net"] * (WARM_UPS + 2)  # warm-ups and two samples
    shapes = len({(r.layer, r.in_channels, r.out_channels) for r in found.profile.rows})
    assert len(turns[0]) >= (WARM_UPS + 2) * (1 + shapes // 2)  # conv1 and conv2 share no tail but some do


def test_a_slow_compiler_leaves_narrow_shapes_out_and_says_so(
    monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    found = scripted(monkeypatch, measured, Scripted(slow=True), budget_s=1.0)
    spec = measured[1]
    full = {(layer.name, layer.in_channels, layer.out_channels) for layer in spec.layers}
    rows = {(row.layer, row.in_channels, row.out_channels) for row in found.profile.rows}
    assert full < rows and len(rows) < len(measured[2].rows)
    assert "narrower shapes were not measured" in found.warnings[-1]
    assert found.warnings[-1][1:] in found.profile.note


def test_a_busy_machine_is_said_in_the_profile(monkeypatch: pytest.MonkeyPatch, measured: Measured) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    found = scripted(monkeypatch, measured, Scripted(others=2.5), budget_s=0.01)
    assert found.warnings == (
        "the machine was busy: other processes used 2.5 of its 4 processors. Measure again when it is quiet",
    )
    assert "The machine was busy: other processes used 2.5" in found.profile.note


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_two_of_four_rows_stand_beside_their_dense_time() -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        net = graph_of(small_net(), Path(folder))
    options = MeasureOptions(batch=64, device="cuda", precision="float16", budget_s=0.5)
    profile = measure(net, trace(net), options).profile
    assert profile.original_unit == "ms"
    dense = {(r.layer, r.in_channels, r.out_channels): r.latency_ms for r in profile.rows if r.pattern == "dense"}
    for row in profile.rows:
        if row.pattern != "dense":
            assert row.pattern == "keep2of4" and row.dense_ms == dense[row.layer, row.in_channels, row.out_channels]

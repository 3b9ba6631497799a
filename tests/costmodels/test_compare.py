"""Networks in turns: the clock decides, not the order; a smaller net is measured smaller."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from costmodels.measure import compare as module
from costmodels.measure.backends import BACKENDS
from costmodels.measure.compare import ROUNDS, compare
from costmodels.measure.options import MeasureOptions
from costmodels.measure.timing import Call, Clock, Watch, wall_watch
from pruning.export import cut_channels
from pruning.graphnet import GraphNet
from pruning.trace import trace
from tests.costmodels.nets import graph_of, small_net


class Hands(Clock):
    """A clock that moves when a call says so."""

    def __init__(self) -> None:
        self.ns = 0

    def wall_ns(self) -> int:
        return self.ns

    def process_ns(self) -> int:
        return self.ns

    def machine_ns(self) -> int:
        return self.ns


class Fake:
    """A backend whose networks take as long as they have parameters, in microseconds."""

    runtime, original_unit, prepares_slowly = "fake 1", "ns", False
    turns: list[int]

    def __init__(self, clock: Hands) -> None:
        self.clock, self.turns = clock, []

    def running(self) -> Any:
        return nullcontext()

    def watch(self, clock: Clock) -> Watch:
        return wall_watch(clock)

    def empty(self) -> Call:
        return lambda: None

    def network(self, net: GraphNet, _inputs: Any) -> Call:
        count = sum(p.numel() for p in net.parameters())

        def call() -> None:
            self.clock.ns += 1000 * count
            self.turns.append(count)

        return call


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, GraphNet]:
    net = graph_of(small_net(), tmp_path_factory.mktemp("net"))
    spec = trace(net)
    group = next(group for group in spec.groups if group.removable)
    return {"dense": net, "pruned": cut_channels(net, spec, {group.name: [0]})}


def test_each_round_gives_every_network_a_turn(nets: dict[str, GraphNet], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Hands()
    fake = Fake(clock)
    monkeypatch.setattr(module, "BACKENDS", {"eager": lambda _place: fake})
    found = compare(nets, MeasureOptions(batch=2, budget_s=0.001), clock=clock)
    sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    for name, size in sizes.items():
        assert found.timings[name].median_ms == pytest.approx(size / 1000)
        assert found.timings[name].std_ms == pytest.approx(0)
        assert found.timings[name].runs >= 2 * ROUNDS
    changes = sum(a != b for a, b in zip(fake.turns, fake.turns[1:], strict=False))
    assert changes >= 2 * ROUNDS - 1
    assert (found.runtime, found.warning) == ("fake 1", "")


@pytest.mark.parametrize("backend", ["eager", "onnxruntime"])
def test_real_backends_measure_both_and_leave_them_alone(nets: dict[str, GraphNet], backend: Any) -> None:
    if backend == "onnxruntime":
        pytest.importorskip("onnxruntime")
    assert backend in BACKENDS
    before = {name: tensor.clone() for name, tensor in nets["dense"].state_dict().items()}
    told: list[float] = []
    found = compare(nets, MeasureOptions(batch=2, budget_s=0.05, backend=backend), lambda f, _: told.append(f))
    assert set(found.timings) == {"dense", "pruned"}
    assert all(timing.p10_ms > 0 and timing.median_ms >= timing.p10_ms for timing in found.timings.values())
    assert told == sorted(told)
    assert all(torch.equal(tensor, before[name]) for name, tensor in nets["dense"].state_dict().items())

"""Measuring: the profile has a row for every width a plan can lead to, and rewards channels only."""

import json

import pytest
import torch

from costmodels.catalogue import ProfileTable, cost_model, network_cost
from costmodels.measure import measure
from costmodels.profile import Profile
from pruning.graphnet import GraphNet
from pruning.layers import ModelSpec
from pruning.patterns import NM, Channel, Unstructured
from pruning.plan import PruningPlan
from pruning.trace import trace
from tests.costmodels.nets import graph_of, small_net

Measured = tuple[GraphNet, ModelSpec, Profile, list[float]]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    net = graph_of(small_net(), tmp_path_factory.mktemp("net"))
    spec = trace(net)
    fractions: list[float] = []
    threads = torch.get_num_threads()
    profile = measure(net, spec, batch=4, threads=1, budget_s=0.3, report=lambda f, _: fractions.append(f))
    assert torch.get_num_threads() == threads
    return net, spec, profile, fractions


def test_it_says_what_was_measured_and_how(measured: Measured) -> None:
    _, _, profile, fractions = measured
    assert (profile.source, profile.precision, profile.batch, profile.statistic) == ("measured", "float32", 4, "p10")
    assert "1 thread" in profile.runtime
    assert profile.network_latency_ms is not None
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
    measure(net, measured[1], batch=2, budget_s=0.05)
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())

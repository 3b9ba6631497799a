"""fvcore against closed forms and against the shapes of a traced model."""

from pathlib import Path

import pytest
import torch
from torch import nn

from costmodels.macs import count_macs, disagreement, layer_macs
from pruning.graphnet import GraphNet
from pruning.layers import ModelSpec
from pruning.trace import trace
from tests.costmodels.nets import graph_of, read_net, small_net


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[GraphNet, ModelSpec]:
    net = graph_of(small_net(), tmp_path_factory.mktemp("net"))
    return net, trace(net)


def test_two_counters_agree_on_a_traced_net(traced: tuple[GraphNet, ModelSpec]) -> None:
    net, spec = traced
    count = count_macs(net, torch.zeros(2, 3, 8, 8))
    closed = 8 * 8 * 3 * 8 * 9 + 2 * 8 * 8 * 8 * 8 * 9 + 8 * 10
    assert count.total_macs == spec.macs == sum(layer_macs(spec).values()) == closed
    assert disagreement(count, spec) == ""


def test_counting_leaves_the_net_as_it_was(traced: tuple[GraphNet, ModelSpec]) -> None:
    net, _ = traced
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    count_macs(net, torch.randn(2, 3, 8, 8))
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_batch_norm_is_not_counted_and_the_batch_does_not_matter() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5))
    for batch in (1, 7):
        count = count_macs(module, torch.zeros(batch, 3, 8, 8))
        assert count.total_macs == 3 * 4 * 9 * 36 + 144 * 5


def test_a_difference_is_said_in_words(traced: tuple[GraphNet, ModelSpec]) -> None:
    _, spec = traced
    count = count_macs(nn.Linear(4, 4), torch.zeros(1, 4))
    assert "unknown to fvcore" in disagreement(count, spec)


@pytest.mark.shared
def test_the_real_network_agrees(tmp_path: Path) -> None:
    shared = Path(__file__).parents[2] / ".." / "shared" / "data" / "cifar10-jpeg" / "resnet20.pt2"
    if not shared.exists():
        pytest.skip("the shared ResNet-20 is not beside this checkout")
    net = read_net(shared, tmp_path)
    spec = trace(net)
    assert count_macs(net, torch.zeros(1, 3, 32, 32)).total_macs == spec.macs

"""fvcore against closed forms and against the shapes of a traced model."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from costmodels.macs import count_macs, disagreement, hooked_macs
from pruning.graphnet import GraphNet
from pruning.layers import ModelSpec
from pruning.trace import trace
from tests.costmodels.models import resnet18
from tests.costmodels.nets import graph_of, read_net, small_net


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> tuple[GraphNet, ModelSpec]:
    net = graph_of(small_net(), tmp_path_factory.mktemp("net"))
    return net, trace(net)


def test_two_counters_agree_on_a_traced_net(traced: tuple[GraphNet, ModelSpec]) -> None:
    net, spec = traced
    count = count_macs(net, torch.zeros(2, 3, 8, 8))
    closed = 8 * 8 * 3 * 8 * 9 + 2 * 8 * 8 * 8 * 8 * 9 + 8 * 10
    assert count.total_macs == spec.macs == sum(layer.macs for layer in spec.layers) == closed
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


class _Rows(nn.Module):
    """Counts its samples, as masks of attention do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1)) + torch.arange(x.shape[0])[:, None]


def test_a_graph_that_counts_its_samples_is_counted(tmp_path: Path) -> None:
    net = graph_of(_Rows(), tmp_path)
    assert count_macs(net, torch.zeros(2, 3, 8, 8)).total_macs == 192 * 4


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


class Attention(nn.Module):
    """Self-attention of 4 heads over tokens of width 16."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.fused = nn.Linear(16, 48), nn.Linear(16, 16), fused

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, length, _ = tokens.shape
        query, key, value = (one.view(batch, length, 4, 4).transpose(1, 2) for one in self.qkv(tokens).chunk(3, dim=-1))
        if self.fused:
            mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        else:
            mixed = torch.softmax(query @ key.transpose(-1, -2) / 2.0, dim=-1) @ value
        return self.out(mixed.transpose(1, 2).reshape(batch, length, 16))


@pytest.mark.parametrize("fused", [True, False])
def test_attention_is_counted_apart_by_both_counters(fused: bool) -> None:
    net, tokens = Attention(fused=fused), torch.randn(3, 7, 16)
    for count in (count_macs(net, tokens), hooked_macs(net, tokens)):
        assert count.total_macs == 7 * 16 * 48 + 7 * 16 * 16
        assert count.attention_macs == 2 * 4 * 7 * 7 * 4


def test_torchs_fused_attention_is_divided_into_both() -> None:
    count = hooked_macs(Fused(), torch.randn(3, 7, 16))
    assert (count.total_macs, count.attention_macs) == (4 * 7 * 16 * 16, 2 * 7 * 7 * 16)


class Fused(nn.Module):
    """Self-attention as torch runs it in eval mode: one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6),
        nn.ConvTranspose2d(6, 4, 3, stride=2),
        nn.Sequential(nn.Flatten(2), nn.Conv1d(6, 5, 3)),
        nn.Linear(9, 5),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_the_hook_and_fvcore_agree_on_every_kind_of_layer(layer: nn.Module) -> None:
    image = torch.randn(2, 6, 9, 9)
    assert hooked_macs(layer, image).total_macs == count_macs(layer, image).total_macs > 0


def test_three_counters_agree_on_resnet18() -> None:
    """1,814,073,344: fvcore's convolutions and linear, the hook, and half of torch's own counter."""
    net, image = ResNet18(), torch.zeros(1, 3, 224, 224)
    with FlopCounterMode(display=False) as torchs, torch.no_grad():
        net.eval()(image)
    counts = {count_macs(net, image).total_macs, hooked_macs(net, image).total_macs, torchs.get_total_flops() // 2}
    assert counts == {1_814_073_344} == {resnet18().macs}


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.down = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv2(torch.relu(self.conv1(image))) + self.down(image))


class ResNet18(nn.Module):
    """He et al. 2016, without norms: they hold no multiply-adds that are counted."""

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 64, 128, 256, 512)
        blocks = [
            Block(a if first else b, b, 2 if first and stage > 1 else 1)
            for stage, (a, b) in enumerate(pairwise(widths), start=1)
            for first in (True, False)
        ]
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.MaxPool2d(3, 2, 1))
        self.body = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(self.stem(image))

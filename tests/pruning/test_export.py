import json
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from pruning import graphnet
from pruning.apply import prune
from pruning.errors import GroupError
from pruning.export import cut_channels, export_program, named_state
from pruning.graphnet import GraphNet
from pruning.intake.reader import read_exported_program, write_model
from pruning.patterns import Channel
from pruning.plan import PruningPlan
from pruning.trace import trace
from tests.pruning.graphs import check_cut, half, load_net, stir
from tests.pruning.intake.exporting import Lambda
from tests.pruning.random_graphs import random_nets

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "cifar10-jpeg" / "resnet20.pt2"


def _chain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3),
        nn.Sigmoid(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(5 * 4, 8),
        nn.GELU(),
        nn.Linear(8, 3),
    )


class Block(nn.Module):
    """A residual block with a projection, and one without."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.second, self.project = nn.Conv2d(6, 8, 3, padding=1), nn.Conv2d(4, 8, 1)
        self.norm = nn.BatchNorm2d(8)
        self.third = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = functional.relu(self.norm(self.second(self.first(x).relu())) + self.project(x))
        return self.head((self.third(x) + x).mean((2, 3)))


def _inverted() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 1),
        nn.Conv2d(4, 8, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 5, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )


class Dense(nn.Module):
    """Concatenation, normalised and squeezed by a gate of its own channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.norm, self.c = nn.BatchNorm2d(10), nn.Conv2d(10, 6, 1)
        self.down, self.up = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)
        self.head = nn.Linear(6 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        x = self.c(self.norm(torch.cat([a, self.b(a)], 1)).relu())
        gate = self.up(self.down(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return self.head((x * gate).reshape(x.shape[0], -1, 9).reshape(-1, 6 * 36))


class Tokens(nn.Module):
    """A transformer's feed-forward part over patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(2, 8, 3, stride=3)
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        return self.head((x + self.down(functional.gelu(self.up(self.norm(x))))).mean(1))


def _signal() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.norm(m.a(x.flatten(2))).relu()
        return m.c(functional.max_pool1d(m.b(x), 2).view(-1, 4 * 16))

    layers = {
        "a": nn.Conv1d(2, 6, 5),
        "norm": nn.BatchNorm1d(6),
        "b": nn.Conv1d(6, 4, 1),
        "c": nn.Linear(64, 3),
    }
    return Lambda(forward, **layers)


ZOO: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "chain": (_chain, ["0", "3", "7"]),
    "residual": (Block, ["stem", "first", "second"]),
    "depthwise": (_inverted, ["0", "1", "7"]),
    "dense": (Dense, ["a", "b", "c", "down"]),
    "tokens": (Tokens, ["up"]),
    "signal": (_signal, ["a", "b"]),
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, GraphNet]:
    x = torch.randn(2, 2, 6, 6)
    return {name: load_net(stir(make()).eval(), (x,), tmp_path_factory.mktemp(name)) for name, (make, _) in ZOO.items()}


@pytest.mark.parametrize("name", ZOO)
def test_cut_equals_masked(nets: dict[str, GraphNet], name: str) -> None:
    spec = trace(nets[name])
    assert [g.name.removesuffix(" channels") for g in spec.groups if g.removable] == ZOO[name][1]
    x = torch.randn(5, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    for seed in range(3):
        check_cut(nets[name], half(spec, seed), x, 1e-5)
    one = {next(iter(half(spec))): [0]}
    check_cut(nets[name], one, x, 1e-5)
    everything = {g.name: list(range(g.channels)) for g in spec.groups if g.removable}
    assert cut_channels(nets[name], spec, everything).document == nets[name].document


def test_residual_channels_go_together(nets: dict[str, GraphNet]) -> None:
    groups = {g.name: g for g in trace(nets["residual"]).groups}
    assert groups["second channels"].producers == ("second", "project", "third")
    assert groups["second channels"].consumers == ("third", "head")


def test_depthwise_layers_follow_and_shrink_their_groups(nets: dict[str, GraphNet]) -> None:
    spec = trace(nets["depthwise"])
    group = next(g for g in spec.groups if g.name == "1 channels")
    assert group.producers == ("1", "4") and group.consumers == ("7",)
    assert [(f.argument, f.index, f.repeat) for f in group.size_fixes] == [("groups", None, 1)]
    smaller = cut_channels(nets["depthwise"], spec, {group.name: [1, 2, 5]})
    found = trace(smaller).layer("4")
    assert (found.in_channels, found.out_channels, found.groups) == (3, 3, 3)


def test_cat_offsets_and_flatten_repeats(nets: dict[str, GraphNet]) -> None:
    spec = trace(nets["dense"])
    names = {p.id: p.name for p in nets["dense"].document.parameters}
    b = next(g for g in spec.groups if g.name == "b channels")
    assert {(names[c.parameter], c.offset) for c in b.cuts if c.offset} == {
        ("c.weight", 4), *((f"norm.{p}", 4) for p in ("weight", "bias", "running_mean", "running_var"))
    }  # fmt: skip
    c = next(g for g in spec.groups if g.name == "c channels")
    assert [x.repeat for x in c.cuts if names[x.parameter] == "head.weight"] == [36]


def test_a_smaller_net_trains_copies_and_keeps_its_mode(nets: dict[str, GraphNet]) -> None:
    net = deepcopy(nets["chain"]).train()
    smaller = cut_channels(net, trace(net), half(trace(net)))
    assert smaller.training
    deepcopy(smaller)(torch.randn(4, 2, 6, 6)).sum().backward()
    smaller(torch.randn(4, 2, 6, 6)).sum().backward()
    assert all(p.grad is not None for p in smaller.parameters())
    assert not {t.data_ptr() for t in net.state_dict().values()} & {t.data_ptr() for t in smaller.state_dict().values()}


def test_parametrised_weights_are_cut_and_exported_as_they_compute(nets: dict[str, GraphNet], tmp_path: Path) -> None:
    class Negate(nn.Module):
        def forward(self, value: Tensor) -> Tensor:
            return -value

    net, plain = deepcopy(nets["chain"]), deepcopy(nets["chain"])
    spec = trace(net)
    parameter = spec.layers[0].parameter
    parametrize.register_parametrization(net, parameter, Negate(), unsafe=True)
    with torch.no_grad():
        getattr(plain, parameter).neg_()
    x = torch.randn(3, 2, 6, 6)
    with torch.no_grad():
        assert torch.equal(cut_channels(net, spec, half(spec))(x), cut_channels(plain, spec, half(spec))(x))
    export_program(net, tmp_path / "model.pt2")
    document, _ = read_exported_program(tmp_path / "model.pt2")
    assert [n.op for n in document.nodes] == [n.op for n in net.document.nodes]


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"nothing": [0]}, "'nothing' is no channel group; the groups are"),
        ({"9 channels": [0]}, "'9 channels' cannot lose channels: the channels are the model's outputs"),
        ({"0 channels": []}, "between 1 and 6 different channels, numbered from 0 to 5"),
        ({"0 channels": [0, 0]}, "different"),
        ({"0 channels": [6]}, "numbered from 0 to 5"),
        ({"0 channels": [-1]}, "numbered from 0 to 5"),
    ],
)
def test_impossible_cuts_are_refused(nets: dict[str, GraphNet], kept: dict[str, list[int]], message: str) -> None:
    with pytest.raises(GroupError, match=message):
        cut_channels(nets["chain"], trace(nets["chain"]), kept)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(net=random_nets(), seed=st.integers(0, 9))
def test_cut_equals_masked_on_random_graphs(net: GraphNet, seed: int) -> None:
    kept = half(trace(net), seed)
    assert "hidden channels" in kept
    x = torch.randn(3, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    check_cut(net, kept, x, 1e-9)


def test_exported_program_reads_back_the_same(nets: dict[str, GraphNet], tmp_path: Path) -> None:
    net = nets["depthwise"]
    smaller = cut_channels(net, trace(net), half(trace(net)))
    for given_net in (net, smaller):
        path = tmp_path / "model.pt2"
        export_program(given_net, path)
        document, raw = read_exported_program(path)
        write_model(document, raw, tmp_path)
        found = graphnet.load(tmp_path).eval()
        for batch in (1, 3):
            x = torch.randn(batch, 2, 6, 6)
            with torch.no_grad():
                torch.testing.assert_close(found(x), given_net(x), rtol=1e-5, atol=1e-6)
        assert trace(found).macs == trace(given_net).macs


def test_exported_program_is_standard_and_carries_the_names_beside(nets: dict[str, GraphNet], tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    export_program(nets["chain"].train(), path)
    assert nets["chain"].training
    nets["chain"].eval()
    x = torch.randn(3, 2, 6, 6)
    with torch.no_grad():
        found = torch.export.load(path).module()(x)
        torch.testing.assert_close(found, nets["chain"](x), rtol=1e-5, atol=1e-6)
    with zipfile.ZipFile(path) as archive:
        (member,) = [n for n in archive.namelist() if n.endswith("names.json")]
        names = json.loads(archive.read(member))
    assert names == {p.id: p.name for p in nets["chain"].document.parameters}


def test_named_state_loads_into_the_module(nets: dict[str, GraphNet]) -> None:
    module = Dense()
    module.load_state_dict(named_state(nets["dense"]))
    x = torch.randn(3, 2, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(nets["dense"](x), module.eval()(x), rtol=1e-5, atol=1e-5)


def test_named_state_has_every_name_of_a_tied_tensor(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    state = named_state(load_net(tied.eval(), (torch.randn(2, 4),), tmp_path))
    assert set(state) == set(tied.state_dict())
    assert state["0.weight"].data_ptr() != state["1.weight"].data_ptr()


@pytest.mark.shared
def test_cut_equals_masked_on_the_shared_resnet(tmp_path: Path) -> None:
    if not SHARED.exists():
        pytest.skip("the shared ResNet-20 is not beside the checkout")
    document, raw = read_exported_program(SHARED)
    write_model(document, raw, tmp_path)
    net = graphnet.load(tmp_path).eval()
    spec = trace(net)
    removable = {g.name: g.channels for g in spec.groups if g.removable}
    inner = {f"layer{s}.{block}.conv1 channels": 8 << s for s in (1, 2, 3) for block in range(3)}
    # the shortcuts pad with zeros on both sides, so a stage holds the channels of the one before in its middle
    stages = {"layer2.0.conv2 channels 0-7": 8, "layer2.0.conv2 channels 24-31": 8}
    stages |= {"layer3.0.conv2 channels 0-15": 16, "layer3.0.conv2 channels 48-63": 16}
    assert removable == {"conv1 channels": 16, **inner, **stages}
    check_cut(net, half(spec), torch.randn(4, 3, 32, 32), 1e-5)
    family = spec.family_of("conv1")  # a plan on one of its layers is one on all stages, whose channels it ties
    assert [group.name for group in family] == ["conv1 channels", *stages]
    plan = PruningPlan(
        pruner="magnitude", patterns={name: Channel(0.5) for group in family for name in group.producers}
    )
    pruned = prune(net, spec, plan)
    assert {group.name: group.kept for group in pruned.report.groups} == {g.name: g.channels // 2 for g in family}
    smaller = cut_channels(pruned.net, spec, pruned.kept).eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(smaller(x), pruned.net(x), rtol=1e-5, atol=1e-5)

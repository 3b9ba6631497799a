from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning import graphnet
from pruning.errors import GroupError
from pruning.export import export_program
from pruning.graphnet import GraphNet
from pruning.intake.document import Ref
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.trace import trace
from pruning.upscale import Upscaled, strongest_inputs, upscale
from tests.pruning.graphs import Builder, load_net, stir
from tests.pruning.random_graphs import random_nets


def blinded(net: GraphNet, spec: ModelSpec, inputs: dict[str, list[int]]) -> GraphNet:
    """The oracle: a copy in which each layer's other inputs count nothing."""
    found = deepcopy(net)
    with torch.no_grad():
        for name, kept in inputs.items():
            layer = spec.layer(name)
            gone = torch.tensor(sorted(set(range(layer.in_channels)) - set(kept)), dtype=torch.int64)
            getattr(found, layer.parameter).index_fill_(layer.input_dim, gone, 0)
    return found


def check(net: GraphNet, inputs: dict[str, list[int]], x: Tensor, tolerance: float) -> Upscaled:
    spec = trace(net)
    found = upscale(net, spec, inputs)
    with torch.no_grad():
        torch.testing.assert_close(found.net(x), blinded(net, spec, inputs)(x), rtol=tolerance, atol=tolerance)
    assert found.copies <= found.copies_unordered
    ops = [node.op for node in found.net.document.nodes]
    assert ops.count("aten.index_select.default") == found.copies
    return found


def choosing(net: GraphNet, generator: torch.Generator) -> dict[str, list[int]]:
    """Random inputs for every layer that may choose, whole channels each."""
    spec = trace(net)
    found: dict[str, list[int]] = {}
    for name, inputs in strongest_inputs(net, spec, 0.0).items():
        layer = spec.layer(name)
        cuts = [(c, g) for g in spec.groups for c in g.cuts if (c.parameter, c.role) == (layer.parameter, "consumer")]
        units = [
            list(range(c.offset + i * c.repeat, c.offset + (i + 1) * c.repeat))
            for c, g in cuts
            for i in range(g.channels)
        ]
        picked = [unit for unit in units if torch.rand(1, generator=generator) < 0.6] or units[:1]
        found[name] = sorted(index for unit in picked for index in unit)
        assert inputs == sorted(index for unit in units for index in unit)
    return found


def branches(*wanted: list[int], channels: int = 6) -> tuple[GraphNet, dict[str, list[int]]]:
    """One layer, and readers that each want some of its channels."""
    b = Builder(3, 4, 4)
    value = b.norm(b.conv(b.x, "stem", 3, channels), "norm", channels)
    out = b.conv(value, "reader0", channels, 2)
    for number in range(1, len(wanted)):
        out = b.call("add.Tensor", self=out, other=b.conv(value, f"reader{number}", channels, 2))
    return b.net(out), {f"reader{number}": list(kept) for number, kept in enumerate(wanted)}


def maps(seed: int = 0, *, size: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 3, size, size, dtype=torch.float64, generator=generator)


def test_overlapping_wishes_become_views() -> None:
    net, inputs = branches([0, 2, 4], [1, 2, 3])
    found = check(net, inputs, maps(), 1e-12)
    assert (found.copies, found.copies_avoided) == (0, 1)
    assert [(read.layer, read.kind, read.channels) for read in found.reads] == [
        ("reader0", "view", 3),
        ("reader1", "view", 3),
    ]
    layers = {layer.name: layer for layer in trace(found.net).layers}
    assert layers["stem"].out_channels == 5  # nobody reads channel 5
    assert layers["reader0"].in_channels == layers["reader1"].in_channels == 3


def test_wishes_in_a_circle_cost_one_copy() -> None:
    net, inputs = branches([0, 1], [1, 2], [0, 2], channels=3)
    found = check(net, inputs, maps(), 1e-12)
    assert (found.copies, found.copies_unordered) == (1, 1)


def test_equal_wishes_are_ordinary_removal() -> None:
    net, inputs = branches([1, 4], [1, 4])
    found = check(net, inputs, maps(), 1e-12)
    assert {read.kind for read in found.reads} == {"whole"}
    assert [node.op for node in found.net.document.nodes] == [node.op for node in net.document.nodes]


def test_a_reader_that_is_not_named_reads_all() -> None:
    net, inputs = branches([0, 3, 5], [1])
    found = check(net, {"reader0": inputs["reader0"]}, maps(), 1e-12)
    assert trace(found.net).layer("stem").out_channels == 6
    assert [read.kind for read in found.reads] == ["view"]


def test_channels_that_cannot_go_are_still_picked() -> None:
    b = Builder(3, 4, 4)
    value = b.conv(b.x, "stem", 3, 6)
    soft = b.call("softmax.int", self=value, dim=1)
    total = b.call("add.Tensor", self=b.conv(value, "one", 6, 2), other=b.conv(soft, "two", 6, 2))
    net = b.net(total)
    found = check(net, {"one": [1, 2]}, maps(), 1e-12)
    assert [read.kind for read in found.reads] == ["view"]
    assert check(net, {"one": [0, 2]}, maps(), 1e-12).copies == 1
    assert trace(found.net).layer("stem").out_channels == 6


class DenseNet(nn.Module):
    """Each layer reads what all before it made, through a norm of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6 + 4 * i) for i in range(4))
        self.layers = nn.ModuleList(nn.Conv2d(6 + 4 * i, 4, 3, padding=1) for i in range(3))
        self.head = nn.Linear(18, 3)

    def forward(self, x: Tensor) -> Tensor:
        made = [self.stem(x)]
        for norm, layer in zip(self.norms, self.layers, strict=False):
            made.append(layer(norm(torch.cat(made, dim=1)).relu()))
        return self.head(self.norms[3](torch.cat(made, dim=1)).relu().mean((2, 3)))


def test_a_dense_network_picks_before_its_concatenations(tmp_path: Path) -> None:
    net = load_net(stir(DenseNet()).eval(), (torch.randn(2, 3, 4, 4),), tmp_path)
    spec = trace(net)
    for sparsity, copies in ((0.3, (1, 3)), (0.5, (1, 3))):
        inputs = strongest_inputs(net, spec, sparsity)
        found = check(net, inputs, maps().float(), 1e-5)
        assert (found.copies, found.copies_unordered) == copies
    norms = [n for n in found.net.document.nodes if n.op == "aten.batch_norm.default"]
    sizes = {p.id: p.shape for p in found.net.document.parameters}
    kept = [len(inputs[f"layers.{i}"]) for i in range(3)]
    assert [sizes[n.args["weight"].id][0] for n in norms if isinstance(n.args["weight"], Ref)][:3] == kept


class Skips(nn.Module):
    """Residual blocks with a projection, flattened at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.one, self.two, self.three = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))
        self.head = nn.Linear(8 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        x = (x + self.two(self.one(x).relu())).relu()
        x = x + self.three(x)
        return self.head(nn.functional.avg_pool2d(x, 2).flatten(1))


def test_residual_readers_choose_freely_and_the_result_exports(tmp_path: Path) -> None:
    net = load_net(stir(Skips()).eval(), (torch.randn(2, 3, 4, 4),), tmp_path)
    inputs = strongest_inputs(net, trace(net), 0.5)
    assert set(inputs) == {"one", "two", "three", "head"}
    found = check(net, inputs, maps().float(), 1e-5)
    export_program(found.net, tmp_path / "smaller.pt2")
    write_model(*read_exported_program(tmp_path / "smaller.pt2"), tmp_path)
    with torch.no_grad():
        again = graphnet.load(tmp_path).eval()(maps().float())
        torch.testing.assert_close(again, found.net(maps().float()), rtol=1e-5, atol=1e-6)


REFUSED: dict[str, tuple[Callable[[], dict[str, list[int]]], str]] = {
    "unknown": (lambda: {"nobody": [0]}, "'nobody' is no layer; the layers are"),
    "none": (lambda: {"two": []}, "must keep between 1 and 8 inputs, numbered from 0 to 7, not"),
    "outside": (lambda: {"two": [8]}, "numbered from 0 to 7"),
    "part of a channel": (lambda: {"head": [0, 1, 2]}, "keeps only some of the 4 inputs that channel 0 makes"),
    "the model's inputs": (lambda: {"stem": [0]}, "'stem' reads values that no prunable layer makes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_impossible_choices_are_refused(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    net = load_net(Skips().eval(), (torch.randn(2, 3, 4, 4),), tmp_path)
    with pytest.raises(GroupError, match=message):
        upscale(net, trace(net), make())


@settings(max_examples=30, deadline=None, derandomize=True)
@given(net=random_nets(), seed=st.integers(0, 9))
def test_upscaled_equals_blinded_on_random_graphs(net: GraphNet, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(3, 2, 3, 3, dtype=torch.float64, generator=generator)
    check(net, choosing(net, generator), x, 1e-9)

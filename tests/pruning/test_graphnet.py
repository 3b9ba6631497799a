import weakref
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from pruning import graphnet
from pruning.errors import IntakeError, PruningError
from pruning.graphnet import GraphNet
from pruning.intake.document import Node, Ref
from tests.pruning.graphs import Builder, load_net, stir


class Trainable(nn.Module):
    """Everything that differs between training and evaluation, and a residual sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6, momentum=0.3)
        self.body = nn.Conv2d(6, 6, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stem(x)))
        x = x + functional.relu_(self.body(x))
        return self.head(self.drop(x.flatten(1)))


class Fixed(nn.Module):
    """Everything that bakes a batch into an export that does not vary it."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(x.shape[0], 4, 8)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.mix(x).reshape(x.shape[0], 5, 2, 4).transpose(1, 2).reshape(x.shape[0], 5, 8)
        return self.head(x.mean(1))


@pytest.fixture(scope="module")
def module() -> Trainable:
    return stir(Trainable()).eval()


@pytest.fixture(scope="module")
def exported(module: Trainable, tmp_path_factory: pytest.TempPathFactory) -> GraphNet:
    return load_net(module, (torch.randn(2, 2, 4, 4),), tmp_path_factory.mktemp("net"))


@pytest.fixture
def net(exported: GraphNet) -> GraphNet:
    return deepcopy(exported)


def x(batch: int = 5, seed: int = 1) -> Tensor:
    return torch.randn(batch, 2, 4, 4, generator=torch.Generator().manual_seed(seed))


def identifier(net: GraphNet, name: str) -> str:
    return next(p.id for p in net.document.parameters if p.name == name)


class Halve(nn.Module):
    """A parametrization that counts how often it is computed."""

    calls = 0

    def forward(self, value: Tensor) -> Tensor:
        Halve.calls += 1
        return value / 2


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_outputs_are_the_modules_for_any_batch(module: Trainable, net: GraphNet, batch: int) -> None:
    with torch.no_grad():
        torch.testing.assert_close(net(x(batch)), module(x(batch)), rtol=1e-5, atol=1e-5)


def test_an_eval_export_trains_as_the_module_does(module: Trainable, net: GraphNet) -> None:
    twin = deepcopy(module).train()
    net.train()
    for model in (twin, net):
        torch.manual_seed(3)  # the same dropout
        model(x(16)).square().sum().backward()
    names = {p.name: p.id for p in net.document.parameters}
    for name, parameter in twin.named_parameters():
        found = getattr(net, names[name]).grad
        assert found is not None and found.count_nonzero() > 0
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-5)
    for part in ("running_mean", "running_var"):
        found = getattr(net, names[f"norm.{part}"])
        torch.testing.assert_close(found, getattr(twin.norm, part))
        assert not torch.equal(found, getattr(module.norm, part))


def test_dropout_and_batch_norm_follow_the_mode(net: GraphNet) -> None:
    with torch.no_grad():
        assert torch.equal(net(x()), net(x()))
        net.train()
        assert not torch.equal(net(x()), net(x()))
        net.eval()
        assert torch.equal(net(x()), net(x()))


def test_attention_drops_only_in_training() -> None:
    b = Builder(4, 3)
    one = b.call("unsqueeze.default", self=b.x, dim=1)
    args = {"query": one, "key": one, "value": one, "dropout_p": 0.9}
    net = b.net(b.call("scaled_dot_product_attention.default", **args))
    values = torch.randn(2, 4, 3, dtype=torch.float64)
    assert torch.equal(net(values), net(values))
    assert not torch.equal(net.train()(values), net(values))


def test_norm_without_running_statistics_uses_the_batchs_in_both_modes() -> None:
    b = Builder(3)
    flags = {"training": True, "momentum": 0.1, "eps": 1e-5, "cudnn_enabled": False}
    none = {"weight": None, "bias": None, "running_mean": None, "running_var": None}
    net = b.net(b.call("batch_norm.default", input=b.x, **none, **flags))
    values = torch.randn(8, 3, dtype=torch.float64)
    torch.testing.assert_close(net(values).mean(0), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(net.train()(values), net.eval()(values))


def test_a_parametrization_works_once_a_pass_and_bakes_back(net: GraphNet) -> None:
    name = identifier(net, "body.weight")
    weight = getattr(net, name).detach().clone()
    plain = deepcopy(net)
    with torch.no_grad():
        getattr(plain, name).div_(2)
    parametrize.register_parametrization(net, name, Halve(), unsafe=True)
    Halve.calls = 0
    with torch.no_grad():
        torch.testing.assert_close(net(x()), plain(x()))
    assert Halve.calls == 1
    net(x()).sum().backward()
    assert net.parametrizations[name].original.grad.count_nonzero() > 0
    twin = deepcopy(net)
    parametrize.remove_parametrizations(net, name)
    torch.testing.assert_close(getattr(net, name).detach(), weight / 2)
    assert isinstance(getattr(net, name), nn.Parameter)
    with torch.no_grad():
        torch.testing.assert_close(twin(x()), net(x()))
        twin.parametrizations[name].original.zero_()
        assert not torch.equal(twin(x()), net(x()))


def test_a_weight_read_by_two_nodes_is_parametrised_once() -> None:
    b = Builder(3)
    weight = b.parameter("w.weight", 3, 3)
    first = b.call("linear.default", input=b.x, weight=weight)
    net = b.net(b.call("linear.default", input=first, weight=weight))
    parametrize.register_parametrization(net, "p0", Halve(), unsafe=True)
    Halve.calls = 0
    net(torch.randn(2, 3, dtype=torch.float64))
    assert Halve.calls == 1


def test_parametrised_nets_are_saved_as_they_compute(net: GraphNet, tmp_path: Path) -> None:
    name = identifier(net, "stem.weight")
    parametrize.register_parametrization(net, name, Halve(), unsafe=True)
    graphnet.save(net, tmp_path / "deep" / "folder")
    found = graphnet.load(tmp_path / "deep" / "folder").eval()
    with torch.no_grad():
        assert torch.equal(found(x()), net(x()))
    assert found.document == net.document


def test_a_copy_shares_the_graph_and_no_tensor(net: GraphNet) -> None:
    twin = deepcopy(net)
    assert twin.document is net.document
    ours, theirs = (dict(n.state_dict()) for n in (net, twin))
    assert ours.keys() == theirs.keys() == {p.id for p in net.document.parameters}
    assert not {t.data_ptr() for t in ours.values()} & {t.data_ptr() for t in theirs.values()}


def test_parameters_train_as_exported_and_the_rest_are_buffers() -> None:
    b = Builder(3)
    weight, scale = b.parameter("a.weight", 3, 3, trainable=False), b.parameter("scale", 3, kind="constant")
    net = b.net(b.call("mul.Tensor", self=b.call("linear.default", input=b.x, weight=weight), other=scale))
    assert [(n, p.requires_grad) for n, p in net.named_parameters()] == [("p0", False)]
    assert [n for n, _ in net.named_buffers()] == ["p1"]


def test_functional_call_reaches_the_parameters(net: GraphNet) -> None:
    zeros = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    assert torch.equal(torch.func.functional_call(net, zeros, (x(),)), torch.zeros(5, 3))


def test_values_are_forgotten_after_their_last_use() -> None:
    b = Builder(3)
    first = b.call("exp.default", self=b.x)
    second = b.call("exp.default", self=first)
    b.call("sin.default", self=second)  # nobody reads it
    third = b.call("add.Tensor", self=second, other=first)
    net = b.net(b.call("exp.default", self=third))
    seen: dict[str, weakref.ref[Tensor]] = {}
    alive: dict[str, list[str]] = {}

    def see(node: Node, result: Tensor) -> None:
        seen[node.id] = weakref.ref(result)
        alive[node.id] = [name for name, value in seen.items() if value() is not None]

    with torch.no_grad():
        net.watch((torch.randn(2, 3, dtype=torch.float64),), see)
    assert alive["n3"] == ["n0", "n1", "n3"]
    assert alive["n4"] == ["n3", "n4"]


def test_several_outputs_and_results() -> None:
    b = Builder(6)
    parts = b.call("split.Tensor", outputs=3, self=b.x, split_size=2, dim=1)
    size = b.call("sym_size.int", self=b.x, dim=0)
    b.nodes.append(Node(id="n2", op="int.mul", args={"a": size, "b": 3}))
    tensors = tuple(Ref(parts.id, i) for i in (2, 0, 1))
    joined = b.call("cat.default", tensors=tensors, dim=0)
    folded = b.call("view.default", self=joined, size=(Ref("n2"), 2))
    values = torch.arange(12, dtype=torch.float64).reshape(2, 6)
    first, second = b.net(folded, Ref(parts.id, 1))(values)
    assert torch.equal(first, torch.cat([values[:, 4:], values[:, :2], values[:, 2:4]]))
    assert torch.equal(second, values[:, 2:4])


@pytest.mark.parametrize("batch", [1, 2])
def test_a_fixed_batch_is_freed(tmp_path: Path, batch: int) -> None:
    module = stir(Fixed()).eval()
    net = load_net(module, (torch.randn(batch, 32),), tmp_path, dynamic=False)
    values = torch.randn(7, 32)
    with torch.no_grad():
        torch.testing.assert_close(net(values), module(values), rtol=1e-5, atol=1e-5)
    assert net.document.inputs[0].shape == (None, 32)


def test_an_operator_outside_the_table_is_refused() -> None:
    b = Builder(3)
    with pytest.raises(IntakeError, match=r"'aten\.from_file.default' is not supported"):
        b.net(b.call("from_file.default", filename="/etc/passwd"))
    b = Builder(3)
    document = b.document(b.call("relu.default", self=b.x))
    for op in ("os.system.default", "aten.__class__.default", "aten.relu_.default", "relu"):
        bad = replace(document, nodes=(replace(document.nodes[0], op=op),))
        with pytest.raises(IntakeError, match="not supported"):
            GraphNet(bad, {})


def test_arguments_must_be_the_operators() -> None:
    b = Builder(3)
    with pytest.raises(IntakeError, match=r"aten.relu at block.1 .* takes no argument 'inplace'"):
        b.net(b.call("relu.default", "block.1", self=b.x, inplace=True))
    b = Builder(3)
    with pytest.raises(IntakeError, match="lacks its argument 'weight'"):
        b.net(b.call("linear.default", input=b.x))


def test_tensors_must_fit_the_document() -> None:
    b = Builder(3)
    document = b.document(b.linear(b.x, "head", 3, 2))
    with pytest.raises(IntakeError, match=r"'head.weight' is missing"):
        GraphNet(document, {})
    with pytest.raises(IntakeError, match=r"'head.weight' is \[3, 2\] .* says \[2, 3\] of float64"):
        GraphNet(document, {"p0": torch.zeros(3, 2, dtype=torch.float64)})
    with pytest.raises(IntakeError, match=r"torch\.float32"):
        GraphNet(document, {"p0": torch.zeros(2, 3)})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 99}', '{"schema": 1, "inputs": 3}'])
def test_broken_files_are_refused(net: GraphNet, tmp_path: Path, text: str) -> None:
    graphnet.save(net, tmp_path)
    (tmp_path / "graph.json").write_text(text)
    with pytest.raises(IntakeError):
        graphnet.load(tmp_path)


def test_broken_weights_are_refused(net: GraphNet, tmp_path: Path) -> None:
    graphnet.save(net, tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"no such thing")
    with pytest.raises(IntakeError, match="upload the model again"):
        graphnet.load(tmp_path)


def test_a_wrong_number_of_inputs_is_told(net: GraphNet) -> None:
    with pytest.raises(PruningError, match=r"takes 1 inputs \(x\), not 2"):
        net(x(), x())


def test_an_error_names_the_place() -> None:
    b = Builder(3)
    net = b.net(b.call("view.default", "blocks.3", self=b.x, size=(-1, 7)))
    with pytest.raises(RuntimeError) as caught:
        net(torch.zeros(2, 3, dtype=torch.float64))
    assert caught.value.__notes__ == ["while running aten.view at blocks.3"]

"""What layers see: H and norms against plain loops, for every way a convolution can be set."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning.calibrate import LayerStatistics, collect
from pruning.errors import CalibrationError, PlanError
from tests.pruning.graphs import Builder, load_net
from tests.pruning.small import data, small, weight


def batches(*shape: int, count: int = 2, seed: int = 0) -> list[tuple[Tensor, None]]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(3, *shape, generator=generator, dtype=torch.float64), None) for _ in range(count)]


def check(layer: nn.Module, given_batches: list[tuple[Tensor, None]]) -> LayerStatistics:
    """The statistics, after the property that defines them: ||W X||² of any weight is the output's square sum."""
    (found,) = collect(layer, ["weight"], given_batches).values()
    outputs = []
    with torch.no_grad():
        layer.bias.zero_()
        for x, _ in given_batches:
            outputs.append(layer(x))
        matrices = found.rows(layer.weight)
    energy = sum(float(out.square().sum()) for out in outputs)
    assert float(((matrices @ found.moments) * matrices).sum() / 2) == pytest.approx(energy, rel=1e-10)
    torch.testing.assert_close(found.moments.diagonal(dim1=1, dim2=2), 2 * found.norms.square())
    assert found.samples * layer.weight.shape[0] == sum(out.numel() for out in outputs)
    return found


def hand_unfolded(x: Tensor, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """X of an ungrouped 2-D convolution, one number at a time, in the order of weight.flatten(1)."""
    x = nn.functional.pad(x, [padding] * 4)
    span = dilation * (kernel - 1) + 1
    ys, xs = (range(0, size - span + 1, stride) for size in x.shape[2:])
    rows = []
    for channel, i, j in product(range(x.shape[1]), range(kernel), range(kernel)):
        rows.append([x[n, channel, y + i * dilation, z + j * dilation] for n in range(len(x)) for y in ys for z in xs])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (2, 2, 0, 1), (3, 2, 2, 2)])
def test_a_convolution_is_a_linear_layer_of_its_unfolded_input(
    kernel: int, stride: int, padding: int, dilation: int
) -> None:
    conv = nn.Conv2d(2, 3, kernel, stride, padding, dilation).double()
    (x, _), other = batches(2, 6, 5)
    unfolded = torch.cat([hand_unfolded(v, kernel, stride, padding, dilation) for v in (x, other[0])], dim=1)
    found = check(conv, [(x, None), other])
    torch.testing.assert_close(found.moments[0], 2 * unfolded @ unfolded.T)
    linear = nn.Linear(len(unfolded), 3).double()
    torch.testing.assert_close(collect(linear, ["weight"], [(unfolded.T, None)])["weight"].moments, found.moments)


@given(
    groups=st.sampled_from((1, 2, 4)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.one_of(st.tuples(st.integers(0, 2), st.integers(0, 2)), st.sampled_from(("same", "valid"))),
)
@settings(max_examples=25, deadline=None)
def test_every_setting_of_a_convolution_is_honoured(
    groups: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int] | str,
) -> None:
    stride = (1, 1) if padding == "same" else stride
    conv = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups).double()
    assert check(conv, batches(4, 7, 6)).groups == groups


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (4, 9)),
        (nn.Conv1d(2, 3, 4, padding="same"), (2, 9)),
        (nn.Conv2d(3, 3, 3, groups=3, padding=1, padding_mode="reflect"), (3, 5, 5)),
        (nn.Conv3d(2, 3, 2, padding=1), (2, 3, 4, 3)),
        (nn.Linear(5, 4), (5,)),
        (nn.Linear(5, 4), (7, 5)),
    ],
)
def test_other_layers(layer: nn.Module, shape: tuple[int, ...]) -> None:
    check(layer.double(), batches(*shape))


def test_batches_in_pieces_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = nn.Conv2d(2, 3, 3).double()
    whole = collect(conv, ["weight"], batches(2, 5, 5))["weight"]
    monkeypatch.setattr("pruning.calibrate._CHUNK", 200)
    torch.testing.assert_close(collect(conv, ["weight"], batches(2, 5, 5))["weight"].moments, whole.moments)


def test_a_graph_and_the_module_it_came_from_see_the_same(tmp_path: Path) -> None:
    module = small()
    net = load_net(module, (data()[0][0],), tmp_path)
    names = {p.name: p.id for p in net.document.parameters}
    ours = collect(module, ["stem.weight", "body.weight", "head.weight"], data())
    theirs = collect(net, [names[name] for name in ours], data())
    for name, found in ours.items():
        torch.testing.assert_close(theirs[names[name]].moments, found.moments, rtol=1e-5, atol=1e-5)


def test_a_weight_read_twice_sums_both_readings() -> None:
    builder = Builder(4)
    first = builder.linear(builder.x, "tied", 4, 4)
    shared = builder.call("linear.default", "again", input=first, weight=builder.nodes[0].args["weight"])
    net, ((x, _), *_) = builder.net(shared), batches(4)
    found = collect(net, ["p0"], [(x, None)])["p0"]
    y = x @ net.p0.T
    torch.testing.assert_close(found.moments[0], 2 * (x.T @ x + y.T @ y))
    assert found.samples == 6


def test_norms_alone() -> None:
    linear = nn.Linear(3, 2).double()
    found = collect(linear, ["weight"], batches(3), hessian=False)["weight"]
    torch.testing.assert_close(found.norms[0], torch.cat([x for x, _ in batches(3)]).norm(dim=0))
    with pytest.raises(CalibrationError, match="hessian=True"):
        _ = found.moments


def test_the_error_is_that_of_the_outputs() -> None:
    linear, (batch, *_) = nn.Linear(6, 4, bias=False).double(), batches(6)
    found = collect(linear, ["weight"], [batch])["weight"]
    other = linear.weight.detach() * (weight((4, 6)) > 0)
    change = batch[0] @ (linear.weight - other).T
    expected = float((change.square().sum() / linear(batch[0]).square().sum()).detach())
    assert found.error(linear.weight, other) == pytest.approx(expected, rel=1e-12)


def test_modes_are_given_back_and_nothing_else_changes() -> None:
    net = small().train()
    net.drop.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    collect(net, ["body.weight"], data(1))
    assert net.training and net.body_norm.training and not net.drop.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class Matmul(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def _none() -> Iterator[tuple[Tensor, None]]:
    yield from ()


def test_refusals_say_what_is_wrong() -> None:
    linear = nn.Linear(2, 2).double()
    with pytest.raises(CalibrationError, match="no batches"):
        collect(linear, ["weight"], _none())
    with pytest.raises(PlanError, match="'nothing'"):
        collect(linear, ["nothing"], batches(2))
    with pytest.raises(CalibrationError, match="no convolution or linear read 'weight'"):
        collect(Matmul(), ["weight"], batches(2))
    broken = [(torch.tensor([[1.0, torch.nan]], dtype=torch.float64), None)]
    with pytest.raises(CalibrationError, match="'weight' are NaN or infinite"):
        collect(linear, ["weight"], broken)
    with pytest.raises(CalibrationError, match="another layer"):
        collect(linear, ["weight"], batches(2))["weight"].rows(torch.ones(2, 3))

"""Each prior against numbers worked by hand."""

from collections.abc import Mapping
from math import log, prod

import pytest
import torch
from torch import nn

from app.search.judging import judge_of
from app.search.spec_parts import Task
from app.search.table.priors import curvature, fisher_diagonal, hill, magnitude, owl, spdy
from pruning.calibrate import collect
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import NM, Channel, Pattern, Unstructured
from tests.pruning.small import SPEC, small

Option = Mapping[str, Pattern]
JUDGE = judge_of(Task(), {})


def linear(weight: torch.Tensor) -> tuple[nn.Module, ModelSpec]:
    """A linear layer called a, without bias."""
    net = nn.ModuleDict({"a": nn.Linear(weight.shape[1], weight.shape[0], bias=False)})
    net.forward = net["a"].forward  # type: ignore[method-assign]
    with torch.no_grad():
        net["a"].weight.copy_(weight)
    layer = LayerSpec(
        name="a", parameter="a.weight", op="linear", in_channels=weight.shape[1], out_channels=weight.shape[0]
    )
    shapes = {"input_shape": (weight.shape[1],), "output_shapes": ((weight.shape[0],),)}
    return net, ModelSpec(layers=(layer,), groups=(), parameter_count=weight.numel(), **shapes)  # type: ignore[arg-type]


def test_magnitude_is_the_share_of_squares_that_goes() -> None:
    net, spec = linear(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
    units: list[list[Option]] = [[{}, {"a": Unstructured(0.25)}, {"a": Unstructured(0.75)}, {"a": NM(1, 2)}]]
    ((dense, *errors),) = magnitude(net, spec, units)
    assert dense == 0.0
    assert errors == pytest.approx([1 / 30, 14 / 30, 10 / 30])


def test_magnitude_of_channels_is_that_of_what_reads_them() -> None:
    net = small()
    ((_, error),) = magnitude(net, SPEC, [[{}, {"stem": Channel(0.5)}]])
    norms = net.stem.weight.flatten(1).norm(dim=1)
    gone = norms.argsort()[:4]
    squares = net.body.weight.detach().double().square()
    assert error == pytest.approx(float(squares[:, gone].sum() / squares.sum()))


def test_curvature_is_half_the_fisher_of_what_goes() -> None:
    """Equal rows make both classes equally likely: whichever is drawn, F = x² / 4."""
    weight = torch.tensor([[0.5, -1.0, 2.0], [0.5, -1.0, 2.0]])
    net, spec = linear(weight)
    inputs = torch.tensor([[1.0, 2.0, 3.0], [2.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    batches = [(inputs[:2], torch.zeros(2)), (inputs[2:], torch.zeros(1))]
    fisher = fisher_diagonal(net, ["a.weight"], batches, JUDGE, seed=3)
    expected = (inputs.double().square().mean(0) / 4).expand(2, 3)
    torch.testing.assert_close(fisher["a.weight"], expected)
    ((dense, error),) = curvature(net, spec, [[{}, {"a": Unstructured(0.5)}]], fisher)
    gone = torch.tensor([[True, False, False], [True, True, False]])  # both 2.0 and, of equals, the first -1.0 stay
    assert dense == 0.0
    assert error == pytest.approx(float((expected * weight.double().square())[gone].sum()) / 2)


def test_the_fisher_comes_from_a_seed_and_leaves_no_gradient_behind() -> None:
    net = small()
    batches = [(torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(5))]
    one, two = (fisher_diagonal(net, ["head.weight"], batches, JUDGE, seed=1)["head.weight"] for _ in range(2))
    assert torch.equal(one, two) and one.shape == net.head.weight.shape
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_fisher_of_frozen_weights_is_that_of_others_and_they_stay_frozen() -> None:
    net = small()
    batches = [(torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(5))]
    free = fisher_diagonal(net.eval(), ["body.weight"], batches, JUDGE)["body.weight"]
    net.body.weight.requires_grad_(False)
    assert torch.equal(fisher_diagonal(net, ["body.weight"], batches, JUDGE)["body.weight"], free)
    assert not net.body.weight.requires_grad


def test_spdy_is_quadratic_in_the_rank_of_the_strength() -> None:
    options: list[Option] = [{}, {"a": Unstructured(0.9)}, {"a": Unstructured(0.4)}, {"a": Channel(0.5)}]
    assert spdy([options]) == [[0.0, 1.0, 0.25, 1.0]]
    joint: list[Option] = [{}, {"a": Channel(0.5), "b": Channel(0.5)}]
    assert spdy([options, joint], {"a": 2.0, "b": 4.0}) == [[0.0, 2.0, 0.5, 2.0], [0.0, 3.0]]


def test_owl_counts_what_stands_out() -> None:
    """A weight of 50 among those of an untrained convolution; nothing else is five times the mean of its layer."""
    whole, inputs = small(), torch.randn(9, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole.body.weight[0, 0, 0, 0] = 50.0
    seen = collect(whole, ["stem.weight", "body.weight"], [(inputs, torch.zeros(9))])
    found = owl(whole, SPEC, seen)
    assert set(found) == {"stem", "body"}, "what `collect` saw"
    assert found["body"] == pytest.approx(2 / 1.05), "no other weight stands out"
    assert found["stem"] == pytest.approx(2 * 0.05 / 1.05), "at a tenth of the mean: it is cheap, not free"


def test_a_layer_without_a_tail_is_not_free() -> None:
    flat = small()
    nn.init.orthogonal_(flat.head.weight)
    found = hill(flat, SPEC)
    assert 0.0 < found["head"] < 0.2 and sum(found.values()) == pytest.approx(len(found))


def test_hill_is_the_exponent_of_the_upper_half_of_the_spectrum() -> None:
    wide = small()
    alphas = {}
    for layer in SPEC.layers:
        values = torch.linalg.eigvalsh((w := wide.get_parameter(layer.parameter).double().flatten(1)) @ w.T)
        values = values[-min(w.shape) :]
        k = len(values) // 2
        alphas[layer.name] = 1 + k / log(prod((values[-k:] / values[-k - 1]).tolist()))
    mean = sum(1 / alpha for alpha in alphas.values()) / 3
    assert hill(wide, SPEC) == pytest.approx({name: 1 / alpha / mean for name, alpha in alphas.items()}, rel=1e-4)

"""DKM: its gradient, its limits, its zeros, its storage."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning.apply import prune
from pruning.errors import PlanError
from pruning.graphnet import GraphNet
from pruning.masked import MaskedWeight, attach, set_progress
from pruning.patterns import Unstructured
from pruning.plan import PruningPlan
from pruning.pruners import make
from pruning.quantise.dkm import DKMSettings, DKMWeight, attach_palettes, bake_palettes, cluster
from pruning.quantise.palette import fit, vectors
from pruning.recover import RecoveryConfig, recover
from pruning.verify import verify
from tests.pruning.graphs import Builder
from tests.pruning.small import SPEC, data, small, weight


def pruned(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return weight(shape, seed) * (weight(shape, seed + 1) > 0)


def distinct(table: Tensor, dim: int) -> int:
    return len(torch.unique(vectors(table, dim), dim=0))


@pytest.mark.parametrize(("dim", "pin_zero"), [(1, False), (1, True), (2, False), (3, True)])
def test_the_gradient_goes_through_every_iteration(dim: int, pin_zero: bool) -> None:
    dense = weight((3, 5)).double()
    if pin_zero:
        dense[1] = 0
    start = fit(dense, bits=2, dim=dim, pin_zero=pin_zero).centroids
    config = DKMSettings(bits=2, dim=dim, tau=0.3, relative=False, pin_zero=pin_zero)
    moved = dense.clone().requires_grad_()
    soft, _ = cluster(moved, start, config)
    soft.square().sum().backward()
    for i, j in ((0, 0), (0, 3), (2, 4)):  # zeros have no neighbourhood: there the function jumps
        steps = []
        for step in (1e-6, -1e-6):
            shifted = dense.clone()
            shifted[i, j] += step
            steps.append(float(cluster(shifted, start, config)[0].square().sum()))
        assert float(moved.grad[i, j]) == pytest.approx((steps[0] - steps[1]) / 2e-6, rel=1e-5, abs=1e-8)
    if not pin_zero:
        assert torch.autograd.gradcheck(lambda w: cluster(w, start, config), dense.requires_grad_())
    elif dim == 1:
        assert not moved.grad[1].any()


@pytest.mark.parametrize("iterations", [1, 3])
def test_without_temperature_it_is_lloyd(iterations: int) -> None:
    dense = weight((6, 7)).double()
    centroids = [-1.0, -0.2, 0.3, 5.0]  # the last attracts nothing and stays
    start = torch.tensor(centroids).double()[:, None]
    config = DKMSettings(bits=2, tau=1e-9, relative=False, iterations=iterations, pin_zero=False)
    for _ in range(iterations):
        groups: list[list[float]] = [[] for _ in centroids]
        for value in dense.flatten().tolist():
            groups[min(range(4), key=lambda j: abs(value - centroids[j]))].append(value)
        labels = [min(range(4), key=lambda j: abs(value - centroids[j])) for value in dense.flatten().tolist()]
        centroids = [sum(g) / len(g) if g else c for g, c in zip(groups, centroids, strict=True)]
    soft, ended = cluster(dense, start, config)
    torch.testing.assert_close(ended[:, 0], torch.tensor(centroids).double())
    torch.testing.assert_close(soft.flatten(), torch.tensor([centroids[j] for j in labels]).double())


@given(scale=st.sampled_from((1e-3, 0.05, 100.0)), pin_zero=st.booleans())
@settings(max_examples=6, deadline=None)
def test_a_relative_temperature_follows_the_weights_scale(scale: float, pin_zero: bool) -> None:
    dense = pruned((6, 8)).double()
    start = fit(dense, bits=2, pin_zero=pin_zero).centroids
    config = DKMSettings(bits=2, pin_zero=pin_zero)
    soft, _ = cluster(dense, start, config)
    torch.testing.assert_close(cluster(dense * scale, start * scale, config)[0], soft * scale)


@pytest.mark.parametrize(("bits", "dim"), [(1, 1), (2, 1), (4, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("pin_zero", [False, True])
def test_evaluation_has_few_different_vectors(bits: int, dim: int, pin_zero: bool) -> None:
    dense = weight((8, 9))
    layer = DKMWeight(dense, DKMSettings(bits=bits, dim=dim, pin_zero=pin_zero))
    soft = layer(dense)
    hard = layer.eval()(dense)
    assert distinct(hard, dim) <= 2**bits < distinct(soft, dim)
    chosen = layer.palette(dense)
    assert torch.equal(chosen.weight(), hard) and len(chosen.codes) == len(vectors(dense, dim))
    assert chosen.storage_bytes(4) == -(-len(chosen.codes) * bits // 8) + 4 * dim * 2**bits
    off = (vectors(dense, dim)[:, None] - layer.centroids).square().sum(-1)
    assert torch.equal(chosen.codes, off.argmin(1))


def test_more_entries_than_vectors_are_not_made() -> None:
    found = fit(weight((2, 3)), bits=8)
    assert len(found.centroids) == 6 and torch.equal(found.weight(), weight((2, 3)))
    same = fit(torch.ones(4, 4), bits=2)
    assert len(same.centroids) == 1 and same.weight().eq(1).all()
    nothing = fit(torch.zeros(3, 3), bits=2, pin_zero=True)
    assert not nothing.weight().any()


@given(seed=st.integers(0, 30), bits=st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_pinned_zeros_stay_zero_soft_and_hard(seed: int, bits: int) -> None:
    sparse = pruned((6, 7), seed)
    layer = DKMWeight(sparse, DKMSettings(bits=bits))
    for mode in (True, False):
        values = layer.train(mode)(sparse)
        assert torch.isfinite(values).all() and not values[sparse == 0].any()
    assert not layer.centroids[0].any() and len(layer.centroids) <= 2**bits
    alone = DKMWeight(sparse[sparse != 0], DKMSettings(bits=bits))
    alone(sparse[sparse != 0])  # zeros have no say in the other entries
    torch.testing.assert_close(layer.centroids, alone.centroids)


def test_k_means_reaches_a_fixed_point_and_beats_an_even_grid() -> None:
    dense = weight((40, 50))
    found = fit(dense, bits=3)
    for code, centre in enumerate(found.centroids):
        own = dense.flatten()[found.codes == code]
        torch.testing.assert_close(own.mean(), centre[0], rtol=1e-4, atol=1e-4)
    grid = torch.linspace(float(dense.min()), float(dense.max()), 8)
    even = grid[(dense.flatten()[:, None] - grid).abs().argmin(1)]
    assert (found.weight() - dense).norm() < 0.8 * (even - dense.flatten()).norm()
    assert torch.equal(fit(dense, bits=3).weight(), found.weight())


def test_recovery_trains_a_palette_on_pruned_weights_and_keeps_the_zeros() -> None:
    plan = PruningPlan(pruner="magnitude", patterns={"body": Unstructured(0.7)})
    net = prune(small(), SPEC, plan).net
    zeros = net.body.weight == 0
    attach_palettes(net, ["body.weight"], DKMSettings(bits=3))
    with pytest.raises(PlanError, match="has a palette already"):
        attach_palettes(net, ["body.weight"], DKMSettings())
    before = net.body.parametrizations.weight[0].centroids.clone()
    steps = list(recover(net, data(), RecoveryConfig(steps=12, learning_rate=0.05), nn.functional.cross_entropy))
    assert steps[-1].loss < steps[0].loss
    found = bake_palettes(net)
    assert type(net.body) is nn.Conv2d and not net.body.weight[zeros].any()
    assert torch.equal(found["body.weight"].weight(), net.body.weight)
    assert distinct(net.body.weight.detach(), 1) <= 8
    assert not torch.equal(found["body.weight"].centroids, before)
    verify(net, SPEC, plan, {})


def test_a_palette_over_a_mask_bakes_both() -> None:
    net = small()
    attach(net, {"body.weight": MaskedWeight(make("magnitude", Unstructured(0.5), {}))})
    attach_palettes(net, ["body.weight"], DKMSettings(bits=2))
    set_progress(net, 1.0)
    found = bake_palettes(net)
    assert int((net.body.weight == 0).sum()) >= 216 and distinct(net.body.weight.detach(), 1) <= 4
    assert torch.equal(found["body.weight"].weight(), net.body.weight)


def test_a_graph_net_takes_palettes() -> None:
    builder = Builder(4)
    net: GraphNet = builder.net(builder.linear(builder.x, "layer", 4, 6))
    attach_palettes(net, ["p0"], DKMSettings(bits=2))
    assert list(bake_palettes(net)) == ["p0"] and distinct(net.p0.detach(), 1) <= 4


@pytest.mark.parametrize("bad", [{"bits": 0}, {"bits": 9}, {"dim": 0}, {"tau": 0.0}, {"iterations": 0}])
def test_settings_out_of_range(bad: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=f"DKM {next(iter(bad))}"):
        DKMSettings(**bad)

"""STR: the formula and its gradients, decay as the only drive, and what hardening makes of the threshold."""

import math

import pytest
import torch
from torch import Tensor, nn

from pruning.errors import PlanError
from pruning.masked import MaskedWeight, attach, bake
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured
from pruning.pruners.soft_threshold import STR
from tests.pruning.pruners.planted import learned
from tests.pruning.small import survivors, weight


def begun(pattern: Sparse, values: Tensor, **settings: float) -> STR:
    """A pruner with its threshold made for these values, and still soft."""
    pruner = STR(pattern, settings)
    pruner.advance(values, 0.0)
    return pruner


@pytest.mark.parametrize("pattern", [Unstructured(0.7), NM(keep=2, group=4)], ids=str)
@pytest.mark.parametrize(("scale", "s"), [(1.0, -0.4), (3.0, -2.0)])
def test_weights_and_gradients_are_the_closed_forms(pattern: Sparse, scale: float, s: float) -> None:
    w, g = weight((6, 8, 3)).double().requires_grad_(), weight((6, 8, 3), seed=1).double()
    pruner = begun(pattern, w, scale=scale, s_init=s)
    out = pruner.masked(w)
    (out * g).sum().backward()
    sigmoid = 1 / (1 + math.exp(-s))
    active = (w.detach().abs() > scale * sigmoid).double()
    assert 0 < active.mean() < 1
    assert torch.allclose(out, w.sign() * (w.abs() - scale * sigmoid).relu(), atol=1e-12)
    assert torch.allclose(w.grad, g * active, atol=1e-12)
    closed = -scale * sigmoid * (1 - sigmoid) * (g * w.detach().sign() * active).sum()
    assert pruner.s.grad.item() == pytest.approx(closed.item(), rel=1e-10)


@pytest.mark.parametrize("pattern", [NM(2, 3), Block(2, 2, 0.5), Kernel(0.5), Channel(0.5)], ids=str)
def test_gradients_are_those_of_finite_differences(pattern: Sparse) -> None:
    w = weight((12,)).abs() if isinstance(pattern, Channel) else weight((4, 3, 2))
    w = w.double().requires_grad_()
    pruner = begun(pattern, w, s_init=0.0)
    s = pruner.s.detach().clone().requires_grad_()

    def shrunk(w: Tensor, s: Tensor) -> Tensor:
        factor: Tensor = torch.func.functional_call(pruner, {"s": s}, (w,))
        return w * factor

    assert 0 < int((shrunk(w, s) == 0).sum()) < w.numel()
    assert torch.autograd.gradcheck(shrunk, (w, s), atol=1e-6)


def test_the_authors_start_leaves_weights_alone_and_decay_is_all_that_moves_s() -> None:
    w = weight((8, 8)).requires_grad_()
    pruner = begun(Unstructured(0.9), w, scale=1.0, s_init=-3200.0, decay=2.25e-5)
    assert torch.equal(pruner.masked(w), w)
    (pruner.masked(w).square().sum() + pruner.penalty()).backward()
    assert pruner.s.grad.item() == pytest.approx(-3200 * 2.25e-5)


def test_the_layers_own_scale_puts_the_plan_where_decay_ends() -> None:
    for size in (1.0, 0.01):
        w = size * weight((32, 32))
        pruner = begun(Unstructured(0.8), w, s_init=0.0)
        assert torch.equal(pruner(w) > 0, survivors(w, Unstructured(0.8)))
        pruner.advance(w, 0.6)
        assert pruner.sharp == 1.0 and not pruner.warnings


def test_hardening_keeps_the_plans_count_shrunk_as_before() -> None:
    w = torch.tensor([[4.0, -3.0, 2.0, 1.0]])
    pruner = STR(Unstructured(0.5), {"scale": 1.0, "s_init": 0.0, "harden": 0.5})
    pruner.advance(w, 0.4)
    assert pruner.masked(w).tolist() == [[3.5, -2.5, 1.5, 0.5]]
    pruner.advance(w, 0.5)
    assert pruner.masked(w).tolist() == [[3.5, -2.5, 0.0, 0.0]]
    assert pruner.sharp == 0.0  # it had removed none of the two
    assert pruner.gap == pytest.approx((1.5**2 + 0.5**2) ** 0.5 / (3.5**2 + 2.5**2) ** 0.5)  # of effective weights
    assert "0% of what the plan removes" in pruner.warnings[0] and "decay" in pruner.warnings[0]


def test_a_threshold_beyond_the_plan_falls_to_the_largest_weight_that_goes() -> None:
    w = torch.tensor([[4.0, -3.0, 2.0, 1.0]])
    pruner = STR(Unstructured(0.5), {"scale": 7.0, "s_init": 0.0})
    pruner.advance(w, 0.1)
    assert pruner.masked(w).tolist() == [[0.5, 0.0, 0.0, 0.0]]
    pruner.advance(w, 1.0)
    assert torch.allclose(pruner.masked(w), torch.tensor([[2.0, -1.0, 0.0, 0.0]]))
    tied = torch.ones(1, 4)
    pruner = STR(Unstructured(0.5), {"scale": 7.0, "s_init": 0.0})
    pruner.advance(tied, 1.0)
    assert (pruner(tied) > 0).tolist() == [[True, True, False, False]]


def test_baked_weights_are_the_shrunk_ones_and_a_dense_layer_is_not_shrunk() -> None:
    layer = nn.Linear(8, 6, bias=False)
    before = layer.weight.detach().clone()
    attach(layer, {"weight": MaskedWeight(STR(Unstructured(0.5), {"scale": 0.1, "s_init": 0.0}))})
    bake(layer)
    stays = survivors(before, Unstructured(0.5))
    assert torch.allclose(layer.weight, before.sign() * (before.abs() - 0.05) * stays, atol=1e-6)
    dense = STR(Unstructured(0.0), {"scale": 1.0})
    dense.advance(before, 1.0)
    assert torch.equal(dense.masked(before), before)


def test_it_finds_a_planted_sparse_layer() -> None:
    assert learned("str") < 0.5


@pytest.mark.parametrize(
    "settings", [{"scale": -1.0}, {"s_init": 11.0}, {"s_init": -1e9}, {"decay": 2.0}, {"harden": 2}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=f"str setting {next(iter(settings))}"):
        STR(Unstructured(0.5), settings)

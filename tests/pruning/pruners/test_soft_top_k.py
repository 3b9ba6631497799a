"""The budget is met, and the gradient is the finite difference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning.pruners.soft_top_k import multiplier, soft_top_k
from tests.pruning.small import weight


@settings(max_examples=20, deadline=None)
@given(
    candidates=st.integers(2, 12),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e4]),
    share=st.floats(0.02, 0.98),
    seed=st.integers(0, 99),
)
def test_the_budget_is_met_whatever_the_scores(candidates: int, scale: float, share: float, seed: int) -> None:
    scores = scale * weight((3, candidates), seed).double()
    costs = 0.1 + weight((1, candidates), seed + 1).double().abs().expand(3, -1)
    budget = share * float(costs[0].sum())
    m = soft_top_k(scores, costs, budget)
    assert m.min() >= 0 and m.max() <= 1
    assert torch.allclose((costs * m).sum(dim=1), torch.full((3,), budget).double(), rtol=1e-6)
    ranked = m.gather(1, scores.argsort(dim=1))
    assert (ranked.diff(dim=1) >= 0).all()


def test_the_gradient_is_the_finite_difference_with_costs_and_without() -> None:
    scores = weight((2, 7)).double().requires_grad_()
    for costs in (torch.ones(2, 7), 0.2 + weight((2, 7), seed=1).abs()):
        wide = costs.double()
        assert torch.autograd.gradcheck(lambda z, c=wide: soft_top_k(z, c, 2.5), scores, eps=1e-5, atol=1e-6)


def test_a_shift_of_all_scores_changes_neither_the_mask_nor_the_loss() -> None:
    scores, costs = weight((1, 9)).double().requires_grad_(), 0.5 + weight((1, 9), seed=1).double().abs()
    m = soft_top_k(scores, costs, 3.0)
    (m * weight((1, 9), seed=2)).sum().backward()
    assert torch.allclose(soft_top_k(scores + 17, costs, 3.0), m, atol=1e-7)
    assert scores.grad.abs().max() > 0.01
    assert float(scores.grad.sum()) == pytest.approx(0, abs=1e-12)


def test_candidates_without_cost_take_no_part() -> None:
    scores, costs = weight((1, 6)), torch.tensor([[1.0, 1, 1, 1, 0, 0]])
    assert torch.allclose(soft_top_k(scores, costs, 2)[:, :4], soft_top_k(scores[:, :4], costs[:, :4], 2), atol=1e-6)


def test_a_guess_however_wild_leads_to_the_same_root() -> None:
    scores, costs = weight((2, 40)).double(), torch.ones(1, 1)
    found = [multiplier(scores, costs, 9, guess) for guess in (None, torch.zeros(2, 1), torch.full((2, 1), -1e6))]
    for mu in found:
        assert torch.sigmoid(scores - mu).sum(dim=1).tolist() == pytest.approx([9, 9], abs=1e-6)
    assert torch.allclose(found[0], found[1]) and torch.allclose(found[0], found[2])


def test_binary_masks_have_no_gradient_and_no_nan() -> None:
    scores: Tensor = torch.tensor([[1e6, 5e5, -5e5, -1e6]]).requires_grad_()
    m = soft_top_k(scores, torch.ones(1, 4), 2)
    m.sum().backward()
    assert m.tolist() == [[1, 1, 0, 0]]
    assert scores.grad.tolist() == [[0, 0, 0, 0]]

"""The figures' known values, their bounds, and mutual information from its definition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.pruners.mask_metrics import confidence, decision, diversity, entropy
from tests.pruning.small import weight

ROWS, CANDIDATES = 64, 128


def peaked(columns: torch.Tensor) -> torch.Tensor:
    """Logits of rows that are sure of one candidate each."""
    return torch.zeros(len(columns), CANDIDATES).scatter_(1, columns[:, None], 100.0)


def test_sanity_values() -> None:
    uniform, random = torch.zeros(ROWS, CANDIDATES), 0.5 * weight((ROWS, CANDIDATES))
    assert (confidence(uniform), diversity(uniform)) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert (confidence(random), diversity(random)) == pytest.approx((0.025, 0.025), abs=2e-3)
    different, same = peaked(torch.arange(ROWS)), peaked(torch.zeros(ROWS, dtype=torch.int64))
    assert (confidence(different), diversity(different)) == pytest.approx((1.0, math.log(64) / math.log(128)))
    assert (confidence(same), diversity(same)) == pytest.approx((1.0, 0.0))


def test_a_row_that_is_sure_of_k_is_decided_but_not_confident_in_one() -> None:
    logits = torch.zeros(3, 16)
    logits[:, :4] = 50.0
    assert decision(logits, 4) == pytest.approx(1.0)
    assert decision(logits, 2) == pytest.approx(1 - math.log(2) / math.log(8))
    assert confidence(logits) == pytest.approx(1 - math.log(4) / math.log(16))
    assert decision(torch.zeros(3, 16), 4) == pytest.approx(0.0)


def test_rows_without_a_choice_are_decided_and_alike() -> None:
    for logits in (torch.zeros(3, 1), torch.zeros(0, 4)):
        assert (confidence(logits), diversity(logits)) == (1.0, 0.0)
    assert decision(torch.zeros(3, 4), 4) == 1.0


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 6), candidates=st.integers(2, 8), scale=st.floats(0.0, 30.0), seed=st.integers(0, 99))
def test_they_are_bounded_shift_free_and_mutual_information(
    rows: int, candidates: int, scale: float, seed: int
) -> None:
    logits = scale * weight((rows, candidates), seed).double()
    p = logits.softmax(dim=1)
    shares = p.mean(dim=0)
    information = sum(
        float(p[j, i]) / rows * math.log(float(p[j, i]) / float(shares[i]))
        for j in range(rows)
        for i in range(candidates)
        if p[j, i] > 0
    )
    assert diversity(logits) == pytest.approx(information / math.log(candidates), abs=1e-9)
    assert -1e-12 <= diversity(logits) <= math.log(rows) / math.log(candidates) + 1e-9
    assert 0 <= confidence(logits) <= 1
    assert confidence(logits + 7) == pytest.approx(confidence(logits), abs=1e-9)
    assert entropy(logits) == pytest.approx(torch.special.entr(p).sum(dim=1), abs=1e-9)


def test_entropy_is_differentiable() -> None:
    logits = weight((2, 5)).double().requires_grad_()
    assert torch.autograd.gradcheck(entropy, logits)

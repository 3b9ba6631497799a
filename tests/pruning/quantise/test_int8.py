"""8-bit weights: the nearest code, ties to even, zeros exact, one scale per output channel."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.quantise.int8 import quantise
from tests.pruning.small import weight


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_every_weight_is_off_by_half_a_scale_at_most(dim: int, kind: torch.dtype) -> None:
    dense = weight((4, 3, 2, 2)).to(kind)
    found = quantise(dense, dim)
    assert found.codes.dtype == torch.int8 and found.codes.shape == dense.shape
    assert found.scales.shape == (dense.shape[dim],)
    shape = [-1 if d == dim else 1 for d in range(4)]
    off = (found.weight() - dense.to(found.scales.dtype)).abs() / found.scales.reshape(shape)
    assert off.max() <= 0.5 + 1e-5
    assert found.codes.abs().movedim(dim, 0).flatten(1).amax(1).eq(127).all()
    assert found.storage_bytes == 48 + 4 * dense.shape[dim]


def test_ties_go_to_the_even_code() -> None:
    found = quantise(torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, -127.0]]))
    assert found.codes.tolist() == [[127, 0, 2, 2, 0, -2, 126, -127]]
    assert found.scales.tolist() == [1.0]


@given(seed=st.integers(0, 99), scale=st.sampled_from((1e-30, 1e-3, 1.0, 1e30)))
@settings(max_examples=20, deadline=None)
def test_zeros_stay_and_a_second_time_changes_nothing(seed: int, scale: float) -> None:
    pruned = weight((3, 8), seed) * (weight((3, 8), seed + 1) > 0) * scale
    pruned[1] = 0
    once = quantise(pruned)
    assert not once.weight()[pruned == 0].any() and torch.isfinite(once.weight()).all()
    assert torch.equal(quantise(once.weight()).codes, once.codes)


def test_a_smaller_channel_keeps_its_own_precision() -> None:
    dense = weight((2, 64))
    dense[1] *= 1e-4
    error = (quantise(dense).weight() - dense).norm(dim=1) / dense.norm(dim=1)
    assert error.max() < 0.01

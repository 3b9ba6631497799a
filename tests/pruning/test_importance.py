"""Scores are wide, and a channel's norm is that of all its slices together."""

import torch

from pruning.importance import channel_norms, channel_slices, magnitude, widened
from pruning.layers import Cut
from tests.pruning.small import weight


def test_scores_of_halves_are_fp32_and_of_doubles_stay_doubles() -> None:
    w = weight((3, 4))
    assert magnitude(w.half()).dtype == torch.float32
    assert widened(w.bfloat16()).dtype == torch.float32
    assert widened(w.double()).dtype == torch.float64
    assert torch.equal(magnitude(w), w.abs())


def test_channel_slices_follow_dim_offset_and_repeat() -> None:
    w = weight((5, 20))
    slices = channel_slices(w, Cut(parameter="w", dim=1, role="consumer", repeat=4, offset=8), channels=3)
    assert slices.shape == (3, 20)
    for c in range(3):
        assert torch.equal(slices[c].sort().values, w[:, 8 + 4 * c : 12 + 4 * c].flatten().sort().values)


def test_channel_norm_is_over_all_producers() -> None:
    a, b = weight((4, 3, 3, 3)), weight((4, 7), seed=1)
    cut = Cut(parameter="", dim=0, role="producer")
    expected = [float((a[c].square().sum() + b[c].square().sum()).sqrt()) for c in range(4)]
    assert torch.allclose(channel_norms([(a, cut), (b, cut)], 4), torch.tensor(expected))


def test_a_zero_channel_has_a_zero_gradient_not_nan() -> None:
    w = weight((3, 5))
    w[1] = 0
    w.requires_grad_()
    channel_norms([(w, Cut(parameter="", dim=0, role="producer"))], 3).square().sum().backward()
    assert torch.allclose(w.grad, 2 * w)

"""The refit is least squares on the support, and never makes a layer worse."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.errors import CalibrationError
from pruning.oneshot import refit
from pruning.oneshot.columns import damped, factor
from pruning.oneshot.refit import least_squares
from tests.pruning.layers_seen import inputs, output_error, seen, weights


@pytest.mark.parametrize("chunk", [1 << 23, 40])
def test_it_is_lstsq_on_every_rows_support(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refit, "_CHUNK", chunk)
    dense, x = weights(5, 9), inputs(9, 40)
    pruned = torch.where(weights(5, 9, seed=1) > 0, dense, 0)
    pruned[3] = 0
    solved = least_squares(dense, pruned, seen(x))
    for row, found, kept in zip(dense, solved, pruned != 0, strict=True):
        expected = torch.zeros_like(row)
        expected[kept] = torch.linalg.lstsq(x[0][kept].T, x[0].T @ row).solution
        torch.testing.assert_close(found, expected)


@given(
    samples=st.integers(1, 20),
    damping=st.sampled_from((0.0, 1e-6, 0.01, 1.0)),
    groups=st.integers(1, 2),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_the_error_never_grows(samples: int, damping: float, groups: int, seed: int) -> None:
    statistics = seen(inputs(8, samples, groups, seed))
    dense = weights(3 * groups, 2, 2, 2, seed=seed)
    pruned = torch.where(weights(*dense.shape, seed=seed + 1) > 0, weights(*dense.shape, seed=seed + 2), 0)
    solved = least_squares(dense, pruned, statistics, damping)
    assert statistics.error(dense, solved) <= statistics.error(dense, pruned) * (1 + 1e-9) + 1e-12
    assert not solved[pruned == 0].any()


def test_weights_of_dead_inputs_stay() -> None:
    x = inputs(6, 30)
    x[0, 2] = 0
    dense = weights(4, 6)
    pruned = torch.where(torch.tensor([True, True, True, False, False, False]), dense, 0)
    solved = least_squares(dense, pruned, seen(x))
    assert torch.equal(solved[:, 2], dense[:, 2])
    assert output_error(dense, solved, x) < output_error(dense, pruned, x)


def test_the_full_support_gives_the_dense_weight_back() -> None:
    dense = weights(3, 5)
    torch.testing.assert_close(least_squares(dense, weights(3, 5, seed=2), seen(inputs(5, 30))), dense)


def test_half_precision_stays_half() -> None:
    dense = weights(3, 6).bfloat16()
    pruned = torch.where(dense > 0, dense, 0)
    assert least_squares(dense, pruned, seen(inputs(6, 20))).dtype == torch.bfloat16


def test_damping_grows_until_the_factor_exists_and_no_further() -> None:
    singular = torch.ones(1, 3, 3, dtype=torch.float64)
    lower = factor(singular, 0.0)
    torch.testing.assert_close(lower @ lower.mT, singular, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(damped(singular, 0.5)[0].diagonal(), torch.full((3,), 1.5, dtype=torch.float64))
    with pytest.raises(CalibrationError, match="more samples"):
        factor(torch.tensor([[[1.0, 9.0], [9.0, 1.0]]]).double(), 0.01)

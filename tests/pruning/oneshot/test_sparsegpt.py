"""SparseGPT against the identity it rests on and a slow reading of its definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning.errors import PlanError
from pruning.oneshot.columns import damped, inverse, nm_spans
from pruning.oneshot.sparsegpt import SparseGPTSettings, solve
from pruning.patterns import NM, Unstructured, kept_count
from tests.pruning.layers_seen import inputs, output_error, seen, weights


def test_the_factors_diagonal_is_what_later_columns_leave() -> None:
    hessian = seen(inputs(9, 40)).moments
    upper = torch.linalg.cholesky(inverse(hessian, 0.01), upper=True)[0]
    firm = damped(hessian, 0.01)[0]
    for i in range(9):
        left = torch.linalg.inv(firm[i:, i:])
        assert float(upper[i, i] ** 2) == pytest.approx(float(left[0, 0]), rel=1e-9)


def slow(weight: Tensor, hessian: Tensor, keep: int, size: int) -> Tensor:
    """Oracle for keep of `size` columns a row: each column settled by solving for all later ones exactly.

    After column i is fixed, the later columns minimise (w - w')ᵀ H (w - w') given all fixed ones: least squares.
    """
    dense, solved = weight.clone(), weight.clone()
    width = dense.shape[1]
    for row in range(len(dense)):
        alive = torch.ones(width, dtype=torch.bool)
        for i in range(width):
            if i % size == 0:
                costs = [
                    float(solved[row, j] ** 2 / torch.linalg.inv(hessian[j:, j:])[0, 0]) if j < width else 0.0
                    for j in range(i, min(i + size, width))
                ]
                order = sorted(range(len(costs)), key=lambda j: -costs[j])
                for j in order[keep:]:
                    alive[i + j] = False
            if not alive[i]:
                solved[row, i] = 0
            gap = (dense - solved)[row, : i + 1]
            move = torch.linalg.solve(hessian[i + 1 :, i + 1 :], hessian[i + 1 :, : i + 1] @ gap)
            solved[row, i + 1 :] = dense[row, i + 1 :] + move
    return solved


@pytest.mark.parametrize(("keep", "size"), [(1, 4), (2, 4), (3, 4)])
def test_later_columns_are_the_least_squares_answer_to_settled_ones(keep: int, size: int) -> None:
    weight, x = weights(3, 10), inputs(10, 40)
    solved = solve(weight, seen(x), NM(keep=keep, group=size), SparseGPTSettings())
    torch.testing.assert_close(solved, slow(weight, damped(seen(x).moments, 0.01)[0], keep, size))


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 11),
    block=st.integers(1, 6),
    sparsity=st.floats(0, 0.99),
    groups=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_the_layer_count_is_exact(rows: int, columns: int, block: int, sparsity: float, groups: int) -> None:
    weight, statistics = weights(rows * groups, columns), seen(inputs(columns, 30, groups))
    solved = solve(weight, statistics, Unstructured(sparsity), SparseGPTSettings(block=block))
    assert int(solved.count_nonzero()) == kept_count(weight.numel(), sparsity)


def test_groups_are_layers_of_their_own_with_one_count() -> None:
    weight, x = weights(6, 1, 3, 3), inputs(9, 40, groups=3)
    statistics = seen(x)
    nm = NM(keep=1, group=1)
    assert torch.equal(solve(weight, statistics, nm, SparseGPTSettings()), weight)
    whole = solve(weight, statistics, Unstructured(0.5), SparseGPTSettings())
    assert int(whole.count_nonzero()) == 27
    for group in range(3):
        own = weight[2 * group : 2 * group + 2]
        kept = int(whole[2 * group : 2 * group + 2].count_nonzero())
        alone = solve(own, seen(x[group : group + 1]), Unstructured(1 - kept / 18), SparseGPTSettings())
        torch.testing.assert_close(alone, whole[2 * group : 2 * group + 2])


def test_a_convolutions_groups_run_along_its_inputs() -> None:
    weight, x = weights(3, 6, 2, 2), inputs(24, 60)
    solved = solve(weight, seen(x), NM(keep=1, group=4), SparseGPTSettings())
    kept = (solved != 0).movedim(1, -1)
    assert torch.equal(kept[..., :4].sum(-1), torch.ones(3, 2, 2, dtype=torch.int64))
    assert torch.equal(kept[..., 4:].sum(-1), torch.ones(3, 2, 2, dtype=torch.int64))
    masked = torch.where(solved != 0, weight, 0)
    assert output_error(weight, solved, x) < output_error(weight, masked, x)


def test_spans_are_groups_with_their_tails() -> None:
    spans = nm_spans(torch.Size((1, 6, 2)), NM(keep=3, group=4))
    assert [(s.start, s.end, s.keep) for s in spans] == [(0, 4, 3), (4, 6, 2), (6, 10, 3), (10, 12, 2)]


def test_dead_inputs_lose_their_weights() -> None:
    x = inputs(8, 40)
    x[0, [2, 5]] = 0
    solved = solve(weights(4, 8), seen(x), Unstructured(0.5), SparseGPTSettings())
    assert not solved[:, [2, 5]].any() and int(solved.count_nonzero()) == 16


def test_more_columns_than_samples_is_damped() -> None:
    solved = solve(weights(4, 16), seen(inputs(16, 3)), Unstructured(0.5), SparseGPTSettings(damping=0.0))
    assert torch.isfinite(solved).all() and int(solved.count_nonzero()) == 32


@pytest.mark.parametrize("bad", [{"damping": -0.1}, {"damping": 1.5}, {"block": 0}, {"block": 2.5}, {"refit": 2}])
def test_settings_out_of_range(bad: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=next(iter(bad))):
        SparseGPTSettings(**bad)

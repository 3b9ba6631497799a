"""OBC against the theorem behind it and a brute-force reading of its definition."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning.errors import PlanError
from pruning.oneshot import obc
from pruning.oneshot.columns import damped, inverse
from pruning.oneshot.obc import merge, solve, trace
from pruning.oneshot.settings import SolverSettings
from pruning.patterns import NM, Unstructured, kept_count
from tests.pruning.layers_seen import inputs, seen, weights

DAMPING = 0.01


def restricted(row: Tensor, hessian: Tensor, removed: set[int]) -> tuple[Tensor, float]:
    """The row without some weights, the others least squares, and the loss ½ (w - w')ᵀ H (w - w')."""
    kept = [j for j in range(len(row)) if j not in removed]
    solved = torch.zeros_like(row)
    solved[kept] = torch.linalg.solve(hessian[kept][:, kept], hessian[kept] @ row)
    gap = row - solved
    return solved, float(gap @ hessian @ gap) / 2


def greedy(row: Tensor, hessian: Tensor, spans: list[range], quota: int) -> list[tuple[int, float]]:
    """Oracle: remove what costs least, by trying everything; each span gives away `quota` at most."""
    removed: list[int] = []
    losses = [0.0]
    for _ in range(quota * len(spans)):
        allowed = [j for span in spans for j in span if sum(r in span for r in removed) < quota]
        costs = {j: restricted(row, hessian, {*removed, j})[1] for j in allowed if j not in removed}
        removed.append(min(costs, key=costs.__getitem__))
        losses.append(costs[removed[-1]])
    return [(j, b - a) for j, a, b in zip(removed, losses[:-1], losses[1:], strict=True)]


def test_removing_one_weight_is_restricted_least_squares() -> None:
    row, hessian = weights(1, 6), damped(seen(inputs(6, 30)).moments, DAMPING)
    inverted = torch.linalg.inv(hessian)
    for p in range(6):
        moved = row[0] - row[0, p] / inverted[0, p, p] * inverted[0, p]
        solved, loss = restricted(row[0], hessian[0], {p})
        torch.testing.assert_close(moved, solved)
        assert float(row[0, p] ** 2 / (2 * inverted[0, p, p])) == pytest.approx(loss)


def test_the_trace_is_the_brute_force_greedy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obc, "_CHUNK", 2 * 36)  # two rows at a time
    rows, hessian = weights(5, 6), seen(inputs(6, 30)).moments
    whole = torch.tensor([6])
    order, losses = trace(rows, inverse(hessian, DAMPING), whole, whole)
    for row, found, costs in zip(rows, order, losses, strict=True):
        expected = greedy(row, damped(hessian, DAMPING)[0], [range(6)], 5)
        assert found[:5].tolist() == [j for j, _ in expected]
        torch.testing.assert_close(costs[:5], torch.tensor([c for _, c in expected], dtype=torch.float64))


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_n_of_m_is_the_greedy_one_with_closed_groups(keep: int) -> None:
    weight, x = weights(3, 8), inputs(8, 40)
    solved = solve(weight, seen(x), NM(keep=keep, group=4), SolverSettings())
    hessian = damped(seen(x).moments, DAMPING)[0]
    for row, found in zip(weight, solved, strict=True):
        removed = {j for j, _ in greedy(row, hessian, [range(4), range(4, 8)], 4 - keep)}
        torch.testing.assert_close(found, restricted(row, hessian, removed)[0])


def test_a_convolutions_groups_and_tails() -> None:
    weight, x = weights(4, 3, 2, 1), inputs(6, 40, groups=2)
    solved = solve(weight, seen(x), NM(keep=1, group=2), SolverSettings())
    kept = (solved != 0).movedim(1, -1)
    assert kept[..., :2].sum(-1).eq(1).all() and kept[..., 2].all()


@given(losses=st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=1, max_size=4), data=st.data())
@settings(max_examples=40, deadline=None)
def test_merging_takes_the_row_with_the_least_next_loss(losses: list[list[int]], data: st.DataObject) -> None:
    removals = data.draw(st.integers(0, 4 * len(losses)))
    fronts = [0] * len(losses)
    for _ in range(removals):
        following = [row[at] if at < 4 else 99 for row, at in zip(losses, fronts, strict=True)]
        fronts[following.index(min(following))] += 1
    chosen = merge(torch.tensor(losses, dtype=torch.float64), removals)
    assert int(chosen.sum()) == removals
    total = sum(float(loss) for row, at in zip(losses, fronts, strict=True) for loss in row[:at])
    assert float((torch.tensor(losses) * chosen).sum()) == pytest.approx(total)
    assert all(row[: int(row.sum())].all() for row in chosen)  # a trace is taken from its start


def test_two_of_four_columns_are_the_best_pair_where_greed_is_exact() -> None:
    weight, x = weights(3, 4), torch.eye(4).double()[None]  # independent inputs: removals do not interact
    solved = solve(weight, seen(x), Unstructured(0.5), SolverSettings())
    pairs = list(combinations(range(12), 6))
    flat = weight.flatten()
    best = max(pairs, key=lambda kept: float(flat[list(kept)].square().sum()))
    assert solved.flatten().nonzero().flatten().tolist() == list(best)
    torch.testing.assert_close(solved.flatten()[list(best)], flat[list(best)])


@given(rows=st.integers(1, 5), columns=st.integers(1, 8), sparsity=st.floats(0, 0.99), groups=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_the_layer_count_is_exact(rows: int, columns: int, sparsity: float, groups: int) -> None:
    weight = weights(rows * groups, columns)
    solved = solve(weight, seen(inputs(columns, 30, groups)), Unstructured(sparsity), SolverSettings())
    assert int(solved.count_nonzero()) == kept_count(weight.numel(), sparsity)


def test_a_large_layer_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obc, "LIMIT", 4 * 8**3 - 1)
    with pytest.raises(PlanError, match="use sparsegpt"):
        solve(weights(4, 8), seen(inputs(8, 20)), Unstructured(0.5), SolverSettings())

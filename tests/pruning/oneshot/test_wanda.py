"""Wanda: the scores of the paper, compared within each row, with exact counts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning.oneshot.settings import SolverSettings
from pruning.oneshot.wanda import solve
from pruning.patterns import NM, Unstructured, kept_count
from tests.pruning.layers_seen import inputs, seen, weights

SETTINGS = SolverSettings()


def scored(weight: Tensor, x: Tensor, row: int) -> list[tuple[float, int]]:
    """Oracle: the row's columns, best first, by |w| times the norm of what it multiplies."""
    group = row * len(x) // len(weight)
    flat = weight[row].flatten()
    norms = [sum(float(v) ** 2 for v in x[group, j]) ** 0.5 for j in range(len(flat))]
    return sorted((-abs(float(flat[j])) * norms[j], j) for j in range(len(flat)))


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize(("shape", "groups"), [((3, 8), 1), ((4, 2, 2, 2), 2), ((4, 1, 2, 4), 4)])
def test_every_row_keeps_its_best(shape: tuple[int, ...], groups: int, sparsity: float) -> None:
    weight, x = weights(*shape), inputs(8, 30, groups)
    solved = solve(weight, seen(x), Unstructured(sparsity), SETTINGS)
    for row in range(len(weight)):
        best = {j for _, j in scored(weight, x, row)[: kept_count(8, sparsity)]}
        assert set(solved[row].flatten().nonzero().flatten().tolist()) == best
    kept = solved != 0
    assert torch.equal(solved[kept], weight[kept])


@given(rows=st.integers(1, 7), columns=st.integers(1, 9), sparsity=st.floats(0, 0.99), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_the_layer_counts_are_exact_and_rows_differ_by_one_at_most(
    rows: int, columns: int, sparsity: float, seed: int
) -> None:
    solved = solve(weights(rows, columns, seed=seed), seen(inputs(columns, 12)), Unstructured(sparsity), SETTINGS)
    counts = (solved != 0).sum(1)
    assert int(counts.sum()) == kept_count(rows * columns, sparsity)
    assert int(counts.max() - counts.min()) <= 1


def test_what_is_left_over_goes_to_the_rows_with_the_best_next_score() -> None:
    weight = torch.tensor([[9.0, 2.0], [8.0, 3.0], [7.0, 1.0]])
    solved = solve(weight, seen(torch.eye(2).double()[None]), Unstructured(0.3), SETTINGS)  # four of six
    assert solved.tolist() == [[9.0, 0.0], [8.0, 3.0], [7.0, 0.0]]


@pytest.mark.parametrize("pattern", [NM(keep=1, group=4), NM(keep=2, group=4), NM(keep=3, group=4)], ids=str)
@pytest.mark.parametrize("shape", [(3, 8), (2, 6, 3), (2, 7, 2, 1)], ids=str)
def test_groups_run_along_the_inputs_at_a_fixed_kernel_position(shape: tuple[int, ...], pattern: NM) -> None:
    weight = weights(*shape)
    x = inputs(weight[0].numel(), 30)
    solved = solve(weight, seen(x), pattern, SETTINGS)
    scores = (weight.flatten(1).abs() * seen(x).norms).reshape(weight.shape).movedim(1, -1).reshape(-1, shape[1])
    kept = (solved != 0).movedim(1, -1).reshape(-1, shape[1])
    for line, alive in zip(scores, kept, strict=True):
        for start in range(0, shape[1], 4):
            part = line[start : start + 4]
            best = set(part.argsort(descending=True)[: min(pattern.keep, len(part))].tolist())
            assert set(alive[start : start + 4].nonzero().flatten().tolist()) == best


def test_equal_norms_are_magnitude() -> None:
    weight = weights(3, 6)
    solved = solve(weight, seen(torch.eye(6).double()[None]), Unstructured(0.5), SETTINGS)
    best = weight.abs().topk(3, dim=1).indices
    assert torch.equal(solved, torch.zeros_like(weight).scatter(1, best, weight.gather(1, best)))

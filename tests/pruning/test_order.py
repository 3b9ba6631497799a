"""The edge of a row is that of sorting it, whatever way it was found; and the soft mask that rests on it is PDP's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pruning import order
from pruning.masks import Sparse
from pruning.order import edge
from pruning.patterns import NM, Unstructured
from pruning.pruners import make
from tests.pruning.small import weight


def by_sorting(table: Tensor, count: int) -> Tensor:
    """Oracle: descending."""
    return table.sort(dim=1, descending=True).values[:, count - 1 : count + 1]


def same(table: Tensor, count: int) -> bool:
    return torch.equal(edge(table, count).sort(dim=1, descending=True).values, by_sorting(table, count))


@settings(max_examples=25, deadline=None)
@given(
    candidates=st.integers(2, 64),
    rows=st.sampled_from([3, 1024]),
    levels=st.sampled_from([2, 10**6]),
    data=st.data(),
)
def test_short_rows(candidates: int, rows: int, levels: int, data: st.DataObject) -> None:
    table = torch.randint(levels, (rows, candidates), generator=torch.Generator().manual_seed(candidates)).float()
    assert same(table, data.draw(st.integers(1, candidates - 1)))


@pytest.mark.parametrize("length", [65, 16383, 16384, 36864])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_long_rows(length: int, share: float) -> None:
    table = weight((2, length)).abs()
    assert same(table, min(max(1, int(share * length)), length - 1))


ROWS = {
    "sorted": lambda n: torch.arange(n).float(),
    "ties": lambda n: (torch.arange(n) % 3).float(),
    "zeros": lambda n: torch.zeros(n),
    "half zeros": lambda n: weight((n,)).relu(),
    "a kernel's middle is larger": lambda n: weight((n // 9, 9)).abs().mul(torch.tensor([1.0] * 4 + [9.0] + [1.0] * 4)),
    "one is far off": lambda n: torch.cat([weight((n - 1,)).abs(), torch.tensor([torch.inf])]),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("count", [1, 2, 2000, 10_000, 18_000, 18_431])
def test_rows_that_a_sample_might_misjudge(row: str, count: int) -> None:
    assert same(ROWS[row](18_432).reshape(1, -1), count)


@pytest.mark.parametrize("bracket", [(9.0, 10.0), (-2.0, -1.0), (0.5, 0.5), (0.8, 0.2)])
def test_a_bracket_that_misses_is_found_out(bracket: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_bracket", lambda *_: bracket)
    table = torch.rand(1, 20_000, generator=torch.Generator().manual_seed(0))
    assert same(table, 9_000)


def test_the_bracket_mostly_holds_and_is_narrow() -> None:
    for seed in range(20):
        row = weight((30_000,), seed).abs()
        low, high = order._bracket(row, 3_000)
        inside = row[(row >= low) & (row <= high)]
        assert len(inside) < 0.12 * len(row)
        assert low <= by_sorting(row[None], 3_000)[0, 1] <= by_sorting(row[None], 3_000)[0, 0] <= high


@pytest.mark.parametrize("pruner", ["pdp", "idp"])
@pytest.mark.parametrize("pattern", [Unstructured(0.7), NM(keep=1, group=4), NM(keep=2, group=7)], ids=str)
@pytest.mark.parametrize("shape", [(6, 28), (6, 29), (4, 8, 3, 3)], ids=str)
def test_the_masked_weight_made_in_place_is_the_formulas(pruner: str, pattern: Sparse, shape: tuple[int, ...]) -> None:
    p = make(pruner, pattern, {"ramp": 0.1, "harden": 1.0})
    p.progress = 0.5
    w, upstream = weight(shape).requires_grad_(), weight(shape, seed=1)
    (quick,) = torch.autograd.grad(made := p.masked(w), w, upstream)
    (slow,) = torch.autograd.grad(formula := w * p(w), w, upstream)
    assert torch.equal(made, formula)
    assert torch.allclose(quick, slow, rtol=1e-5, atol=1e-6)
    assert made.stride() == w.stride()


@pytest.mark.parametrize("values", [{}, {"tau_absolute": 1e-30}], ids=str)
def test_weights_that_are_mostly_zero_have_finite_gradients(values: dict[str, float]) -> None:
    p = make("pdp", Unstructured(0.5), {"ramp": 0.1, "harden": 1.0, **values})
    p.progress = 0.5
    w = torch.tensor([[0.0, 0.0, 0.0, 0.0, 30.0, 1e-3]], requires_grad=True)
    p.masked(w).backward(torch.ones(1, 6))
    assert w.grad.isfinite().all() and w.grad[0, 4] == 1

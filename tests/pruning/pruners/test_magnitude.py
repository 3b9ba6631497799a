"""Magnitude pruning keeps the largest, from the start."""

import pytest
import torch

from pruning.masks import Sparse
from pruning.patterns import Unstructured
from pruning.pruners.magnitude import Magnitude
from tests.pruning.small import ELEMENTS, SHAPES, survivors, weight


def test_the_largest_survive_from_the_first_moment() -> None:
    w = torch.tensor([[0.1, -3.0], [2.0, -0.2]])
    pruner = Magnitude(Unstructured(0.5))
    pruner.advance(w, 0.0)
    assert pruner(w).tolist() == [[False, True], [True, False]]
    assert pruner.gap == 0.0


@pytest.mark.parametrize("pattern", ELEMENTS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nothing_larger_is_dropped_in_any_row(pattern: Sparse, shape: tuple[int, ...]) -> None:
    pruner = Magnitude(pattern)
    pruner.advance(weight(shape), 0.0)
    assert torch.equal(pruner(weight(shape)), survivors(weight(shape), pattern))

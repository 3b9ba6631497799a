"""The checker is told nothing but the weights: it counts whole units, and one too many is an error."""

import pytest
import torch
from torch import nn

from pruning import masks
from pruning.errors import ConstraintError
from pruning.layers import LayerSpec, ModelSpec
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Dense, Kernel, Unstructured
from pruning.plan import PruningPlan
from pruning.verify import LayerReport, verify
from tests.pruning.small import survivors, weight

SHAPE = (6, 5, 3, 3)
PATTERNS: tuple[Sparse, ...] = (Unstructured(0.7), NM(keep=2, group=4), Block(4, 2, 0.5), Kernel(0.6))
every_pattern = pytest.mark.parametrize("pattern", PATTERNS, ids=str)


def checked(weights: torch.Tensor, pattern: Sparse | Dense) -> LayerReport:
    net = nn.Module()
    net.w = nn.Parameter(weights)
    layer = LayerSpec(name="conv", parameter="w", op="conv2d", in_channels=5, out_channels=6, kernel=(3, 3))
    spec = ModelSpec(layers=(layer,), groups=(), input_shape=(), output_shapes=(), parameter_count=0)
    return verify(net, spec, PruningPlan(pruner="magnitude", patterns={"conv": pattern}), {}).layers[0]


@every_pattern
def test_exactly_what_the_pattern_allows_is_counted(pattern: Sparse) -> None:
    mask = survivors(weight(SHAPE), pattern)
    report = checked(weight(SHAPE) * mask, pattern)
    assert report.zeros == report.remaining_zeros == int((~mask).sum())
    assert report.sparsity == pytest.approx(float((~mask).float().mean()))
    assert report.nm_valid is (True if isinstance(pattern, NM) else None)
    assert (report.gap, report.sharpness, report.warnings) == (0.0, None, ())


@every_pattern
def test_one_weight_of_one_more_unit_breaks_it(pattern: Sparse) -> None:
    pruned = weight(SHAPE) * survivors(weight(SHAPE), pattern)
    first = (pruned == 0).nonzero()[0]
    pruned[tuple(first)] = 1e-9
    with pytest.raises(ConstraintError, match=r"layer 'conv' has .* that are not zero; .* allows"):
        checked(pruned, pattern)


@pytest.mark.parametrize("pattern", [Block(4, 2, 0.5), Kernel(0.6)], ids=str)
def test_scattered_zeros_of_the_right_number_are_no_pattern(pattern: Sparse) -> None:
    zeros = int((~survivors(weight(SHAPE), pattern)).sum())
    scattered = weight(SHAPE) * survivors(weight(SHAPE), Unstructured(zeros / weight(SHAPE).numel()))
    assert int((scattered == 0).sum()) >= zeros
    with pytest.raises(ConstraintError):
        checked(scattered, pattern)


def test_more_zeros_than_promised_are_fine_and_dense_promises_nothing() -> None:
    nothing = torch.zeros(SHAPE)
    for pattern in (*PATTERNS, Dense()):
        assert checked(nothing, pattern).sparsity == 1.0
    assert checked(weight(SHAPE), Dense()).zeros == 0
    assert masks.keep(torch.Size(SHAPE), Block(4, 2, 0.5)) == 27  # 2 x 3 tiles, ragged ones too, at 9 positions

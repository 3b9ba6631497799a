"""Counting against the plan: masks that keep it, one weight too many, and the fewest zeros by brute force."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning import masks
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import NM, Block, Dense, Kernel, Pattern, Unstructured
from pruning.plan import PruningPlan
from pruning.proof import LayerCount, count_layers

PATTERNS: tuple[Pattern, ...] = (
    Unstructured(0.6),
    NM(keep=2, group=4),
    NM(keep=1, group=4),
    Block(rows=2, cols=3, sparsity=0.5),
    Kernel(0.5),
)


def counted(pattern: Pattern, weight: torch.Tensor) -> LayerCount:
    out, inputs = weight.shape[:2]
    layer = LayerSpec(
        name="a", parameter="p0", op="conv2d", in_channels=inputs, out_channels=out, kernel=tuple(weight.shape[2:])
    )
    spec = ModelSpec(
        layers=(layer,), groups=(), input_shape=(inputs, 4, 4), output_shapes=((out,),), parameter_count=weight.numel()
    )
    plan = PruningPlan(pruner="magnitude", patterns={"a": pattern})
    (found,) = count_layers(spec, plan, {"p0": weight})
    return found


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@given(out=st.integers(1, 5), inputs=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=12)
def test_a_mask_of_the_pattern_holds_and_one_weight_more_does_not(
    pattern: Pattern, out: int, inputs: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(out, inputs, 2, 2, generator=generator) + 0.1
    assert not isinstance(pattern, Dense)
    kept = masks.mask(scores, pattern)
    weight = scores * kept
    found = counted(pattern, weight)
    assert found.holds and found.zeros == int((weight == 0).sum()) >= found.promised_zeros
    if found.groups is not None:
        assert found.valid_groups == found.groups
    if found.zeros == 0 or isinstance(pattern, Block):  # a tile that is zero may be smaller than one that stays
        return
    weight[tuple(part[0] for part in torch.nonzero(~kept, as_tuple=True))] = 1.0
    broken = counted(pattern, weight)
    assert not broken.holds
    if broken.groups is not None:
        assert broken.valid_groups == broken.groups - 1


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_the_promise_is_the_fewest_zeros_that_any_mask_has(pattern: Pattern) -> None:
    assert not isinstance(pattern, Dense)
    shape = torch.Size((3, 7, 2, 1))
    generator = torch.Generator().manual_seed(0)
    drawn = [masks.mask(torch.rand(shape, generator=generator), pattern) for _ in range(400)]
    assert min(int((~mask).sum()) for mask in drawn) == counted(pattern, torch.ones(shape)).promised_zeros


def test_a_dense_layer_promises_nothing() -> None:
    found = counted(Dense(), torch.ones(2, 2, 1, 1))
    assert (found.promised_zeros, found.zeros, found.groups, found.holds) == (0, 0, None, True)

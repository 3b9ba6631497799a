"""What every pruner must do, over every pattern. A new pruner is tested by its line in `PRUNERS`."""

import pytest
import torch
from torch import nn

from pruning.errors import PlanError
from pruning.masked import MaskedWeight, attach, bake
from pruning.masks import Sparse, split
from pruning.patterns import NM, Channel, Unstructured
from pruning.pruners import PRUNERS, make
from tests.pruning.small import ELEMENTS, SHAPES, survivors, weight

CASES = [(p, shape) for p in ELEMENTS for shape in SHAPES] + [
    (Channel(s), (c,)) for s in (0.0, 0.5, 0.95) for c in (1, 7, 32)
]
every_pruner = pytest.mark.parametrize("name", PRUNERS)
every_case = pytest.mark.parametrize(("pattern", "shape"), CASES, ids=str)


def values(shape: tuple[int, ...], pattern: Sparse) -> torch.Tensor:
    """Weights, or norms, without ties."""
    return weight(shape).abs() + 0.01 if isinstance(pattern, Channel) else weight(shape)


@every_pruner
@every_case
def test_a_mask_on_its_way_is_between_0_and_1_and_shaped_like_its_values(
    name: str, pattern: Sparse, shape: tuple[int, ...]
) -> None:
    v = values(shape, pattern)
    pruner = make(name, pattern, {})
    for progress in (0.0, 0.05, 0.3, 0.7):
        pruner.advance(v, progress)
        mask = pruner(v).float()
        assert mask.shape == v.shape
        assert mask.min() >= 0 and mask.max() <= 1


@every_pruner
@every_case
def test_the_final_mask_is_binary_exact_and_fixed(name: str, pattern: Sparse, shape: tuple[int, ...]) -> None:
    v = values(shape, pattern)
    pruner = make(name, pattern, {})
    pruner.advance(v, 0.0)
    pruner.advance(v, 1.0)
    final = pruner(v)
    counts = [split(mask, pattern).sum(dim=1).tolist() for mask in (final, survivors(v, pattern))]
    assert final.dtype == torch.bool
    assert counts[0] == counts[1]  # in every row of the pattern
    pruner.advance(-2 * v.flip(0), 0.3)  # neither other values nor a step back move it
    assert torch.equal(pruner(v.flip(0)), final)
    assert torch.equal(pruner.kept(v.flip(0)), final)


@every_pruner
@every_case
def test_ties_do_not_change_the_count(name: str, pattern: Sparse, shape: tuple[int, ...]) -> None:
    pruner = make(name, pattern, {})
    pruner.advance(torch.ones(shape), 1.0)
    assert int(pruner(torch.ones(shape)).sum()) == int(survivors(torch.ones(shape), pattern).sum())


@every_pruner
@every_case
def test_zero_and_tiny_values_give_no_nan(name: str, pattern: Sparse, shape: tuple[int, ...]) -> None:
    for v in (torch.zeros(shape), 1e-30 * values(shape, pattern), 1e18 * values(shape, pattern)):
        v = v.clone().requires_grad_()
        pruner = make(name, pattern, {})
        pruner.advance(v, 0.3)
        (pruner(v).float() * v).sum().backward()
        assert torch.isfinite(v.grad).all()


@every_pruner
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pattern", [Unstructured(0.75), NM(keep=2, group=4)], ids=str)
def test_half_weights_have_wide_masks_and_stay_half(name: str, pattern: Sparse, dtype: torch.dtype) -> None:
    layer = nn.Linear(16, 8, bias=False)
    with torch.no_grad():
        layer.weight.copy_(100 * weight((8, 16)))  # squares overflow fp16
    layer = layer.to(dtype)
    pruner = make(name, pattern, {})
    pruner.advance(layer.weight, 0.3)
    assert pruner(layer.weight).dtype in (torch.float32, torch.bool)
    attach(layer, {"weight": MaskedWeight(make(name, pattern, {}))})
    assert layer.weight.dtype == dtype
    bake(layer)
    assert layer.weight.dtype == dtype
    assert int(layer.weight.count_nonzero()) == int(survivors(weight((8, 16)), pattern).sum())


@every_pruner
def test_settings_are_read_strictly(name: str) -> None:
    with pytest.raises(PlanError, match="no setting 'temperature'"):
        make(name, Unstructured(0.5), {"temperature": 1.0})


def test_an_unknown_pruner_is_named() -> None:
    with pytest.raises(PlanError, match=r"no pruner 'lottery'; there are \['magnitude', 'pdp'\]"):
        make("lottery", Unstructured(0.5), {})

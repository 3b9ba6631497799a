"""Forward is the hard mask, backward is g + λ (1 - M) W."""

import pytest
import torch

from pruning.errors import PlanError
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Kernel, Unstructured
from pruning.pruners.sr_ste import SRSTE
from tests.pruning.small import survivors, weight


@pytest.mark.parametrize("pattern", [NM(keep=2, group=4), NM(keep=1, group=4), Unstructured(0.7), Block(2, 2, 0.5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_forward_and_backward_are_the_formula(pattern: Sparse, dtype: torch.dtype) -> None:
    w = weight((6, 8, 3)).to(dtype).requires_grad_()
    g = weight((6, 8, 3), seed=1).to(dtype)
    pruner = SRSTE(pattern, {"decay": 0.1})
    pruner.advance(w, 0.2)
    out = pruner.masked(w)
    (out * g).sum().backward()
    m = survivors(w.detach(), pattern).to(dtype)
    assert torch.equal(out, w * m)
    assert torch.allclose(w.grad, g + 0.1 * (1 - m) * w.detach(), atol=1e-6)


def test_the_mask_follows_the_weights_until_it_is_fixed() -> None:
    w = torch.tensor([[4.0, 3.0, 2.0, 1.0]], requires_grad=True)
    pruner = SRSTE(NM(keep=2, group=4), {"harden": 0.5})
    pruner.advance(w, 0.4)
    assert pruner.masked(w.flip(1)).tolist() == [[0, 0, 3, 4]]
    pruner.advance(w, 0.5)
    out = pruner.masked(w.flip(1))
    assert out.tolist() == [[1, 2, 0, 0]]
    out.sum().backward()
    assert w.grad.tolist() == [[0, 0, 1, 1]]  # fixed: no gradient passes the mask


def test_pruned_weights_decay_to_zero_and_others_do_not() -> None:
    w = weight((4, 8)).requires_grad_()
    pruner = SRSTE(Kernel(0.5), {"decay": 0.5})
    pruner.advance(w, 0.0)
    (0 * pruner.masked(w)).sum().backward()
    gone = ~survivors(w.detach(), Kernel(0.5))
    assert torch.equal(w.grad != 0, gone)
    assert torch.allclose(w.grad[gone], 0.5 * w.detach()[gone])


@pytest.mark.parametrize("settings", [{"decay": -1.0}, {"decay": 2.0}, {"harden": 1.5}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=next(iter(settings))):
        SRSTE(Unstructured(0.5), settings)

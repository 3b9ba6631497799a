"""PDP's masks and gradients against PQuant's, an independent implementation of the paper.

PQuant differentiates through the threshold t, which is the mean of two weights; we hold it constant. So the gradients
of these two differ, and all others agree. At sparsities that keep all or nothing PQuant takes t between the last or
first two weights; ours is all ones or zeros there: not compared.
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from pruning.masks import Sparse
from pruning.patterns import Channel, Unstructured, kept_count
from pruning.pruners import make
from tests.pruning.small import weight

WHY = "pquant-ml is not installed: pip install espalier[oracles], and KERAS_BACKEND=torch"
CASES = [(sparsity, tau) for sparsity in (0.25, 0.5, 0.9) for tau in (1e-3, 1e-2, 0.1)]
every_case = pytest.mark.parametrize(("sparsity", "tau"), CASES)


def theirs(values: Tensor, kind: str, sparsity: float, tau: float, *, structured: bool) -> Any:
    """PQuant's layer mask at its full sparsity, after its pre-training."""
    pdp = pytest.importorskip("pquant.core.torch.pruning_methods.pdp", reason=WHY)
    asked = SimpleNamespace(sparsity=sparsity, epsilon=1.0, temperature=tau, structured_pruning=structured)
    mask = pdp.PDP(SimpleNamespace(pruning_parameters=asked), kind)
    mask.build(values.shape)
    mask.post_pre_train_function()
    mask.pre_epoch_function(0, 1)
    return mask


def ours(pattern: Sparse, values: Tensor, tau: float) -> Any:
    pruner = make("pdp", pattern, {"tau_absolute": tau, "ramp": 0.0})
    pruner.advance(values.detach(), 0.1)
    return pruner


@every_case
@pytest.mark.parametrize("shape", [(12, 10), (8, 5, 3, 3)], ids=str)
def test_masks_of_weights_and_their_gradients(shape: tuple[int, ...], sparsity: float, tau: float) -> None:
    dense = 0.1 * weight(shape)  # as layers have them: of a large w²/τ, fp32 keeps fewer digits
    mine, other = dense.clone().requires_grad_(), dense.clone().requires_grad_()
    mask = theirs(other, "conv", sparsity, tau, structured=False)
    pruner = ours(Unstructured(sparsity), mine, tau)
    torch.testing.assert_close(pruner(mine), mask._compute_mask(other), rtol=0, atol=1e-6)
    pull = weight(shape, seed=1)
    (pruner.masked(mine) * pull).sum().backward()
    (mask(other) * pull).sum().backward()
    assert mine.grad is not None and other.grad is not None
    kept = kept_count(mine.numel(), sparsity)
    edge = mine.detach().abs().flatten().argsort(descending=True)[kept - 1 : kept + 1]
    rest = torch.ones(mine.numel(), dtype=torch.bool).index_fill(0, edge, False)
    torch.testing.assert_close(mine.grad.flatten()[rest], other.grad.flatten()[rest], rtol=1e-4, atol=1e-5)


@every_case
@pytest.mark.parametrize(("kind", "shape"), [("linear", (16, 10)), ("conv", (16, 5, 3, 3))], ids=str)
def test_masks_of_channels(kind: str, shape: tuple[int, ...], sparsity: float, tau: float) -> None:
    values = 0.1 * weight(shape).double()
    norms = values.flatten(1).norm(dim=1)
    found = ours(Channel(sparsity), norms, tau)(norms)
    expected = theirs(values, kind, sparsity, tau, structured=True)._compute_mask(values)
    torch.testing.assert_close(found, expected.flatten(), rtol=0, atol=1e-9)

"""Masks by magnitude, and DKM's palettes, against coremltools: Core ML's n of n:m counts zeros, ours what is kept."""

import warnings
from types import ModuleType

import pytest
import torch

from pruning import masks
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured
from pruning.quantise.dkm import DKMSettings, DKMWeight, cluster
from pruning.quantise.palette import fit
from tests.pruning.small import weight

WHY = "coremltools is not installed: pip install espalier[oracles]"


def module(name: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: ModuleType = pytest.importorskip(f"coremltools.optimize.torch.{name}", reason=WHY)
    return found


@pytest.mark.parametrize("shape", [(6, 8), (5, 10), (4, 7), (4, 6, 3), (3, 9, 2, 2), (8, 1, 3, 3)], ids=str)
@pytest.mark.parametrize(("zeros", "group"), [(2, 4), (3, 4), (1, 4), (4, 8)])
def test_n_of_m_along_the_inputs_with_ragged_tails(shape: tuple[int, ...], zeros: int, group: int) -> None:
    values = weight(shape)
    expected = module("pruning._utils").n_m_mask(values, (zeros, group), dim=1)
    assert torch.equal(masks.mask(values.abs(), NM(keep=group - zeros, group=group)), expected != 0)


@pytest.mark.parametrize(
    ("pattern", "size", "granularity"),
    [
        (Unstructured(0.75), 1, "per_scalar"),
        (Block(rows=4, cols=1, sparsity=0.75), 4, "per_scalar"),
        (Block(rows=2, cols=1, sparsity=0.5), 2, "per_scalar"),
        (Kernel(0.75), 1, "per_kernel"),
    ],
    ids=str,
)
def test_the_largest_units_of_a_layer(pattern: Sparse, size: int, granularity: str) -> None:
    values = weight((8, 6, 2, 2))
    sparsity = 1 - pattern.density
    expected = module("pruning._utils").magnitude_ranked_mask(values, sparsity, size, granularity)
    assert torch.equal(masks.mask(values.abs(), pattern), expected.expand(values.shape))


def test_the_largest_channels_of_a_layer() -> None:
    values = weight((8, 6, 2, 2))
    expected = module("pruning._utils").magnitude_ranked_mask(values, 0.5, 1, "per_channel")
    assert torch.equal(masks.mask(values.flatten(1).norm(dim=1), Channel(0.5)), expected.flatten())


@pytest.mark.parametrize(("bits", "tau"), [(2, 1e-2), (3, 0.3), (4, 1e-3)])
def test_palettes_their_gradients_and_centroids(bits: int, tau: float) -> None:
    palettes = module("palettization.fake_palettize")
    observers = pytest.importorskip("torch.ao.quantization", reason="torch has no observers any more")
    options = {"palett_tau": tau, "palett_epsilon": 0.0, "prune_threshold": 0.0, "zero_threshold": 0.0}
    observer = observers.MovingAverageMinMaxObserver.with_args(dtype=torch.qint8)
    theirs = palettes.FakePalettize(observer, bits, 1, advanced_options=options)
    theirs.enable_fake_palett()
    dense = weight((12, 10))
    start = fit(dense, bits=bits).centroids + 0.05
    theirs.create_partitions(dense)
    theirs.centroids[0] = start.clone()
    config = DKMSettings(bits=bits, tau=tau, relative=False, pin_zero=False)
    ours_in, theirs_in = dense.clone().requires_grad_(), dense.clone().requires_grad_()
    soft, ended = cluster(ours_in, start, config)
    expected = theirs.train()(theirs_in)
    torch.testing.assert_close(soft, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ended, theirs.centroids[0], rtol=1e-4, atol=1e-5)
    soft.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(ours_in.grad, theirs_in.grad, rtol=1e-3, atol=1e-4)
    hard = DKMWeight(dense, config).eval()
    hard.centroids = ended.detach()
    torch.testing.assert_close(hard(dense), theirs.eval()(dense).detach(), rtol=1e-4, atol=1e-5)

"""Layers with inputs for solver tests: ill-scaled and correlated columns, as trained nets have them."""

import torch
from torch import Tensor

from pruning.calibrate import LayerStatistics


def inputs(columns: int, samples: int, groups: int = 1, seed: int = 0) -> Tensor:
    """X: `groups x columns x samples`, fp64; scales over two decades, neighbours correlated."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(groups, columns, samples, generator=generator, dtype=torch.float64)
    scales = torch.logspace(-1, 1, columns, dtype=torch.float64)[torch.randperm(columns, generator=generator)]
    return scales[:, None] * (normal + 0.8 * normal.roll(1, dims=1))


def seen(x: Tensor) -> LayerStatistics:
    """The statistics of X."""
    return LayerStatistics(samples=x.shape[-1], squares=x.square().sum(-1), hessian=2 * x @ x.mT)


def weights(*shape: int, seed: int = 7) -> Tensor:
    """Normal fp64 weights."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def output_error(reference: Tensor, weight: Tensor, x: Tensor) -> float:
    """||(W - W') X||² / ||W X||² from the inputs themselves, for one group."""
    change, whole = (reference - weight).flatten(1) @ x[0], reference.flatten(1) @ x[0]
    return float(change.square().sum() / whole.square().sum())

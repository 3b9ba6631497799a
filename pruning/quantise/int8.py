"""Symmetric 8-bit weights, one scale per output channel: q = round(w / s), s = max |w| / 127.

Ties go to the even code. Zero is code 0, so pruned weights stay exactly zero. The codes are what a device
stores; the net keeps their products with the scales, in its own type ("fake quantisation").
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.importance import widened

LARGEST = 127  # -128 is left out, so that the range is symmetric


@dataclass(frozen=True, kw_only=True, eq=False)
class Int8Weight:
    """Codes in the weight's shape (int8), and the scale of each slice along `dim` (at least fp32)."""

    codes: Tensor
    scales: Tensor
    dim: int

    def weight(self) -> Tensor:
        """The weight that the codes stand for, in the scales' type."""
        return self.codes * _along(self.scales, self.codes, self.dim)

    @property
    def storage_bytes(self) -> int:
        """One byte a weight and four a scale."""
        return self.codes.numel() + 4 * self.scales.numel()


@torch.no_grad()
def quantise(weight: Tensor, dim: int = 0) -> Int8Weight:
    """The 8-bit form of a weight whose output channels lie along `dim`; off by half a scale at most."""
    values = widened(weight)
    largest = values.abs().movedim(dim, 0).flatten(1).amax(dim=1)
    scales = (largest / LARGEST).clamp(min=torch.finfo(values.dtype).tiny)  # a channel of zeros has a scale too
    codes = (values / _along(scales, values, dim)).round().clamp(-LARGEST, LARGEST)
    return Int8Weight(codes=codes.to(torch.int8), scales=scales, dim=dim)


def _along(scales: Tensor, values: Tensor, dim: int) -> Tensor:
    return scales.reshape([-1 if d == dim else 1 for d in range(values.ndim)])

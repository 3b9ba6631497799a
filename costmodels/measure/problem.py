"""One layer to be timed, on random data: the tensors, and what torch computes with them.

Every backend gets the same problem, so their answers can be compared. All inputs are views of one pool of random
numbers: a campaign holds as much memory as its largest input, not the sum of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.layers import LayerSpec

CONVS: Mapping[str, Callable[..., Tensor]] = {"conv1d": functional.conv1d, "conv2d": functional.conv2d}
TAILS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hardtanh": functional.hardtanh,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "silu": functional.silu,
    "mish": functional.mish,
    "gelu": functional.gelu,
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the calls run and what is in a batch."""

    batch: int
    threads: int
    device: torch.device
    dtype: torch.dtype


class LayerProblem(nn.Module):
    """A layer and its tail with random weights of variance 1 / fan-in, and an input for it."""

    value: Tensor
    weight: Tensor
    bias: Tensor | None
    norm: Tensor  # mean, variance, scale, shift

    def __init__(self, layer: LayerSpec, place: Place, pool: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.value = _slice(pool, input_shape(layer, place.batch))
        fan_in = prod(weight_shape(layer)[1:])
        self.register_buffer("weight", _slice(pool, weight_shape(layer)) / sqrt(fan_in))
        vectors = torch.rand(5, layer.out_channels, device=place.device, dtype=place.dtype) + 0.5
        self.register_buffer("bias", vectors[0].clone() if layer.has_bias else None)
        self.register_buffer("norm", vectors[1:].clone())

    def forward(self, value: Tensor) -> Tensor:
        """The layer and its tail."""
        return self.finish(self._multiplied(value))

    def finish(self, value: Tensor) -> Tensor:
        """What only the layer feeds."""
        for name in self.layer.tail:
            if name == "batch_norm":
                mean, variance, scale, shift = self.norm
                value = functional.batch_norm(value, mean, variance, scale, shift)
            elif name in TAILS:
                value = TAILS[name](value)
        return value

    def _multiplied(self, value: Tensor) -> Tensor:
        layer = self.layer
        if layer.op == "linear":
            return functional.linear(value, self.weight, self.bias)
        if layer.op == "conv_transpose2d":
            return functional.conv_transpose2d(
                value,
                self.weight,
                self.bias,
                layer.stride,
                layer.padding,
                output_padding(layer),
                layer.groups,
                layer.dilation,
            )
        options = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return CONVS[layer.op](value, self.weight, self.bias, *options)


class Chain(nn.Module):
    """A layer several times behind itself."""

    def __init__(self, problem: LayerProblem, copies: int) -> None:
        super().__init__()
        self.problem, self.copies = problem, copies

    def forward(self, value: Tensor) -> Tensor:
        """All copies, one after another."""
        for _ in range(self.copies):
            value = self.problem(value)
        return value


def input_shape(layer: LayerSpec, batch: int) -> tuple[int, ...]:
    """What the layer reads: tokens are a dimension of their own where there are several."""
    if layer.op == "linear":
        return (batch, *((layer.positions,) if layer.positions > 1 else ()), layer.in_channels)
    return (batch, layer.in_channels, *layer.input_size)


def weight_shape(layer: LayerSpec) -> tuple[int, ...]:
    """As torch keeps it."""
    if layer.transposed:
        return (layer.in_channels, layer.out_channels // layer.groups, *layer.kernel)
    return (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel)


def output_padding(layer: LayerSpec) -> tuple[int, ...]:
    """What a transposed convolution's output has beyond (in - 1) * stride - 2 * padding + dilation * (k - 1) + 1."""
    sizes = (layer.input_size, layer.output_size, layer.stride, layer.padding, layer.dilation, layer.kernel)
    return tuple(
        after - ((before - 1) * stride - 2 * padding + dilation * (k - 1) + 1)
        for before, after, stride, padding, dilation, k in zip(*sizes, strict=True)
    )


def pool_for(layers: list[LayerSpec], place: Place) -> Tensor:
    """Random numbers, as many as the largest input or weight."""
    shapes = [shape for layer in layers for shape in (input_shape(layer, place.batch), weight_shape(layer))]
    return torch.randn(max(map(prod, shapes)), device=place.device, dtype=place.dtype)


def _slice(pool: Tensor, shape: tuple[int, ...]) -> Tensor:
    return pool[: prod(shape)].view(shape)

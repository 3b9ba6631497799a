"""The shapes to be timed: each layer at full size, and at the widths that removing channels can lead to."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from pruning.layers import LayerSpec, ModelSpec

_ALONE = (1.0, 0.75, 0.5, 0.25, 0.125)  # widths where only the inputs or only the outputs can shrink
_BOTH = (1.0, 0.5, 0.25, 0.125)  # on each axis where both can


def shapes(layer: LayerSpec, spec: ModelSpec) -> Iterator[LayerSpec]:
    """The layer at full size first, then at the widths that removing channels can lead to."""
    roles = {cut.role for g in spec.groups if g.removable for cut in g.cuts if cut.parameter == layer.parameter}
    shrinks_in, shrinks_out = "consumer" in roles, "producer" in roles
    if layer.depthwise:
        ratio = layer.out_channels // layer.in_channels
        widths = [(n, ratio * n) for n in _widths(layer.in_channels, _ALONE if roles else (1.0,))]
    else:
        shares = _BOTH if shrinks_in and shrinks_out else _ALONE
        ins = _widths(layer.in_channels, shares if shrinks_in else (1.0,))
        outs = _widths(layer.out_channels, shares if shrinks_out else (1.0,))
        widths = list(product(ins, outs))
    for inputs, outputs in widths:
        shape = layer.resized(inputs, outputs)
        if inputs % shape.groups == 0 and outputs % shape.groups == 0:
            yield shape


def signature(layer: LayerSpec) -> LayerSpec:
    """Layers of the same signature take the same time."""
    return replace(layer, name="", parameter="", calls=1)


def fits_behind_itself(layer: LayerSpec) -> bool:
    """Whether the layer's output can be its input, so that it can be chained."""
    return layer.in_channels == layer.out_channels and layer.input_size == layer.output_size


def _widths(channels: int, shares: tuple[float, ...]) -> list[int]:
    return list(dict.fromkeys(max(1, round(channels * share)) for share in shares))

"""What a layer is, told from the shapes of its tensors: profilers write those where they drop or change names.

Shapes come from files, so every one of them may be nonsense; a shape that fits no convolution gives None, and the
importer keeps the tool's own word for the layer.
"""

from collections.abc import Sequence
from math import prod

from costmodels.profile import ProfileLayer

Shape = tuple[int, ...]
MAX_SIZE = 2**24
MAX_DIMS = 8
_LARGEST_KERNEL = 256


def shape_of(value: object) -> Shape:
    """The list as a shape; () where it is none of positive whole numbers."""
    if not isinstance(value, list | tuple) or len(value) > MAX_DIMS:
        return ()
    good = all(isinstance(size, int) and not isinstance(size, bool) and 0 < size <= MAX_SIZE for size in value)
    return tuple(value) if good else ()


def convolution(name: str, image: Shape, weight: Shape, output: Shape, *, stride: Shape = ()) -> ProfileLayer | None:
    """The layer that turns `image` (N C *size) into `output` (N O *size) by `weight` (O I/groups *kernel).

    A stride that is not stated follows from the sizes where only one fits. The MACs are those of one sample.
    """
    dims = len(weight) - 2
    if dims < 1 or len(image) != dims + 2 or len(output) != dims + 2:
        return None
    in_channels, out_channels, kernel = image[1], weight[0], weight[2:]
    if in_channels % weight[1] or output[1] != out_channels:
        return None
    groups = in_channels // weight[1]
    if out_channels % groups:
        return None
    weights, positions = prod(weight), prod(output[2:])
    return ProfileLayer(
        name=name,
        op=f"conv{dims}d",
        in_channels=in_channels,
        out_channels=out_channels,
        kernel=kernel,
        stride=stride or _stride(image[2:], output[2:], kernel),
        groups=groups,
        input_size=image[2:],
        output_size=output[2:],
        positions=positions,
        weights=weights,
        macs=weights * positions,
    )


def linear(name: str, features: Shape, out_channels: int, *, batch: int | None) -> ProfileLayer:
    """The layer that gives `out_channels` to the last dimension of `features` (N *positions I).

    Without a batch, or one that does not divide the rows, positions and MACs stay unsaid.
    """
    rows, weights = prod(features[:-1]), features[-1] * out_channels
    positions = rows // batch if batch and rows % batch == 0 else None
    return ProfileLayer(
        name=name,
        op="linear",
        in_channels=features[-1],
        out_channels=out_channels,
        positions=positions,
        weights=weights,
        macs=weights * positions if positions else None,
    )


def convolved(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Output size of one dimension: floor((size + padding - dilation (kernel - 1) - 1) / stride) + 1.

    `padding` is that of both ends together; below 1 the sizes do not fit.
    """
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


def _stride(sizes: Sequence[int], outputs: Sequence[int], kernel: Sequence[int]) -> Shape:
    found = tuple(map(_only_stride, sizes, outputs, kernel))
    return tuple(one for one in found if one) if all(found) else ()


def _only_stride(size: int, output: int, kernel: int) -> int | None:
    """The stride that turns `size` into `output` under some padding below the kernel, if there is just one."""
    if output < 2 or kernel > _LARGEST_KERNEL:
        return None
    fits: set[int] = set()
    for padding in range(kernel):
        steps = size + padding - kernel  # output = steps // stride + 1
        least, most = steps // output + 1, steps // (output - 1)
        if least < most:
            return None
        if least == most and least > 0:
            fits.add(least)
    return fits.pop() if len(fits) == 1 else None

"""Operators of PyTorch as its profiler writes them: which multiply weights, and what their inputs tell of them."""

import re
from collections.abc import Iterable
from typing import Any

from costmodels.importers.shapes import MAX_SIZE, Shape, convolution, convolved, linear, shape_of
from costmodels.profile import ProfileLayer

Event = dict[str, Any]  # with `name` and `args`

# where stride, padding and dilation stand among the inputs; mkldnn's convolution names its padding first
_CONVOLUTIONS = {
    "aten::conv1d": (3, 4, 5),
    "aten::conv2d": (3, 4, 5),
    "aten::conv3d": (3, 4, 5),
    "aten::convolution": (3, 4, 5),
    "aten::_convolution": (3, 4, 5),
    "aten::mkldnn_convolution": (4, 3, 5),
    "aten::cudnn_convolution": (3, 2, 4),
}
_TRANSPOSED_AT = {"aten::convolution": 6, "aten::_convolution": 6}
_LINEARS = ("aten::linear", "aten::addmm", "aten::mm")
MULTIPLYING = frozenset((*_CONVOLUTIONS, *_LINEARS))
_PRECISIONS = {
    "float": "float32",
    "double": "float64",
    "c10::Half": "float16",
    "c10::BFloat16": "bfloat16",
    "signed char": "int8",
    "c10::qint8": "int8",
    "c10::quint8": "int8",
}
_NUMBER = re.compile(r"-?\d{1,8}")


def described(name: str, event: Event, batch: int | None) -> ProfileLayer | None:
    """The layer of an operator that multiplies weights; None for every other, and for shapes that fit none."""
    operator, shapes = event["name"], first_shapes(event)
    if operator in _CONVOLUTIONS:
        return _convolution(name, event, shapes)
    if operator not in _LINEARS or not shapes[0]:
        return None
    if operator == "aten::linear":  # (*, I) and (O, I)
        out_channels = shapes[1][0] if len(shapes[1]) == 2 else 0
        features = shapes[0]
    else:  # addmm: a bias, then as mm: (N, I) and (I, O)
        features, weight = shapes[1:] if operator == "aten::addmm" else shapes[:2]
        out_channels = weight[1] if len(weight) == 2 else 0
    return linear(name, features, out_channels, batch=batch) if features and out_channels else None


def batch_of(events: Iterable[Event]) -> int | None:
    """The first dimension of what the first convolution reads; of a linear it may be tokens."""
    shapes = (first_shapes(event) for event in events if event["name"] in _CONVOLUTIONS)
    return next((image[0] for image, weight, _ in shapes if image and len(image) == len(weight)), None)


def first_shapes(event: Event) -> tuple[Shape, Shape, Shape]:
    """The shapes of the first three inputs; () where there is none."""
    dims = event["args"].get("Input Dims")
    found = [shape_of(one) for one in dims[:3]] if isinstance(dims, list) else []
    first, second, third = (*found, (), (), ())[:3]
    return first, second, third


def precision_of(events: Iterable[Event]) -> str | None:
    """The type that the weights of all layers share."""
    types = set()
    for event in events:
        told = event["args"].get("Input type")
        types.add(str(told[1]) if isinstance(told, list) and len(told) > 1 else "")
    return _PRECISIONS.get(types.pop()) if len(types) == 1 else None


def _convolution(name: str, event: Event, shapes: tuple[Shape, Shape, Shape]) -> ProfileLayer | None:
    image, weight = shapes[:2]
    if len(image) == len(weight) - 1:
        image = (1, *image)  # a single sample without its batch
    if len(weight) < 3 or len(image) != len(weight) or _transposed(event):
        return None
    kernel = weight[2:]
    stride, padding, dilation = (_argument(event, at, len(kernel)) for at in _CONVOLUTIONS[event["name"]])
    if not (stride and dilation and all(stride) and all(dilation)):
        return None
    if _text(event, _CONVOLUTIONS[event["name"]][1]) == "same":
        sizes = image[2:]
    else:
        ends = tuple(2 * one for one in padding or (0,) * len(kernel))  # "valid" pads nothing
        sizes = shape_of(tuple(map(convolved, image[2:], kernel, stride, ends, dilation)))
    return convolution(name, image, weight, (image[0], weight[0], *sizes), stride=stride) if sizes else None


def _transposed(event: Event) -> bool:
    at = _TRANSPOSED_AT.get(event["name"])
    return at is not None and _text(event, at) == "True"


def _argument(event: Event, at: int, count: int) -> Shape:
    """A list of whole numbers such as "[2, 2]"; a single one holds for all dimensions."""
    found = tuple(int(one) for one in _NUMBER.findall(_text(event, at)))
    found = found * count if len(found) == 1 else found
    return found if len(found) == count and all(0 <= one <= MAX_SIZE for one in found) else ()


def _text(event: Event, at: int) -> str:
    inputs = event["args"].get("Concrete Inputs")
    text = inputs[at] if isinstance(inputs, list) and at < len(inputs) else ""
    return text[:200] if isinstance(text, str) else ""

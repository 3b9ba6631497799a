"""One layer of a TensorRT engine: what its name and its entry in the layer information tell.

Names are those of the ONNX nodes, joined by " + " (fused one after the other) or " || " (fused side by side). Newer
releases name kernels instead and list the nodes in `Metadata` as "[ONNX Layer: a]\\x1f[ONNX Layer: b]" (seen in public
reports, not in a sample of ours). A convolution fused with its pooling writes its fields with the prefix "Conv".
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from costmodels.importers.cells import mapping
from costmodels.importers.shapes import MAX_SIZE, Shape, convolution, convolved, linear, shape_of
from costmodels.profile import ProfileLayer

_PRECISIONS = {
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Int8": "int8",
    "FP8": "float8",
    "Int4": "int4",
}
_JOINTS = re.compile(r" \+ | \|\| ")
_NODES = re.compile(r"\[ONNX Layer: ([^\]]{1,300})\]")
_COPIES = ("Reformatting CopyNode", "copied_", "reshape_", "squeeze_", "unsqueeze_", "shuffle_")
_LINEAR = re.compile(r"(?:^|/)(?:Gemm|MatMul)(?:_\d+)?$")
_WEIGHTLESS = re.compile(
    r"(?:^|/|PWN\()(?:MaxPool|AveragePool|GlobalAveragePool|GlobalMaxPool|ReduceMean|Relu|Clip|Sigmoid|HardSwish|Add|"
    r"Mul|Softmax|Concat|Flatten|Reshape|Transpose|Shuffle|Resize|QuantizeLinear|DequantizeLinear)(?:_\d+)?\)?$"
)


def described(name: str, entry: Mapping[str, Any]) -> ProfileLayer:
    """The layer of that name; `entry` is {} where only the name is known."""
    if name.startswith(_COPIES):
        return ProfileLayer(name=name, role="other", op=_word(entry.get("LayerType")))
    members = _members(name, entry)
    found = _of_entry(name, entry, members) if entry else None
    if found is None:
        weightless = all(_WEIGHTLESS.search(member) for member in members) if not entry else not _weights(entry)
        found = ProfileLayer(
            name=name,
            role="other" if weightless else "layer",
            op=_word(entry.get("LayerType")),
            weights=_weights(entry),
        )
    return replace(found, members=members if members != (name,) else ())


def precision_of(graph: Mapping[str, Any]) -> str | None:
    """The type of the weights, where all layers that have some agree."""
    types = {str(_field(entry, "Weights").get("Type")) for entry in _weighted(graph)}
    return _PRECISIONS.get(types.pop()) if len(types) == 1 else None


def batch_of(graph: Mapping[str, Any]) -> int | None:
    """The first dimension of what the first layer with weights reads."""
    images = (_dimensions(entry, "Inputs") for entry in _weighted(graph))
    return next((image[0] for image in images if len(image) > 1), None)


def _weighted(graph: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in graph.get("Layers", ()) if isinstance(entry, dict) and _weights(entry)]


def _members(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    listed = _NODES.findall(entry["Metadata"]) if isinstance(entry.get("Metadata"), str) else []
    return tuple(dict.fromkeys(part.strip() for part in [*_JOINTS.split(name), *listed] if part.strip()))


def _of_entry(name: str, entry: Mapping[str, Any], members: tuple[str, ...]) -> ProfileLayer | None:
    image, output = _dimensions(entry, "Inputs"), _dimensions(entry, "Outputs")
    if entry.get("ParameterType") == "MatrixMultiply" and image and output and len(entry["Inputs"]) == 1:
        return linear(name, image, output[-1], batch=image[0])  # one input: the other factor is a constant
    kernel = shape_of(_plain(entry, "Kernel"))
    groups, out_channels = _whole(entry, "Groups"), _whole(entry, "OutMaps")
    if not (kernel and groups and out_channels) or len(image) != len(kernel) + 2 or image[1] % groups:
        return None
    if any(_LINEAR.search(member) for member in members) and prod(image[2:]) == prod(kernel) == 1:
        return linear(name, image[:2], out_channels, batch=image[0])  # engines run linears as 1 x 1 convolutions
    stride = shape_of(_plain(entry, "Stride"))
    sizes = _sizes(entry, image[2:], kernel, stride)
    weight = (out_channels, image[1] // groups, *kernel)
    found = convolution(name, image, weight, (image[0], out_channels, *sizes), stride=stride)
    count = _weights(entry)
    return replace(found, weights=count) if found and count and count != found.weights else found


def _sizes(entry: Mapping[str, Any], image: Shape, kernel: Shape, stride: Shape) -> Shape:
    """Output sizes of the convolution itself: the entry's output is that of the pooling fused behind it."""
    before, after = _plain(entry, "PrePadding"), _plain(entry, "PostPadding")
    dilation = shape_of(_plain(entry, "Dilation")) or (1,) * len(kernel)
    padding = [_at(before, n) + _at(after, n) for n in range(len(kernel))]
    if len(stride) == len(dilation) == len(kernel):
        sizes = tuple(map(convolved, image, kernel, stride, padding, dilation))
        if shape_of(sizes):
            return sizes
    return _dimensions(entry, "Outputs")[2:]


def _at(padding: object, n: int) -> int:
    value = padding[n] if isinstance(padding, list) and n < len(padding) else 0
    return value if isinstance(value, int) and 0 <= value <= MAX_SIZE else 0


def _plain(entry: Mapping[str, Any], key: str) -> object:
    return entry.get(key, entry.get(f"Conv{key}"))


def _field(entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return mapping(_plain(entry, key))


def _whole(entry: Mapping[str, Any], key: str) -> int | None:
    value = _plain(entry, key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SIZE else None


def _weights(entry: Mapping[str, Any]) -> int | None:
    count = _field(entry, "Weights").get("Count")
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 2**40 else None


def _dimensions(entry: Mapping[str, Any], key: str) -> Shape:
    tensors = entry.get(key)
    first = tensors[0] if isinstance(tensors, list) and tensors else None
    return shape_of(first.get("Dimensions")) if isinstance(first, dict) else ()


def _word(value: object) -> str:
    return value[:60] if isinstance(value, str) and value.isprintable() else ""

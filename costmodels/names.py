"""Names of layers as tools write them, brought to one form, so that the same layer reads the same everywhere.

`module.layer1.0.conv1.weight`, `/layer1/layer1.0/conv1/Conv` (ONNX exports repeat the path in every scope),
`layer1.0.conv1_nchwc` and `LAYER1/0/CONV1` are all `layer1.0.conv1`. Fused names are split into their members.
"""

import re

_WRAPPERS = ("module", "_orig_mod", "model", "node")
_ENDINGS = re.compile(r"(?:_nchwc|_quantized|_quant|_fused|_qdq|_kernel_time|\.weight|\.bias|:\d+)$")
# the operator's own word, which exporters append as a last scope
_OPERATORS = frozenset(
    {"conv", "gemm", "matmul", "relu", "add", "conv2d", "linear", "fullyconnected", "batchnormalization"}
)
_JOINTS = re.compile(r"\s*(?:\+|\|\||;|,)\s*")
_WRAPPED = re.compile(r"^(?:pwn|squeeze|unsqueeze|\{foreignnode)?[(\[{](.*)[)\]}]$", re.IGNORECASE)


def canonical(name: str) -> str:
    """The one form of a layer's name: lower case, dots, no wrappers, no repeated scopes, no endings of runtimes."""
    parts = _without_repeats(name.strip().lower().strip("/."))
    while len(parts) > 1 and parts[0] in _WRAPPERS:
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] in _OPERATORS and "/" in name:
        parts = parts[:-1]
    short = ".".join(parts)
    while (shorter := _ENDINGS.sub("", short)) != short and shorter:
        short = shorter
    return short.removeprefix("node_") or short


def members(name: str) -> tuple[str, ...]:
    """The names that a runtime joined into one by fusing: "a + b", "a || b", "a;b", "a,b", "PWN(a, b)"."""
    found = (part.strip("()[]{} ") for part in _JOINTS.split(_WRAPPED.sub(r"\1", name.strip())))
    return tuple(part for part in dict.fromkeys(found) if part)


def _without_repeats(name: str) -> list[str]:
    """Dotted parts; a scope that starts with the path so far (`layer1/layer1.0`) adds only what is new."""
    path: list[str] = []
    for scope in name.split("/"):
        parts = [part for part in scope.split(".") if part]
        known = next((n for n in range(len(parts) - 1, 0, -1) if path[-n:] == parts[:n]), 0)
        path += parts[known:]
    return path

"""`trace` reads a net: its prunable layers and channel groups, and what cannot be pruned, and why.

Shapes come from running on the meta device, where tensors have shapes and no numbers.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from pruning.calls import DTYPES, place, short
from pruning.channels import Walk
from pruning.errors import IntakeError
from pruning.graphnet import GraphNet, tensors_of
from pruning.groups import find_groups, followed
from pruning.intake.document import GraphDocument, Input, Node, Ref
from pruning.layers import LayerSpec, ModelSpec, Op

_OPS: dict[str, Op] = {
    "aten.conv1d.default": "conv1d",
    "aten.conv1d.padding": "conv1d",
    "aten.conv2d.default": "conv2d",
    "aten.conv2d.padding": "conv2d",
    "aten.conv_transpose2d.input": "conv_transpose2d",
    "aten.linear.default": "linear",
}
_UNSUPPORTED = {
    "aten.conv3d.default": "a 3-D convolution: not supported yet",
    "aten.conv_transpose1d.default": "a 1-D transposed convolution: not supported yet",
    "aten.embedding.default": "an embedding: its rows are looked up, not multiplied",
}
_TAILS = frozenset(
    f"aten.{name}.default"
    for name in (
        "batch_norm relu relu6 hardtanh hardswish hardsigmoid silu mish gelu elu leaky_relu sigmoid tanh"
    ).split()
)
_BATCHES = (13, 14)  # unlikely as any other size, so that a coincidence is not taken for a batch

_FAILURES = (RuntimeError, TypeError, ValueError, IndexError)

Shapes = dict[tuple[str, int], tuple[int, ...]]


def trace(net: GraphNet) -> ModelSpec:
    """The prunable layers, groups and sizes of a net.

    Raises:
        IntakeError: the net cannot run, or its outputs do not follow the batch.
    """
    document = net.document
    small, large = (shapes(net, batch) for batch in _BATCHES)
    outputs = [small[ref.id, ref.index] for ref in document.outputs]
    for number, ref in enumerate(document.outputs):
        grown = large[ref.id, ref.index]
        if (small[ref.id, ref.index][:1], grown[:1]) != (_BATCHES[:1], _BATCHES[1:]):
            raise IntakeError(f"output {number} has no batch as its first dimension, so samples cannot be told apart")
    layers = _layers(document, small)
    groups, reasons = find_groups(document, small, layers)
    return ModelSpec(
        layers=layers,
        groups=groups,
        input_shape=single_shape(document.inputs[0]),
        output_shapes=tuple(shape[1:] for shape in outputs),
        parameter_count=sum(prod(p.shape) for p in document.parameters if p.kind == "parameter"),
        unprunable=_unprunable(document, layers) | reasons,
        notes=document.notes,
    )


def follow_channels(net: GraphNet) -> Walk:
    """Where the channels of every value come from, as `trace` sees it."""
    return followed(net.document, shapes(net, _BATCHES[0]))


def shapes(net: GraphNet, batch: int) -> Shapes:
    """The shape of every input, parameter and node output, for a batch of that many samples; () for sizes.

    Raises:
        IntakeError: a node cannot run; the message says which.
    """
    document = net.document
    sizes = {entry.id: (batch, *single_shape(entry)) for entry in document.inputs}
    meta = {p.id: torch.empty(p.shape, dtype=DTYPES[p.dtype], device="meta") for p in document.parameters}
    try:
        return _watched(GraphNet(document, meta), sizes, "meta")
    except _FAILURES:  # a few operators need numbers to know their shapes
        pass
    real = {name: tensor.cpu() for name, tensor in tensors_of(net).items()}
    try:
        return _watched(GraphNet(document, real), sizes, "cpu")
    except _FAILURES as error:
        where = next(iter(getattr(error, "__notes__", [])), "while running the model")
        first = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        raise IntakeError(
            f"the model does not run on a batch of {batch}: {first} ({where}); export it with a varying batch"
        ) from error


def _watched(net: GraphNet, sizes: Mapping[str, tuple[int, ...]], device: str) -> Shapes:
    found: Shapes = {(p.id, 0): p.shape for p in net.document.parameters}
    found |= {(name, 0): size for name, size in sizes.items()}

    def see(node: Node, result: Any) -> None:
        for index, value in enumerate(result if isinstance(result, tuple | list) else (result,)):
            found[node.id, index] = tuple(value.shape) if isinstance(value, Tensor) else ()

    inputs = [torch.zeros(sizes[i.id], dtype=DTYPES[i.dtype], device=device) for i in net.document.inputs]
    with torch.no_grad():
        net.eval().watch(tuple(inputs), see)
    return found


def single_shape(entry: Input) -> tuple[int, ...]:
    """The shape of one sample of an input.

    Raises:
        IntakeError: the export left another dimension than the batch open.
    """
    known = tuple(size for size in entry.shape[1:] if size is not None)
    if len(known) != len(entry.shape) - 1:
        raise IntakeError(
            f"input {entry.name[:80]!r} varies in other dimensions than its batch: export it with fixed sizes"
        )
    return known


def _layers(document: GraphDocument, shapes: Shapes) -> tuple[LayerSpec, ...]:
    weights = {p.id: p for p in document.parameters if p.kind == "parameter" and p.trainable}
    calls: dict[str, list[Node]] = {}
    for node in document.nodes:
        weight = node.args.get("weight")
        if node.op in _OPS and isinstance(weight, Ref) and weight.id in weights:
            calls.setdefault(weight.id, []).append(node)
    users = _users(document)
    names: set[str] = set()
    layers = []
    for identifier, nodes in calls.items():
        name = weights[identifier].name.removesuffix(".weight")
        name = f"{name} ({identifier})" if name in names else name
        names.add(name)
        layers.append(_layer(name, nodes, shapes, _tail(nodes[0], users)))
    return tuple(layers)


def _layer(name: str, nodes: list[Node], shapes: Shapes, tail: tuple[str, ...]) -> LayerSpec:
    node = nodes[0]
    weight, value = _ref(node, "weight"), _ref(node, "input")
    shape, before, after = shapes[weight.id, 0], shapes[value.id, value.index], shapes[node.id, 0]
    rank = len(shape) - 2
    (groups,) = _sizes(node, "groups", 1)
    op = _OPS[node.op]
    inputs, outputs = (shape[0], shape[1] * groups) if op == "conv_transpose2d" else (shape[1] * groups, shape[0])
    uses = [(_ref(call, "input"), inputs) if op == "conv_transpose2d" else (Ref(call.id), outputs) for call in nodes]
    positions = [prod(shapes[ref.id, ref.index]) // (channels * _BATCHES[0]) for ref, channels in uses]
    return LayerSpec(
        name=name,
        parameter=weight.id,
        op=op,
        in_channels=inputs,
        out_channels=outputs,
        kernel=shape[2:],
        stride=_sizes(node, "stride", rank),
        padding=_padding(node, shape[2:]),
        dilation=_sizes(node, "dilation", rank),
        groups=groups,
        input_size=before[len(before) - rank :],
        output_size=after[len(after) - rank :],
        positions=-(-sum(positions) // len(positions)),
        calls=len(nodes),
        has_bias=node.args.get("bias") is not None,
        tail=tail,
    )


def _ref(node: Node, argument: str) -> Ref:
    value = node.args[argument]
    if not isinstance(value, Ref):
        raise IntakeError(f"{place(node)} has no tensor for {argument!r}: upload the model again")
    return value


def _sizes(node: Node, argument: str, rank: int) -> tuple[int, ...]:
    """A per-dimension argument of a convolution; left out, it is 1."""
    value = node.args.get(argument, 1)
    listed = tuple(size for size in (value if isinstance(value, tuple) else (value,)) if isinstance(size, int))
    return listed * rank if len(listed) == 1 else listed


def _padding(node: Node, kernel: tuple[int, ...]) -> tuple[int, ...]:
    match node.args.get("padding", 0):
        case "same":  # the larger side, where the two differ
            dilation = _sizes(node, "dilation", len(kernel))
            return tuple(-(-d * (k - 1) // 2) for d, k in zip(dilation, kernel, strict=True))
        case 0 | "valid":
            return (0,) * len(kernel)
    return _sizes(node, "padding", len(kernel))


def _users(document: GraphDocument) -> dict[tuple[str, int], list[Node | None]]:
    """Who reads each value; None stands for the model's outputs."""
    found: dict[tuple[str, int], list[Node | None]] = {}
    for node in document.nodes:
        for ref in node.refs():
            found.setdefault((ref.id, ref.index), []).append(node)
    for ref in document.outputs:
        found.setdefault((ref.id, ref.index), []).append(None)
    return found


def _tail(node: Node, users: Mapping[tuple[str, int], list[Node | None]]) -> tuple[str, ...]:
    """Operators that work on this node's output alone, one after another: what runtimes fuse into it."""
    names: list[str] = []
    last = node.id
    while len(readers := users.get((last, 0), [])) == 1:
        reader = readers[0]
        if reader is None or reader.op not in _TAILS:
            break
        names.append(short(reader.op).removeprefix("aten."))
        last = reader.id
    return tuple(names)


def _unprunable(document: GraphDocument, layers: Sequence[LayerSpec]) -> dict[str, str]:
    """Weights that are in no layer, by name, and why."""
    taken = {layer.parameter for layer in layers}
    uses = {ref.id: node for node in reversed(document.nodes) for ref in node.refs()}
    computed = {ref.id for node in document.nodes if node.op in _OPS for ref in [_ref(node, "weight")]}
    return {
        entry.name.removesuffix(".weight"): _why(uses.get(entry.id), entry.trainable, computed)
        for entry in document.parameters
        if entry.kind == "parameter" and len(entry.shape) > 1 and entry.id not in taken
    }


def _why(node: Node | None, trainable: bool, computed: set[str]) -> str:
    if node is None:
        return "nothing in the model reads it"
    if reason := _UNSUPPORTED.get(node.op):
        return reason
    if node.op in _OPS and not trainable:
        return "its weight was frozen when the model was exported; set requires_grad and export again"
    if node.id in computed:
        return f"{place(node)} makes a layer's weight of it: remove weight norm, give each projection its own layer"
    return f"it is read by {place(node)}, which is neither a convolution nor a linear layer"

"""A layer with its tail as an ONNX graph, written node by node: exporting every width through torch takes minutes."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from costmodels.measure.problem import LayerProblem, input_shape, output_padding

_OPSET = 20  # the first with Gelu
_IR_VERSION = 10
_TAILS: Mapping[str, tuple[str, Mapping[str, Any]]] = {  # torch's defaults are not always ONNX's
    "relu": ("Relu", {}),
    "hardswish": ("HardSwish", {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "mish": ("Mish", {}),
    "gelu": ("Gelu", {}),
    "elu": ("Elu", {"alpha": 1.0}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
}
_CLIPS = {"relu6": (0.0, 6.0), "hardtanh": (-1.0, 1.0)}
_NORM = ("mean", "variance", "scale", "shift")


def layer_model(problem: LayerProblem, copies: int = 1) -> bytes:
    """The serialised model: input "v0", so many copies one behind another, sharing their weights."""
    graph = _Graph(problem)
    for _ in range(copies):
        graph.add_layer()
    return graph.serialised()


def empty_model() -> bytes:
    """One number is copied."""
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("v0", "v1")]
    return _serialised([helper.make_node("Identity", ["v0"], ["v1"])], value[:1], value[1:], [])


class _Graph:
    """Nodes in a line; the value after node n is "vn"."""

    def __init__(self, problem: LayerProblem) -> None:
        self._problem, self._layer = problem, problem.layer
        self._nodes: list[Any] = []
        self._dtype = np.dtype(str(problem.value.dtype).removeprefix("torch."))
        self._constants: dict[str, Any] = dict(self._arrays())

    def add_layer(self) -> None:
        """The layer and its tail behind what is there."""
        layer, bias = self._layer, ["bias"] if self._layer.has_bias else []
        if layer.op == "linear":
            self._linear(bias)
        else:
            options = {
                "strides": layer.stride,
                "dilations": layer.dilation,
                "pads": (*layer.padding, *layer.padding),
                "group": layer.groups,
            }
            if layer.transposed:
                self._add("ConvTranspose", "weight", *bias, output_padding=output_padding(layer), **options)
            else:
                self._add("Conv", "weight", *bias, **options)
        for name in layer.tail:
            self._tail(name)

    def serialised(self) -> bytes:
        """The model's bytes."""
        kind = helper.np_dtype_to_tensor_dtype(self._dtype)
        shape = input_shape(self._layer, self._problem.value.shape[0])
        value = helper.make_tensor_value_info("v0", kind, shape)
        result = helper.make_tensor_value_info(self._last, kind, None)
        tensors = [numpy_helper.from_array(array, name) for name, array in self._constants.items()]
        return _serialised(self._nodes, [value], [result], tensors)

    @property
    def _last(self) -> str:
        return f"v{len(self._nodes)}"

    def _add(self, op: str, *others: str, **options: Any) -> None:
        before = self._last
        self._nodes.append(helper.make_node(op, [before, *others], [f"v{len(self._nodes) + 1}"], **options))

    def _linear(self, bias: list[str]) -> None:
        """As exporters write it: a matrix of samples is a Gemm, tokens are a MatMul and an Add."""
        if self._problem.value.ndim == 2:
            self._add("Gemm", "weight", *bias, transB=1)
            return
        self._add("MatMul", "weight")
        if bias:
            self._add("Add", *bias)

    def _tail(self, name: str) -> None:
        if name == "batch_norm":
            self._add("BatchNormalization", "scale", "shift", "mean", "variance")
        elif name == "silu":
            value = self._last
            self._add("Sigmoid")
            self._add("Mul", value)
        elif name in _CLIPS:
            self._add("Clip", f"{name}_low", f"{name}_high")
        elif name in _TAILS:
            op, options = _TAILS[name]
            self._add(op, **options)

    def _arrays(self) -> Iterator[tuple[str, Any]]:
        problem, layer = self._problem, self._layer
        weight = problem.weight.cpu().numpy()
        tokens = layer.op == "linear" and problem.value.ndim > 2
        yield "weight", np.ascontiguousarray(weight.T) if tokens else weight
        if problem.bias is not None:
            yield "bias", problem.bias.cpu().numpy()
        if "batch_norm" in layer.tail:
            yield from zip(_NORM, problem.norm.cpu().numpy(), strict=True)
        for name in set(layer.tail) & set(_CLIPS):
            for side, limit in zip(("low", "high"), _CLIPS[name], strict=True):
                yield f"{name}_{side}", np.array(limit, self._dtype)


def _serialised(nodes: list[Any], inputs: list[Any], outputs: list[Any], tensors: list[Any]) -> bytes:
    graph = helper.make_graph(nodes, "layer", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())

"""Models out, as ONNX: the smaller net with a varying batch, its tensors under the uploader's names.

torch makes the program from our identifiers alone. The uploader's words come in afterwards, as names of stored tensors,
and only such as `layer1.0.weight`: other tools may paste what they find in a file into source. A tensor whose name is
not of that form, or is taken, keeps our identifier; the file's metadata says what the uploader called it.

Weights are stored in the shapes that the net has, none folded, transposed or fused into another, so that zeros and N:M
groups can be counted in the file; a runtime fuses while it loads. `quantised_onnx` stores weights of layers as 8-bit
codes with one scale an output channel, and a DequantizeLinear node before their use (weights only; the arithmetic stays
in floating point).

Needs the packages of the extra `onnx`, imported when used.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pruning.errors import ExportError
from pruning.graphnet import GraphNet
from pruning.layers import LayerSpec
from pruning.onnx_translate import OPSET, first_line, translated
from pruning.quantise.int8 import Int8Weight, quantise

LARGEST_BYTES = 2**31 - 2**20  # what protocol buffers hold, less room for the graph
_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*", re.ASCII)
_NAME_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """A written file: its opset, its operators counted, and the name of each of our parameters in it.

    A parameter that is stored in 8 bits leads to its codes, `conv1.weight.int8`; `conv1.weight.scale` lies beside.
    """

    path: Path
    opset: int
    operators: Mapping[str, int]
    names: Mapping[str, str]


def require_onnx() -> None:
    """Raises ExportError where the packages of the extra are not installed."""
    for name in ("onnx", "onnxruntime", "onnxscript"):
        if find_spec(name) is None:
            raise ExportError(f"ONNX needs the package {name}: pip install 'espalier[onnx]'")


def export_onnx(net: GraphNet, path: Path) -> OnnxFile:
    """Write `net` in eval mode with a varying batch; the file has passed `onnx.checker` with full shape inference.

    Raises:
        ExportError: an operator that ONNX cannot say, named with its place; a model of 2 GiB; the extra is missing.
    """
    require_onnx()
    size = sum(value.numel() * value.element_size() for value in net.state_dict().values())
    if size > LARGEST_BYTES:
        raise ExportError(f"the model's tensors take {size} bytes, one ONNX file holds {LARGEST_BYTES}: export .pt2")
    model = translated(net)
    return _written(model, path, _renamed(net, model))


def quantised_onnx(file: OnnxFile, layers: Sequence[LayerSpec], path: Path) -> OnnxFile:
    """Write the same model with the weights of these layers in 8 bits, one scale an output channel.

    Raises:
        ExportError: the result breaks ONNX's rules.
    """
    import onnx_ir as ir

    model = ir.load(file.path)
    names = dict(file.names)
    for layer in layers:
        value = model.graph.initializers.get(names.get(layer.parameter, ""))
        if value is not None and value.const_value is not None:
            weight = torch.from_numpy(value.const_value.numpy().copy())
            names[layer.parameter] = _coded(model, value, quantise(weight, 1 if layer.transposed else 0), weight.dtype)
    return _written(model, path, names)


class OnnxNet(nn.Module):
    """An ONNX file run by ONNX Runtime on the CPU; takes and gives tensors like the net it was made from.

    Raises:
        ExportError: a file that ONNX Runtime does not load.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        super().__init__()
        require_onnx()
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # its warnings are about what it could not fuse
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's have no common root
            raise ExportError(f"ONNX Runtime does not load the file: {first_line(error)}") from error
        self._inputs = [entry.name for entry in self._session.get_inputs()]

    def forward(self, *inputs: Tensor) -> Any:
        """The outputs: a tensor if there is one, else a tuple."""
        given = {name: value.detach().cpu().numpy() for name, value in zip(self._inputs, inputs, strict=True)}
        found = tuple(torch.from_numpy(value) for value in self._session.run(None, given))
        return found[0] if len(found) == 1 else found


def stored_weights(file: OnnxFile) -> dict[str, Tensor]:
    """What lies in the file, by our identifiers: weights as they are, 8-bit ones as their codes."""
    import onnx

    there = {entry.name: entry for entry in onnx.load(file.path).graph.initializer}
    return {
        key: torch.from_numpy(onnx.numpy_helper.to_array(there[name]).copy())
        for key, name in file.names.items()
        if name in there
    }


def _written(model: Any, path: Path, names: Mapping[str, str]) -> OnnxFile:
    import onnx
    import onnx_ir as ir

    document = ir.to_proto(model)
    try:
        onnx.checker.check_model(document, full_check=True)
    except Exception as error:  # the checker's, and shape inference's, of several kinds
        raise ExportError(f"the ONNX file breaks ONNX's own rules: {first_line(error)}") from error
    path.write_bytes(document.SerializeToString(deterministic=True))
    operators = dict(sorted(Counter(node.op_type for node in document.graph.node).items()))
    return OnnxFile(path=path, opset=OPSET, operators=operators, names=names)


def _renamed(net: GraphNet, model: Any) -> dict[str, str]:
    """Give stored tensors the uploader's names where that is safe; our identifier -> the name in the file."""
    held = dict(model.graph.initializers)
    taken = {value.name for value in model.graph.inputs} | {
        value.name for node in model.graph for value in (*node.inputs, *node.outputs) if value is not None
    }
    names, kept = {}, {}
    for entry in net.document.parameters:
        value = held.get(entry.id)
        if value is None:
            continue
        reserved = {entry.name, f"{entry.name}.int8", f"{entry.name}.scale"}
        if _NAME.fullmatch(entry.name) and len(entry.name) <= _NAME_LENGTH and not reserved & taken:
            taken |= reserved
            value.name = entry.name
        else:
            kept[entry.id] = entry.name
        names[entry.id] = value.name
    if kept:
        model.metadata_props["names"] = json.dumps(kept)
    return names


def _coded(model: Any, value: Any, found: Int8Weight, dtype: torch.dtype) -> str:
    """Put codes, scales and a DequantizeLinear node in the place of a stored weight; the name of the codes."""
    import onnx_ir as ir

    name = value.name
    parts = {"int8": found.codes, "scale": found.scales.to(dtype)}
    stored = {}
    for part, tensor in parts.items():
        held = ir.tensor(tensor.contiguous().cpu().numpy(), name=f"{name}.{part}")
        size, kind = ir.Shape(tensor.shape), ir.TensorType(held.dtype)
        stored[part] = ir.Value(name=held.name, shape=size, type=kind, const_value=held)
        model.graph.initializers[held.name] = stored[part]
    node = ir.node("DequantizeLinear", [stored["int8"], stored["scale"]], attributes={"axis": found.dim})
    ir.convenience.replace_all_uses_with(value, node.outputs[0])
    del model.graph.initializers[name]
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = name, value.type, value.shape
    model.graph.insert_before(model.graph[0], node)
    return f"{name}.int8"

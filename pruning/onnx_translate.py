"""From a net to an ONNX graph in memory, by torch's exporter; what it cannot say is named with its place.

Constants are folded, stored tensors are not. torch's traces of where each node came from are left out: they name this
machine's files. Needs the packages of the extra `onnx`, imported when used.
"""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from pruning.calls import place
from pruning.errors import ExportError
from pruning.export import exported
from pruning.graphnet import GraphNet

OPSET = 20
_INPUT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
_OPERATOR = re.compile(r"aten[.:]+(\w+)", re.ASCII)


def translated(net: GraphNet) -> Any:
    """The net in eval mode with a varying batch, its parameters under our identifiers.

    Raises:
        ExportError: an operator that ONNX cannot say, or anything else that stops the exporter.
    """
    import onnx_ir as ir
    from onnxscript import optimizer

    with quiet():
        try:
            program = exported(net)
            found = torch.onnx.export(program, dynamo=True, opset_version=OPSET, optimize=False, verbose=False)
        except Exception as error:  # of many kinds, from the registry to the shape inference
            raise ExportError(_why(error, net)) from error
        assert found is not None
        model = found.model
        held = {*model.graph.initializers}
        optimizer.inline(model)
        optimizer.fold_constants_ir(
            model,
            onnx_shape_inference=True,
            should_fold=lambda node: False if any(v is not None and v.name in held for v in node.inputs) else None,
        )
        optimizer.remove_unused_nodes(model)
    _wash(ir, model)
    _name_inputs(net, model)
    return model


def _name_inputs(net: GraphNet, model: Any) -> None:
    """Give inputs the uploader's names where they are plain words that nothing in the graph has."""
    taken = {value.name for node in model.graph for value in (*node.inputs, *node.outputs) if value is not None}
    for value, entry in zip(model.graph.inputs, net.document.inputs, strict=True):
        if _INPUT.fullmatch(entry.name) and entry.name not in taken:
            value.name = entry.name
            taken.add(entry.name)


def _wash(ir: Any, model: Any) -> None:
    model.producer_name, model.producer_version, model.doc_string = "espalier", None, None
    model.metadata_props.clear()
    model.graph.name, model.graph.doc_string = "model", None
    model.graph.metadata_props.clear()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def _why(error: Exception, net: GraphNet) -> str:
    """The reason for people: the operator that ONNX has no word for, and where it stands."""
    texts = [str(step) for step in _chain(error)]
    for text in reversed(texts):
        for operator in _OPERATOR.findall(text):
            spots = [place(node) for node in net.document.nodes if node.op.split(".")[1:2] == [operator]]
            if spots:
                more = f" and {len(spots) - 1} more" if len(spots) > 1 else ""
                return f"ONNX opset {OPSET} has no form of {spots[0]}{more}: take the .pt2 or state file"
    return f"the net cannot be written as ONNX: {first_line(error)}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def first_line(error: BaseException) -> str:
    """The first line of an error of another package, for our own."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


@contextmanager
def quiet() -> Iterator[None]:
    """torch tells of its registry and of what it could not fold; neither says anything about the file."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)

"""`GraphNet`: runs a `GraphDocument` as an ordinary `nn.Module`. An interpreter; no source is ever made.

Parameters are registered flat under their identifiers (`p12`): optimisers, parametrizations, `deepcopy` and
`torch.export` see a plain module. Batch norm and dropout follow `net.training`, whatever the export froze.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pruning.batch import free_batch
from pruning.calls import DTYPES, Call, compile_document
from pruning.errors import IntakeError, PruningError
from pruning.intake.document import GraphDocument, Node, Parameter
from pruning.intake.reader import read_document

See = Callable[[Node, Any], None]


class GraphNet(nn.Module):
    """A document with its tensors, keyed by identifier; `forward` takes the document's inputs in order.

    A batch that the export fixed is freed where that can be done (`batch.free_batch`).

    Raises:
        IntakeError: an operator outside the table, or tensors that do not fit the document.
    """

    def __init__(self, document: GraphDocument, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._program = compile_document(free_batch(document))
        for entry in document.parameters:
            tensor = _checked(entry, tensors.get(entry.id))
            if entry.kind == "parameter" and tensor.is_floating_point():
                self.register_parameter(entry.id, nn.Parameter(tensor, requires_grad=entry.trainable))
            else:
                self.register_buffer(entry.id, tensor)

    def __deepcopy__(self, memo: dict[int, Any]) -> "GraphNet":
        """An independent copy. A parametrised net has a class of its own, which a copy must not share.

        torch keeps parametrised names as properties of that class and deletes them when one copy is baked.
        """
        kind = type(self)
        if parametrize.is_parametrized(self):
            members = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
            kind = type(kind.__name__, kind.__bases__, members)
        twin = kind.__new__(kind)
        memo[id(self)] = twin
        twin.__dict__ = deepcopy(self.__dict__, memo)
        return twin

    @property
    def document(self) -> GraphDocument:
        """The graph that this net runs."""
        return self._program.document

    def forward(self, *inputs: Tensor) -> Any:
        """The document's outputs: a tensor if there is one, else a tuple."""
        results = self.watch(inputs)
        return results[0] if len(results) == 1 else results

    def watch(self, inputs: tuple[Tensor, ...], see: See | None = None) -> tuple[Any, ...]:
        """Run, showing each node's result (a sequence if it has several outputs) to `see` as it is made."""
        values = self._begun(inputs)
        for call in self._program.calls:
            self._run(call, values, see)
        return tuple(values[slot] for slot in self._program.outputs)

    def abreast(self, batches: Iterable[tuple[Tensor, ...]]) -> Iterator[tuple[Call, list[list[Any]]]]:
        """Run several batches in step: before each call, it and the values made so far for every batch.

        Whoever iterates may change parameters in place before he goes on. Records no gradients; takes the memory of
        all batches at once.
        """
        abreast = [self._begun(inputs) for inputs in batches]
        for call in self._program.calls:
            yield call, abreast
            with torch.no_grad():
                for values in abreast:
                    self._run(call, values)

    def _begun(self, inputs: tuple[Tensor, ...]) -> list[Any]:
        """The values of a pass before its first call."""
        program, document = self._program, self._program.document
        if len(inputs) != len(document.inputs):
            names = ", ".join(value.name[:40] for value in document.inputs)
            raise PruningError(f"the model takes {len(document.inputs)} inputs ({names}), not {len(inputs)}")
        # each parameter is read once a pass: a parametrised one is computed by the reading
        parameters = [getattr(self, entry.id) for entry in document.parameters]
        values: list[Any] = [*inputs, *parameters, inputs[0].device]
        return values + [None] * (program.slots - len(values))

    def _run(self, call: Call, values: list[Any], see: See | None = None) -> None:
        """Put a call's result among the values; those that nobody reads any more leave."""
        result = call.run(values, self.training)
        if see is not None:
            see(call.node, result)
        if call.sequence:
            values[call.target : call.target + call.node.outputs] = result
        else:
            values[call.target] = result
        for slot in call.frees:
            values[slot] = None


def load(folder: Path) -> GraphNet:
    """The net that `save` wrote into `folder`."""
    return load_files(folder / "graph.json", folder / "weights.safetensors")


def load_files(graph_path: Path | str, weights_path: Path | str) -> GraphNet:
    """A net from its two files.

    Raises:
        IntakeError: broken files, or files that do not belong together.
    """
    document = read_document(Path(graph_path))
    try:
        tensors = load_file(weights_path)
    except SafetensorError as error:
        raise IntakeError(f"{Path(weights_path).name} is broken: upload the model again") from error
    return GraphNet(document, tensors)


def save(net: GraphNet, folder: Path) -> None:
    """Write `graph.json` and `weights.safetensors`; parametrised values are written as they stand."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "graph.json").write_text(json.dumps(net.document.to_json(), separators=(",", ":")), "utf-8")
    save_file(tensors_of(net), folder / "weights.safetensors")


def tensors_of(net: GraphNet) -> dict[str, Tensor]:
    """A copy of every tensor under its identifier, parametrizations applied."""
    with torch.no_grad():
        return {p.id: getattr(net, p.id).detach().clone().contiguous() for p in net.document.parameters}


def _checked(entry: Parameter, tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise IntakeError(f"tensor {entry.name[:80]!r} is missing from the weights: upload the model again")
    if tuple(tensor.shape) != entry.shape or tensor.dtype != DTYPES[entry.dtype]:
        raise IntakeError(
            f"tensor {entry.name[:80]!r} is {list(tensor.shape)} of {tensor.dtype}, but the graph says "
            f"{list(entry.shape)} of {entry.dtype}: upload the model again"
        )
    return tensor.detach()

"""From the JSON of an exported program to a `GraphDocument`. Names become text, identifiers are counted.

Nothing here evaluates, compiles or looks up a string of the file: operators, argument names and text
arguments must stand in `operators`, symbolic sizes are matched against one pattern and otherwise ignored.
"""

import re
from collections.abc import Mapping
from typing import Any

from pruning.errors import IntakeError
from pruning.intake import fields
from pruning.intake.archive import Limits
from pruning.intake.calls import Calls
from pruning.intake.document import GraphDocument, Input, Parameter, Ref
from pruning.intake.fields import shown
from pruning.intake.weights import SCALAR_TYPES, RawTensor, StoredTensor

_SYMBOL = re.compile(r"[a-z]+[0-9]+|Symbol\('[a-z]+[0-9]+'(, (positive|integer|nonnegative)=True){0,3}\)")
_KINDS = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
_MAX_SIZE = 1 << 24  # of one dimension of an input
_RANK = 8
_COUNTER = "num_batches_tracked"


class Translation:
    """One translation under way: the values known so far, and what there is to say about them."""

    def __init__(self, program: Any, stored: Mapping[str, StoredTensor], limits: Limits) -> None:
        module = fields.member(program, "graph_module", "the program")
        self._graph = fields.member(module, "graph", "the program")
        signature = fields.member(module, "signature", "the program")
        self._limits = limits
        specs = fields.member(signature, "input_specs", "the signature")
        self._input_specs = fields.items(specs, "the model's inputs", limits.nodes)
        specs = fields.member(signature, "output_specs", "the signature")
        self._output_specs = fields.items(specs, "the model's outputs", limits.items)
        self._values = fields.mapping(fields.member(self._graph, "tensor_values", "the graph"), "tensor values")
        self._stored = stored
        self._inputs: list[Input] = []
        self._parameters: dict[tuple[Any, ...], Parameter] = {}
        self.tensors: dict[str, RawTensor] = {}
        self._notes: list[str] = ["dropped unread: sample inputs, guards, metadata, containers of inputs and outputs"]
        self._calls = Calls(limits, self._values)

    def document(self) -> GraphDocument:
        """The graph, once through inputs, nodes and outputs.

        Raises:
            IntakeError: anything that is not plainly one of ours.
        """
        for index, spec in enumerate(self._input_specs):
            self._input(*fields.union(spec, f"input {index}"), f"input {index}")
        if not self._inputs:
            raise IntakeError("the model takes no tensor: export it with an example input")
        nodes = fields.items(fields.member(self._graph, "nodes", "the graph"), "the graph", self._limits.nodes)
        for node in nodes:
            self._calls.add(node)
        self._calls.close()
        outputs = self._outputs()
        return GraphDocument(
            inputs=tuple(self._inputs),
            parameters=tuple(self._parameters.values()),
            nodes=tuple(self._calls.nodes),
            outputs=outputs,
            notes=(*self._notes, *self._calls.notes()),
        )

    def _input(self, kind: str, spec: Any, where: str) -> None:
        if kind in _KINDS:
            given = fields.name(fields.member(spec, _KINDS[kind], where), where)
            value = fields.text(fields.member(fields.member(spec, "arg", where), "name", where), where)
            self._parameter(kind, given, value, spec)
        elif kind == "user_input":
            argument, inner = fields.union(fields.member(spec, "arg", where), where)
            if argument != "as_tensor":
                raise IntakeError(f"{where} is not a tensor: export the model with tensors only")
            self._user_input(fields.name(fields.member(inner, "name", where), where))
        elif kind == "constant_input":
            self._notes.append(f"{where} is no tensor and was frozen by the export")
        else:
            raise IntakeError(f"{where} is of kind {shown(kind)}, which is not supported")

    def _parameter(self, kind: str, given: str, value: str, spec: Any) -> None:
        stored = self._stored.get(given)
        if stored is None:
            raise IntakeError(f"the file has no bytes for {shown(given)}")
        known = self._parameters.get(stored.place)
        if known is not None:  # tied weights: one tensor under several names
            identifier = known.id
            if given != known.name and given not in known.aliases:
                self._parameters[stored.place] = _with_alias(known, given)
                self._notes.append(f"{given} and {known.name} are one tensor")
        else:
            identifier = f"p{len(self._parameters)}"
            self.tensors[identifier] = stored.tensor
            self._parameters[stored.place] = Parameter(
                id=identifier,
                name=given,
                kind=_kind(kind, spec),
                shape=stored.tensor.shape,
                dtype=stored.tensor.dtype,
                trainable=kind == "parameter" and stored.trainable,
            )
        self._calls.bind(value, Ref(identifier), frozen=True, counter=given.rpartition(".")[2] == _COUNTER)

    def _user_input(self, given: str) -> None:
        where = f"input {shown(given)}"
        meta = fields.member(self._values, given, f"what the graph says of {where}")
        code = fields.integer(fields.member(meta, "dtype", where), where)
        if code not in SCALAR_TYPES:
            raise IntakeError(f"{where} has scalar type {code}, which is not supported")
        sizes = fields.items(fields.member(meta, "sizes", where), where, _RANK)
        if not sizes:
            raise IntakeError(f"{where} is a single number; every input needs its batch as first dimension")
        shape = [self._size(size, where, dim) for dim, size in enumerate(sizes)]
        if shape[0] is not None:
            self._notes.append(f"the batch of {given} is fixed to {shape[0]}: export with a dynamic first dimension")
        identifier = f"i{len(self._inputs)}"
        entry = Input(id=identifier, name=given, shape=tuple(shape), dtype=SCALAR_TYPES[code])
        self._inputs.append(entry)
        self._calls.bind(given, Ref(identifier))

    def _size(self, value: Any, where: str, dim: int) -> int | None:
        kind, size = fields.union(value, where)
        place = f"dimension {dim} of {where}"
        if kind == "as_int":
            return fields.integer(size, place, low=1, high=_MAX_SIZE)
        expression = fields.text(fields.member(size, "expr_str", place), place)
        if kind != "as_expr" or not _SYMBOL.fullmatch(expression):
            raise IntakeError(f"{place} is {shown(expression)}; only a plain symbol may stand there")
        if dim == 0:
            return None
        hint = fields.mapping(fields.member(size, "hint", place), place)
        fixed = fields.integer(fields.member(hint, "as_int", place), place, low=1, high=_MAX_SIZE)
        self._notes.append(f"{place} may vary in the export and is read as the example's {fixed}")
        return fixed

    def _outputs(self) -> tuple[Ref, ...]:
        refs: list[Ref] = []
        for index, spec in enumerate(self._output_specs):
            where = f"output {index}"
            kind, inner = fields.union(spec, where)
            argument = fields.member(inner, "arg", where)
            if kind == "buffer_mutation" and str(fields.member(inner, "buffer_name", where)).endswith(_COUNTER):
                continue
            if kind != "user_output":
                raise IntakeError(f"{where} is of kind {shown(kind)}: the model must not change its own state")
            form, value = fields.union(argument, where)
            if form == "as_tensor":
                refs.append(self._calls.tensor(value, where))
            else:
                self._notes.append(f"{where} is no tensor and was dropped")
        if not refs:
            raise IntakeError("the model returns no tensor")
        return tuple(refs)


def _kind(kind: str, spec: Any) -> Any:
    if kind == "parameter":
        return "parameter"
    if kind == "buffer" and fields.member(spec, "persistent", "a buffer") is not False:
        return "buffer"
    return "constant"  # not in the uploader's state_dict either


def _with_alias(known: Parameter, given: str) -> Parameter:
    return Parameter(**vars(known) | {"aliases": (*known.aliases, given)})

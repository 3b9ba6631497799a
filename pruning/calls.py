"""A `GraphDocument` made ready to run: each node becomes a `Call` with its function and argument templates.

Functions come from the operator table alone; a name in a document selects a row of it and is used no further.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NoReturn

import torch

from pruning.errors import IntakeError
from pruning.intake.document import Argument, DType, GraphDocument, Node, Ref
from pruning.intake.operators import OPERATORS

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
    "int64": torch.int64,
    "int32": torch.int32,
    "int16": torch.int16,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "bool": torch.bool,
}
_SIZES: dict[str, Callable[..., Any]] = {
    "int.add": operator.add,
    "int.mul": operator.mul,
    "int.sub": operator.sub,
    "int.floordiv": operator.floordiv,
    "aten.sym_size.int": lambda value, dim: _number(value.size(dim)),
}
_DROPPED = frozenset({"layout", "pin_memory", "memory_format", "device"})  # how the exporter kept values
_FLAGS = frozenset({"training", "train"})
_REQUIRED = object()


@dataclass(frozen=True)
class Slot:
    """A hole in an argument template: the place of a value in the running list."""

    index: int


@dataclass(frozen=True, kw_only=True)
class Function:
    """A resolved operator: its arguments with their defaults, and whether it returns several values."""

    call: Callable[..., Any]
    positional: tuple[tuple[str, Any], ...]
    keywords: frozenset[str] = frozenset()
    sequence: bool = False

    @property
    def names(self) -> frozenset[str]:
        """Every argument's name."""
        return self.keywords | {name for name, _ in self.positional}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One node, ready to run: `args[training]`, with `slots` and `nested` filled in."""

    node: Node
    function: Callable[..., Any]
    args: tuple[tuple[Any, ...], tuple[Any, ...]]
    slots: tuple[tuple[int, int], ...]
    nested: tuple[tuple[int, list[Any]], ...]
    kwargs: Mapping[str, Any]
    sequence: bool
    target: int
    frees: tuple[int, ...] = ()  # values that nobody reads afterwards

    def arguments(self, values: list[Any], training: bool) -> list[Any]:
        """The positional arguments, from the values made so far."""
        args = list(self.args[training])
        for position, slot in self.slots:
            args[position] = values[slot]
        for position, template in self.nested:
            args[position] = _fill(template, values)
        return args

    def run(self, values: list[Any], training: bool) -> Any:
        """The node's result, from the values made so far; an error carries a note of the place."""
        args = self.arguments(values, training)
        try:
            if self.kwargs:
                return self.function(*args, **{k: _fill(v, values) for k, v in self.kwargs.items()})
            return self.function(*args)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            error.add_note(f"while running {place(self.node)}")
            raise


@dataclass(frozen=True, kw_only=True)
class Program:
    """A compiled document: inputs, parameters and the device fill the first slots. Copies share it."""

    document: GraphDocument
    calls: tuple[Call, ...]
    slots: int
    outputs: tuple[int, ...]

    def __deepcopy__(self, memo: object) -> "Program":
        return self


def place(node: Node) -> str:
    """An operator and where it stands, for people: `aten.pad at layer2.0`."""
    return f"{short(node.op)} at {node.module[:80] or 'the top level'}"


def short(op: str) -> str:
    """An operator's name without its overload: `aten.conv2d`."""
    return op.rpartition(".")[0] if op.startswith("aten.") else op


def _number(size: Any) -> Any:
    """A size, which is a tensor under `torch.jit`'s tracer; fvcore traces so, and `arange` takes numbers alone."""
    return int(size) if isinstance(size, torch.Tensor) else size


@cache
def resolve(op: str) -> Function:
    """The function of an operator in the table.

    Raises:
        IntakeError: the table has no such operator.
    """
    if op not in OPERATORS:
        raise IntakeError(f"operator {op[:80]!r} is not supported: remove it from the model, or ask for it")
    if op in _SIZES:
        names = ("self", "dim") if op == "aten.sym_size.int" else tuple(OPERATORS[op].args)
        return Function(call=_SIZES[op], positional=tuple((name, _REQUIRED) for name in names))
    _, packet, overload = op.split(".")
    function = getattr(getattr(torch.ops.aten, packet), overload)
    schema = function._schema
    return Function(
        call=function,
        positional=tuple((a.name, _default(a)) for a in schema.arguments if not a.kwarg_only),
        keywords=frozenset(a.name for a in schema.arguments if a.kwarg_only),
        sequence=len(schema.returns) > 1 or isinstance(schema.returns[0].type, torch.ListType),
    )


def compile_document(document: GraphDocument) -> Program:
    """Resolve every node and lay out the values.

    Raises:
        IntakeError: an operator outside the table, or arguments that it does not take.
    """
    named = [*(i.id for i in document.inputs), *(p.id for p in document.parameters)]
    places = {identifier: slot for slot, identifier in enumerate(named)}
    device = len(named)
    slots = device + 1
    calls: list[Call] = []
    for node in document.nodes:
        calls.append(_compile_node(node, places, Slot(device), slots))
        places[node.id] = slots
        slots += node.outputs
    outputs = tuple(places[ref.id] + ref.index for ref in document.outputs)
    return Program(document=document, calls=_freeing(calls, places, outputs), slots=slots, outputs=outputs)


def _compile_node(node: Node, places: Mapping[str, int], device: Slot, target: int) -> Call:
    function = resolve(node.op)
    if stray := sorted(set(node.args) - function.names):
        _refuse(node, f"takes no argument {stray[0][:40]!r}")
    given = {k: _template(v, places) for k, v in node.args.items() if k not in _DROPPED}
    if "device" in function.names:
        given["device"] = device
    evaluate, train = ([m.get(k, d) for k, d in function.positional] for m in _modes(node, given))
    if _REQUIRED in evaluate:
        _refuse(node, f"lacks its argument {function.positional[evaluate.index(_REQUIRED)][0]!r}")
    holes = tuple(enumerate(evaluate))
    return Call(
        node=node,
        function=function.call,
        args=(tuple(evaluate), tuple(train)),
        slots=tuple((i, value.index) for i, value in holes if isinstance(value, Slot)),
        nested=tuple((i, value) for i, value in holes if isinstance(value, list) and _open(value)),
        kwargs={k: v for k, v in given.items() if k in function.keywords},
        sequence=function.sequence,
        target=target,
    )


def _modes(node: Node, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments in eval and in train mode; a norm without running statistics always uses the batch's."""
    evaluate, train = dict(given), dict(given)
    tracked = "batch_norm" not in node.op or given.get("running_mean") is not None
    for flag in _FLAGS & set(resolve(node.op).names):
        evaluate[flag], train[flag] = not tracked, True
    if "dropout_p" in given:
        evaluate["dropout_p"] = 0.0
    return evaluate, train


def _freeing(calls: list[Call], places: Mapping[str, int], outputs: tuple[int, ...]) -> tuple[Call, ...]:
    """The calls, each told which values nobody reads after it; what nobody reads at all goes at once."""
    kept, result = set(outputs), []
    for call in reversed(calls):
        touched = {places[ref.id] + ref.index for ref in call.node.refs()}
        touched |= set(range(call.target, call.target + call.node.outputs))
        result.append(replace(call, frees=tuple(sorted(touched - kept))))
        kept |= touched
    return tuple(reversed(result))


def _template(value: Argument, places: Mapping[str, int]) -> Any:
    match value:
        case Ref():
            return Slot(places[value.id] + value.index)
        case DType():
            return DTYPES[value.name]
        case tuple():
            return [_template(item, places) for item in value]
    return value


def _fill(template: Any, values: list[Any]) -> Any:
    if isinstance(template, Slot):
        return values[template.index]
    if isinstance(template, list):
        return [_fill(item, values) for item in template]
    return template


def _open(template: Any) -> bool:
    if isinstance(template, list):
        return any(_open(item) for item in template)
    return isinstance(template, Slot)


def _default(argument: Any) -> Any:
    return argument.default_value if argument.has_default_value() else _REQUIRED


def _refuse(node: Node, why: str) -> NoReturn:
    raise IntakeError(f"{place(node)} ({node.id}) {why}: upload the model again")

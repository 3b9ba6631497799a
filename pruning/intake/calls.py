"""The nodes of an exported graph, one by one: operators and arguments checked, in-place writes made plain."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pruning.errors import IntakeError
from pruning.intake import fields
from pruning.intake.archive import Limits
from pruning.intake.arguments import argument
from pruning.intake.document import Argument, Node, Ref
from pruning.intake.fields import shown
from pruning.intake.operators import LIST, OPERATORS
from pruning.intake.spellings import CHECKS, EXTRA, IN_PLACE, OWN_NAMES, RENAMED, VIEWS

_PREFIX = "torch.ops."
_CONTIGUOUS = {"as_memory_format": 1}
_NONE = {"as_none": True}
_MODES = ("training", "train")  # of batch norm, of dropout
_ATTENTION = "aten.scaled_dot_product_attention.default"
_MAX_OUTPUTS = 1024
_MOMENTUM = 0.1  # torch's default
_MODULE_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class _Value:
    """What a name of the file stands for. `memory` is equal for values that may be views of one another."""

    ref: Ref
    memory: int
    integer: bool = False
    frozen: bool = False  # a parameter, a buffer, or a view of one
    counter: bool = False  # batch norm's count of batches, which nothing needs
    overwritten: bool = False  # another name wrote into this memory


class Calls:
    """Collects nodes, resolving the file's names of values to references."""

    def __init__(self, limits: Limits, tensor_values: Mapping[str, Any]) -> None:
        self.nodes: list[Node] = []
        self._limits = limits
        self._meta = tensor_values
        self._values: dict[str, _Value] = {}
        self._sharing: dict[int, list[str]] = {}  # memory -> names
        self._notes: dict[str, None] = {}

    def bind(self, name: str, ref: Ref, *, frozen: bool = False, counter: bool = False) -> None:
        """Make an input or parameter known under the file's name."""
        self._define(name, _Value(ref=ref, memory=len(self._sharing), frozen=frozen, counter=counter))

    def tensor(self, value: Any, where: str) -> Ref:
        """The tensor that `{"name": ...}` refers to."""
        found = self._lookup(fields.member(value, "name", where), where)
        if found.integer:
            raise IntakeError(f"{where} uses a size where a tensor belongs")
        return found.ref

    def size(self, value: Any, where: str) -> Ref:
        """The size, computed in the graph, that a name refers to."""
        found = self._lookup(value, where)
        if not found.integer:
            raise IntakeError(f"{where} uses a tensor where a size belongs")
        return found.ref

    def notes(self) -> tuple[str, ...]:
        """What was dropped or repaired, and what the export lost."""
        modes = [node.args[flag] for node in self.nodes for flag in _MODES if flag in node.args]
        if modes and not any(modes):
            self._notes["exported in eval mode: batch norm and dropout layers are switched by ours"] = None
            if any(node.op == _ATTENTION for node in self.nodes):
                self._notes["exported in eval mode: dropout inside attention is gone"] = None
        return tuple(self._notes)

    def add(self, node: Any) -> None:
        """Check one node of the file and append its plain form.

        Raises:
            IntakeError: an operator or argument that is not in the table, or a value that nothing made.
        """
        target = fields.text(fields.member(node, "target", "a node"), "the operator of a node")
        spelled = target.removeprefix(_PREFIX)
        where = f"node {len(self.nodes)} ({shown(spelled)})"
        if spelled in CHECKS:
            return
        given = self._named(node, where)
        op, given = _plain(spelled, given)
        if op not in OPERATORS:
            raise IntakeError(
                f"{where}: this operator is not supported; write that part of the model with common layers, "
                "and export it without run_decompositions()"
            )
        args = self._arguments(op, given, where)
        written = self._written(op, given, where) if spelled in IN_PLACE else None
        if written is not None and self._values[written].counter:
            self._notes["the counts of batches in batch norm are not kept up"] = None
            return
        if op == "aten.batch_norm.default" and not args["momentum"]:
            args["momentum"] = _MOMENTUM
            self._notes[f"batch norm without momentum: {_MOMENTUM} is used when statistics are estimated"] = None
        made = self._made(node, op, where)
        entry = Node(id=f"n{len(self.nodes)}", op=op, args=args, outputs=len(made), module=_module(node))
        self._bind_outputs(entry, made, given, written)
        self.nodes.append(entry)

    def _named(self, node: Any, where: str) -> dict[str, Any]:
        entries = fields.items(fields.member(node, "inputs", where), where, 64)
        given = {
            fields.text(fields.member(entry, "name", where), where): fields.member(entry, "arg", where)
            for entry in entries
        }
        if len(given) != len(entries):
            raise IntakeError(f"{where} names an argument twice")
        return given

    def _arguments(self, op: str, given: Mapping[str, Any], where: str) -> dict[str, Argument]:
        operator = OPERATORS[op]
        args: dict[str, Argument] = {}
        for key, value in given.items():
            kind = operator.kinds.get(key)
            if kind is None:
                raise IntakeError(f"{where} has an argument {shown(key)}, which the operator does not take")
            if kind.startswith("-"):
                continue
            place = f"argument '{key}' of {where}"
            args[key] = argument(self, kind, value, place, self._limits.items)
            if isinstance(args[key], str):
                fields.matching(args[key], operator.strings.get(key, ""), place)
        if missing := sorted(operator.required - set(args)):
            raise IntakeError(f"{where} lacks its argument '{missing[0]}'")
        return args

    def _written(self, op: str, given: Mapping[str, Any], where: str) -> str:
        """The name of the value that an in-place operator writes to."""
        name = _first_tensor(op, given, where)
        value = self._values[name]
        if value.frozen and not value.counter:
            raise IntakeError(f"{where} changes a parameter or buffer while the model runs: export it with eval()")
        read = [_tensor_name(arg, where) for arg in given.values() if "as_tensor" in arg]
        if any(self._dtype(other) != self._dtype(name) for other in read):
            raise IntakeError(f"{where} mixes types in place: write it out of place")
        return name

    def _dtype(self, name: str) -> Any:
        meta = self._meta.get(name)
        return meta.get("dtype") if isinstance(meta, dict) else None

    def _made(self, node: Any, op: str, where: str) -> list[str | None]:
        """The names of a node's outputs; None for one that the file leaves out."""
        operator = OPERATORS[op]
        given = fields.items(fields.member(node, "outputs", where), where, _MAX_OUTPUTS)
        forms = [fields.union(output, where) for output in given]
        if operator.outputs == LIST:
            if len(forms) != 1 or forms[0][0] != "as_tensors" or not forms[0][1]:
                raise IntakeError(f"{where} should give a list of tensors")
            tensors = fields.items(forms[0][1], where, _MAX_OUTPUTS)
            return [fields.text(fields.member(tensor, "name", where), where) for tensor in tensors]
        if len(forms) != operator.outputs:
            raise IntakeError(f"{where} gives {len(forms)} outputs; the operator has {operator.outputs}")
        return [self._one(form, inner, operator.integer, where) for form, inner in forms]

    def _one(self, form: str, inner: Any, integer: bool, where: str) -> str | None:
        if form == "as_none" and not integer:
            return None
        wanted, key = ("as_sym_int", "as_name") if integer else ("as_tensor", "name")
        if form != wanted:
            raise IntakeError(f"{where} gives {shown(form)}, which the operator does not")
        return fields.text(fields.member(inner, key, where), where)

    def _bind_outputs(self, entry: Node, made: list[str | None], given: Mapping[str, Any], written: str | None) -> None:
        value = _Value(ref=Ref(entry.id), memory=len(self._sharing), integer=OPERATORS[entry.op].integer)
        if written is not None:
            self._overwrite(written, value)
        elif entry.op in VIEWS:
            base = self._values[_first_tensor(entry.op, given, entry.id)]
            value = replace(value, memory=base.memory, frozen=base.frozen)
        for index, name in enumerate(made):
            if name is not None:
                self._define(name, replace(value, ref=Ref(entry.id, index)))

    def _overwrite(self, written: str, value: _Value) -> None:
        for name in self._sharing[self._values[written].memory]:
            self._values[name] = replace(self._values[name], overwritten=True)
        self._values[written] = value
        self._sharing[value.memory] = [written]

    def _define(self, name: str, value: _Value) -> None:
        if name in self._values:
            raise IntakeError(f"the graph makes {shown(name)} twice")
        self._values[name] = value
        self._sharing.setdefault(value.memory, []).append(name)

    def _lookup(self, name: Any, where: str) -> _Value:
        found = self._values.get(fields.text(name, where))
        if found is None:
            raise IntakeError(f"{where} uses {shown(name)}, which nothing before it makes")
        if found.overwritten:
            raise IntakeError(f"{where} uses {shown(name)} after a view of it was written in place: write out of place")
        return found


def _plain(spelled: str, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The table's name of an operator and its arguments there; an unknown operator stays as it is."""
    op = IN_PLACE.get(spelled) or RENAMED.get(spelled) or spelled
    if spelled in OWN_NAMES:
        op = ""  # ours, never a file's
    given = {key: value for key, value in given.items() if key not in EXTRA.get(spelled, ())}
    if spelled in IN_PLACE and "self" in given:  # `dropout_` calls it so, `dropout` does not
        given = {OPERATORS[op].args[0] if key == "self" else key: value for key, value in given.items()}
    if op == "aten.to.dtype" and given.get("dtype", _NONE) == _NONE:  # a move to another device
        op = "aten.clone.default"
        given = {key: value for key, value in given.items() if key == "self"}
    elif op == "aten.clone.default" and given.get("memory_format") == _CONTIGUOUS:
        op = "aten.contiguous.default"
    return op, given


def _first_tensor(op: str, given: Mapping[str, Any], where: str) -> str:
    return _tensor_name(given[OPERATORS[op].args[0]], where)


def _tensor_name(arg: Any, where: str) -> str:
    _, inner = fields.union(arg, where)
    return fields.text(fields.member(inner, "name", where), where)


def _module(node: Mapping[str, Any]) -> str:
    """The uploader's path of the module that a node stems from: the middle of the last `key,path,class`."""
    metadata = node.get("metadata")
    stack = metadata.get("nn_module_stack") if isinstance(metadata, dict) else None
    if not isinstance(stack, str):
        return ""
    parts = stack.rpartition(";")[2].split(",")
    path = parts[1] if len(parts) == 3 else ""
    return path if path.isprintable() and len(path) <= _MODULE_LENGTH else ""

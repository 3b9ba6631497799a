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
from pruning.intake.modes import mode_notes
from pruning.intake.operators import LIST, OPERATORS
from pruning.intake.plain import DRAWS, FRESH, plain, renamed, way_out
from pruning.intake.spellings import CHECKS, IN_PLACE, OWN_NAMES, VIEWS

_PREFIX = "torch.ops."
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
        self._keeps: dict[Any, float] = {}  # random masks under way, and the share that they keep

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
        return (*self._notes, *mode_notes(self.nodes))

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
        if spelled in OWN_NAMES or renamed(spelled) not in OPERATORS:
            raise IntakeError(f"{where}: this operator is not supported; {way_out(spelled)}")
        op, given = plain(spelled, self._named(node, where))
        args = self._arguments(op, given, where)
        written = self._written(op, given, where) if spelled in IN_PLACE else None
        if written is not None and self._values[written].counter:
            self._notes["the counts of batches in batch norm are not kept up"] = None
            return
        if op == "aten.batch_norm.default" and not args["momentum"]:
            args["momentum"] = _MOMENTUM
            self._notes[f"batch norm without momentum: {_MOMENTUM} is used when statistics are estimated"] = None
        made = self._made(node, op, where)
        if op.startswith("aten.div.") and self._keeps.get(args["self"]) == args["other"] and made[0] is not None:
            del self._keeps[args["self"]]  # dropout divides by itself
            self._define(made[0], self._values[_first_tensor(op, given, where)])
            return
        entry = Node(id=f"n{len(self.nodes)}", op=op, args=args, outputs=len(made), module=_module(node))
        if spelled in DRAWS:
            self._draw(entry, where)
        self._bind_outputs(entry, made, given, written)
        self.nodes.append(entry)

    def close(self) -> None:
        """Raises IntakeError if random numbers were drawn that are not those of a drop path."""
        if self._keeps:
            place = next(iter(self._keeps)).id
            raise IntakeError(f"node {place[1:]} draws random numbers that are no drop path: export it in eval mode")

    def _draw(self, entry: Node, where: str) -> None:
        """A drop path keeps each sample with a chance and divides by it: dropout of ones, which are drawn here."""
        base = entry.args["input"]
        fresh = isinstance(base, Ref) and base.id.startswith("n") and self.nodes[int(base.id[1:])].op in FRESH
        if not fresh or not isinstance(dropped := entry.args["p"], float):
            raise IntakeError(f"{where}: {way_out('bernoulli')}")
        self._keeps[Ref(entry.id)] = 1 - dropped

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

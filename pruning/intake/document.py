"""`GraphDocument`: an exported ATen graph as plain frozen values, with generated identifiers throughout.

Identifiers (`n7`, `p3`, `i0`) are ours, made by counting; the uploader's names stand beside them as text and
are never compiled, imported or looked up. A document is JSON; its tensors live in a safetensors file under
the same identifiers. `pruning.graphnet` runs it.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pruning.errors import IntakeError

SCHEMA = 1
_IDENTIFIER = re.compile(r"[nip]\d{1,6}")
DTYPES = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


@dataclass(frozen=True)
class Ref:
    """A use of a value: of a node's output (`n7`; with index 1 its second output), parameter or input."""

    id: str
    index: int = 0


@dataclass(frozen=True)
class DType:
    """A tensor type by name, from `DTYPES`."""

    name: str


Argument = Ref | DType | int | float | bool | str | None | tuple["Argument", ...]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator call. `op` is a key of the operator table, e.g. `aten.conv2d.default`."""

    id: str
    op: str
    args: Mapping[str, Argument]
    outputs: int = 1
    module: str = ""  # the uploader's module path, for people

    def refs(self) -> Iterator[Ref]:
        """Every value this node reads, in argument order."""
        for value in self.args.values():
            yield from _refs(value)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A tensor of the model; `name` is the uploader's (`conv1.weight`), `aliases` its other names."""

    id: str
    name: str
    kind: Literal["parameter", "buffer", "constant"]
    shape: tuple[int, ...]
    dtype: str
    trainable: bool = True
    aliases: tuple[str, ...] = ()  # of a tensor that the model holds under several names (tied weights)


@dataclass(frozen=True, kw_only=True)
class Input:
    """A tensor the model is called with; the batch dimension is None where it may vary."""

    id: str
    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class GraphDocument:
    """A whole model without its numbers. `notes` lists what the export lost and what the reader dropped."""

    inputs: tuple[Input, ...]
    parameters: tuple[Parameter, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Ref, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Every identifier is ours and unique, and nothing is used before it is made."""
        known: dict[str, int] = {}
        for identifier in [i.id for i in self.inputs] + [p.id for p in self.parameters]:
            _admit(known, identifier, 1)
        for node in self.nodes:
            for ref in node.refs():
                _require(known, ref, node.id)
            _admit(known, node.id, node.outputs)
        for ref in self.outputs:
            _require(known, ref, "the outputs")

    def to_json(self) -> dict[str, Any]:
        """JSON form; `from_json` is its inverse."""
        return {
            "schema": SCHEMA,
            "inputs": [vars(i) | {"shape": list(i.shape)} for i in self.inputs],
            "parameters": [vars(p) | _lists(shape=p.shape, aliases=p.aliases) for p in self.parameters],
            "nodes": [vars(n) | {"args": {k: _encode(v) for k, v in n.args.items()}} for n in self.nodes],
            "outputs": [_encode(ref) for ref in self.outputs],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "GraphDocument":
        """Inverse of `to_json`.

        Raises:
            IntakeError: another schema number, or a broken document.
        """
        if document.get("schema") != SCHEMA:
            raise IntakeError(f"graph schema {document.get('schema')!r} is not {SCHEMA}: upload the model again")
        return cls(
            inputs=tuple(Input(**i | {"shape": tuple(i["shape"])}) for i in document["inputs"]),
            parameters=tuple(
                Parameter(**p | {"shape": tuple(p["shape"]), "aliases": tuple(p.get("aliases", ()))})
                for p in document["parameters"]
            ),
            nodes=tuple(Node(**n | {"args": {k: _decode(v) for k, v in n["args"].items()}}) for n in document["nodes"]),
            outputs=tuple(_ref(o) for o in document["outputs"]),
            notes=tuple(document["notes"]),
        )


def _lists(**fields: tuple[Any, ...]) -> dict[str, list[Any]]:
    return {key: list(value) for key, value in fields.items()}


def _refs(value: Argument) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _refs(item)


def _admit(known: dict[str, int], identifier: str, outputs: int) -> None:
    if not _IDENTIFIER.fullmatch(identifier) or identifier in known:
        raise IntakeError(f"identifier {identifier[:40]!r} is not ours or stands twice")
    known[identifier] = outputs


def _require(known: Mapping[str, int], ref: Ref, where: str) -> None:
    if not 0 <= ref.index < known.get(ref.id, 0):
        raise IntakeError(f"{where} uses {ref.id}[{ref.index}], which nothing before it makes")


def _encode(value: Argument) -> Any:
    match value:
        case Ref():
            return {"ref": value.id, "index": value.index}
        case DType():
            return {"dtype": value.name}
        case tuple():
            return [_encode(item) for item in value]
        case float() if not math.isfinite(value):
            return {"float": str(value)}  # JSON has no infinity
    return value


def _decode(value: Any) -> Argument:
    match value:
        case {"ref": _}:
            return _ref(value)
        case {"dtype": str(name)} if name in DTYPES:
            return DType(name)
        case {"float": "inf" | "-inf" | "nan" as text}:
            return float(text)
        case list():
            return tuple(_decode(item) for item in value)
        case bool() | int() | float() | str() | None:
            return value
    raise IntakeError(f"not an argument of a graph: {str(value)[:80]}")


def _ref(value: Mapping[str, Any]) -> Ref:
    return Ref(str(value["ref"]), int(value["index"]))

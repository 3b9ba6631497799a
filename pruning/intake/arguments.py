"""One argument of a node: the file's one-of becomes a plain value of the kind that the operator takes."""

from collections.abc import Callable
from typing import Any, Protocol

from pruning.errors import IntakeError
from pruning.intake import fields
from pruning.intake.document import Argument, DType, Ref
from pruning.intake.fields import shown
from pruning.intake.weights import SCALAR_TYPES


class Scope(Protocol):
    """Where names of the file are looked up; both raise IntakeError on a name that nothing before made."""

    def tensor(self, value: Any, where: str) -> Ref:
        """The tensor behind `{"name": ...}`."""
        ...

    def size(self, value: Any, where: str) -> Ref:
        """The size behind a name."""
        ...


def argument(scope: Scope, kind: str, value: Any, where: str, limit: int) -> Argument:
    """Read `value` as an argument of `kind` (see `operators`); lists have at most `limit` items.

    Raises:
        IntakeError: it is of another kind.
    """
    form, inner = fields.union(value, where)
    if kind.endswith("?"):
        if form == "as_none":
            return None
        kind = kind[:-1]
        if form == "as_optional_tensor":
            return _optional_tensor(scope, inner, where)
    if kind.endswith("s") and len(kind) > 1:
        return _list(scope, kind[:-1], form, inner, where, limit)
    read = _SINGLE.get((kind, form))
    if read is None:
        raise IntakeError(f"{where} is given {shown(form)}, which is not what the operator takes")
    return read(scope, inner, where)


def _list(scope: Scope, kind: str, form: str, inner: Any, where: str, limit: int) -> Argument:
    if (kind, form) in _SINGLE:  # a single number stands for a list of one
        return (_SINGLE[kind, form](scope, inner, where),)
    read = _LISTS.get((kind, form))
    if read is None:
        raise IntakeError(f"{where} is given {shown(form)}, which is not what the operator takes")
    return tuple(read(scope, item, where) for item in fields.items(inner, where, limit))


def _tensor(scope: Scope, value: Any, where: str) -> Argument:
    return scope.tensor(value, where)


def _optional_tensor(scope: Scope, value: Any, where: str) -> Argument:
    form, inner = fields.union(value, where)
    if form == "as_none":
        return None
    if form != "as_tensor":
        raise IntakeError(f"{where} is neither a tensor nor nothing")
    return scope.tensor(inner, where)


def _size(scope: Scope, value: Any, where: str) -> Argument:
    form, inner = fields.union(value, where)
    if form == "as_int":
        return fields.integer(inner, where)
    if form != "as_name":
        raise IntakeError(f"{where} is neither a number nor the name of a size")
    return scope.size(inner, where)


def _integer(_: Scope, value: Any, where: str) -> Argument:
    return fields.integer(value, where)


def _number(_: Scope, value: Any, where: str) -> Argument:
    return fields.number(value, where)


def _flag(_: Scope, value: Any, where: str) -> Argument:
    return fields.flag(value, where)


def _text(_: Scope, value: Any, where: str) -> Argument:
    return fields.text(value, where)


def _dtype(_: Scope, value: Any, where: str) -> Argument:
    code = fields.integer(value, where)
    if code not in SCALAR_TYPES:
        raise IntakeError(f"{where} is scalar type {code}, which is not supported")
    return DType(SCALAR_TYPES[code])


_Read = Callable[[Scope, Any, str], Argument]
_SINGLE: dict[tuple[str, str], _Read] = {
    ("T", "as_tensor"): _tensor,
    ("t", "as_tensor"): _tensor,
    ("t", "as_int"): _integer,
    ("t", "as_float"): _number,
    ("t", "as_bool"): _flag,
    ("t", "as_sym_int"): _size,
    ("n", "as_int"): _integer,
    ("n", "as_float"): _number,
    ("n", "as_bool"): _flag,
    ("n", "as_sym_int"): _size,
    ("i", "as_int"): _integer,
    ("i", "as_sym_int"): _size,
    ("f", "as_float"): _number,
    ("f", "as_int"): _number,
    ("b", "as_bool"): _flag,
    ("s", "as_string"): _text,
    ("d", "as_scalar_type"): _dtype,
}
_LISTS: dict[tuple[str, str], _Read] = {
    ("T", "as_tensors"): _tensor,
    ("T?", "as_tensors"): _tensor,
    ("T?", "as_optional_tensors"): _optional_tensor,
    ("i", "as_ints"): _integer,
    ("i", "as_sym_ints"): _size,
    ("f", "as_floats"): _number,
    ("f", "as_ints"): _number,
}

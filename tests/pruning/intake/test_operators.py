"""The table against torch's own schemas: names, kinds, defaults, outputs."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch

from pruning import intake
from pruning.intake.operators import LIST, OPERATORS
from pruning.intake.spellings import CHECKS, EXTRA, IN_PLACE, OWN_NAMES, RENAMED, VIEWS

ATEN = sorted(name for name in OPERATORS if name.startswith("aten."))
KINDS = {
    "Tensor": "T",
    "int": "i",
    "SymInt": "i",
    "float": "f",
    "number": "n",
    "Scalar": "n",
    "bool": "b",
    "str": "s",
    "ScalarType": "d",
    "Device": "-",
    "Layout": "-",
    "MemoryFormat": "-",
}


def schema(name: str) -> torch._C.FunctionSchema:
    _, base, overload = name.split(".")
    return getattr(getattr(torch.ops.aten, base), overload)._schema


def kind(type_: Any) -> str:
    text = str(type_)
    if text.startswith("Optional["):
        return kind(type_.getElementType()) + "?"
    if text.startswith("List["):
        return kind(type_.getElementType()) + "s"
    return KINDS[text]


@pytest.mark.parametrize("name", ATEN)
def test_table_agrees_with_torch(name: str) -> None:
    operator, torchs = OPERATORS[name], schema(name)
    assert operator.args == tuple(a.name for a in torchs.arguments)
    for argument in torchs.arguments:
        ours, theirs = operator.kinds[argument.name], kind(argument.real_type)
        if argument.name == "pin_memory":
            theirs = "-?" if theirs.endswith("?") else "-"
        if argument.name == "momentum":  # None is repaired by the reader
            theirs += "?"
        assert ours.replace("t", "T").rstrip("?" if ours.startswith("-") else "") == theirs.rstrip(
            "?" if theirs.startswith("-") else ""
        )
    assert operator.required == {a.name for a in torchs.arguments if not a.has_default_value()}
    returns = [str(r.real_type) for r in torchs.returns]
    assert operator.outputs == (LIST if returns == ["List[Tensor]"] else len(returns))
    assert operator.integer == (returns in (["int"], ["SymInt"]))


def test_no_operator_of_the_table_writes_to_its_arguments() -> None:
    for name in ATEN:
        writes = [a.name for a in schema(name).arguments if a.alias_info is not None and a.alias_info.is_write]
        assert not writes or name in ("aten.batch_norm.default", "aten.instance_norm.default"), name


def test_whatever_may_alias_is_known_as_a_view() -> None:
    may = {name for name in ATEN if any(r.alias_info is not None for r in schema(name).returns)}
    assert may <= VIEWS
    assert set(OPERATORS) >= VIEWS


def test_spellings_lead_into_the_table_and_take_the_same_arguments() -> None:
    for spelled, plain in (IN_PLACE | RENAMED).items():
        assert plain in OPERATORS and spelled not in OPERATORS
        if spelled.startswith("aten."):
            given = [a.name for a in schema(spelled).arguments]
            if spelled in IN_PLACE:
                assert given[0] == "self" and schema(spelled).arguments[0].alias_info.is_write
                given[0] = OPERATORS[plain].args[0]
            assert set(given) - EXTRA.get(spelled, frozenset()) <= set(OPERATORS[plain].args)
    assert not CHECKS & set(OPERATORS) and set(OPERATORS) >= OWN_NAMES


def test_every_text_argument_has_its_accepted_values() -> None:
    for name, operator in OPERATORS.items():
        texts = {arg for arg, kind in operator.kinds.items() if kind.startswith("s")}
        assert texts == set(operator.strings), name


def test_intake_imports_no_torch_and_nothing_that_runs_text() -> None:
    forbidden = {"torch", "pickle", "importlib", "marshal", "shelve", "subprocess", "sympy"}
    calls = {"eval", "exec", "compile", "__import__", "getattr", "setattr", "globals"}
    for path in Path(intake.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.partition(".")[0] for n in names} & forbidden, path.name
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in calls, path.name

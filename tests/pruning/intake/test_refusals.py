"""Programs that are broken or beyond us are refused with the reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.errors import IntakeError
from pruning.intake.reader import read_document, read_exported_program
from tests.pruning.intake.exporting import Lambda, export, read
from tests.pruning.intake.payloads import changed, find, node, read_members, write_members


@pytest.mark.parametrize(
    ("module", "inputs", "match"),
    [
        (Lambda(lambda _, x: x.sort(dim=1)[0]), (torch.randn(2, 3),), "aten.sort.default"),
        (nn.GRU(3, 4, batch_first=True), (torch.randn(2, 5, 3),), "not supported"),
        (Lambda(lambda _, x: x.to(torch.complex64)), (torch.randn(2, 3),), "scalar type 10"),
        (Lambda(lambda _, x: torch.fft.rfft(x).real), (torch.randn(2, 4),), "not supported"),
    ],
)
def test_unknown_operators_are_named(module: nn.Module, inputs: tuple[Tensor, ...], match: str, tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match=match):
        read(module.eval(), inputs, tmp_path)


def _drop(program: Any, key: str) -> None:
    node(program, "conv2d")["inputs"] = [e for e in node(program, "conv2d")["inputs"] if e["name"] != key]


def _call(program: Any, old: str, new: str) -> None:
    node(program, old)["target"] = new


def _give(program: Any, target: str, name: str, arg: Any) -> None:
    node(program, target)["inputs"].append({"name": name, "arg": arg, "kind": 1})


BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "operator": (lambda p: _call(p, "relu", "torch.ops.aten.system.default"), "not supported"),
    "python": (lambda p: _call(p, "relu", "os.system"), "not supported"),
    "own_name": (lambda p: _call(p, "relu", "int.add"), "not supported"),
    "argument": (lambda p: _give(p, "relu", "out", {"as_int": 1}), "does not take"),
    "twice": (lambda p: _give(p, "relu", "self", {"as_int": 1}), "twice"),
    "missing": (lambda p: _drop(p, "weight"), "lacks its argument 'weight'"),
    "kind": (lambda p: _give(p, "conv2d", "groups", {"as_string": "x"}), "as_string"),
    "large": (lambda p: _give(p, "conv2d", "groups", {"as_int": 2**70}), "outside"),
    "graph": (lambda p: _give(p, "conv2d", "groups", {"as_graph": {}}), "as_graph"),
    "padding": (lambda p: _give(p, "conv2d", "stride", {"as_ints": [1] * 5000}), "5000 items"),
    "undefined": (lambda p: p["graph_module"]["graph"]["nodes"].reverse(), "nothing before it makes"),
    "no_nodes": (lambda p: p["graph_module"]["graph"].pop("nodes"), "lacks its field"),
    "schema": (lambda p: p["schema_version"].update(major=7), "schema"),
    "custom": (
        lambda p: p["graph_module"]["signature"]["input_specs"].append({"custom_obj": {}}),
        "custom_obj",
    ),
    "token": (
        lambda p: p["graph_module"]["signature"]["output_specs"].append({"token": {"arg": {}}}),
        "kind",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_programs_are_refused_with_the_reason(name: str, good: Path, tmp_path: Path) -> None:
    change, match = BROKEN[name]
    with pytest.raises(IntakeError, match=match) as caught:
        read_exported_program(changed(good, tmp_path, change))
    assert len(str(caught.value)) < 300


def _first(config: Any) -> Any:
    return next(iter(config["config"].values()))


BROKEN_WEIGHTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "pickle": (lambda c: _first(c).update(use_pickle=True), "pickled"),
    "path": (lambda c: _first(c).update(path_name="../../etc/passwd"), "not one of the accepted"),
    "absent": (lambda c: _first(c).update(path_name="weight_99"), "lacks its member"),
    "large": (
        lambda c: _first(c)["tensor_meta"]["sizes"].__setitem__(0, {"as_int": 99}),
        "bytes and its file",
    ),
    "huge": (lambda c: _first(c)["tensor_meta"].update(sizes=[{"as_int": 2**31}] * 4), "more than"),
    "negative": (lambda c: _first(c)["tensor_meta"]["strides"].__setitem__(0, {"as_int": -1}), "outside"),
    "offset": (lambda c: _first(c)["tensor_meta"].update(storage_offset={"as_int": 1}), "bytes and its file"),
    "spread": (
        lambda c: _first(c)["tensor_meta"].update(
            sizes=[{"as_int": 2**31}], strides=[{"as_int": 0}], storage_offset={"as_int": 0}
        ),
        "more than",
    ),
    "dtype": (lambda c: _first(c)["tensor_meta"].update(dtype=9), "scalar type 9"),
    "layout": (lambda c: _first(c)["tensor_meta"].update(layout=1), "strided"),
    "meta": (lambda c: _first(c).update(tensor_meta=None), "lacks its field"),
    "gone": (lambda c: c["config"].pop(next(iter(c["config"]))), "no bytes for"),
}


@pytest.mark.parametrize("name", BROKEN_WEIGHTS)
def test_weights_that_do_not_fit_their_bytes_are_refused(name: str, good: Path, tmp_path: Path) -> None:
    change, match = BROKEN_WEIGHTS[name]
    with pytest.raises(IntakeError, match=match):
        read_exported_program(changed(good, tmp_path, change, "model_weights_config.json"))


def test_truth_values_must_be_zero_or_one(tmp_path: Path) -> None:
    module = Lambda(lambda m, x: x + m.mask)
    module.register_buffer("mask", torch.tensor([True, False, True]))
    members = read_members(export(module, (torch.randn(2, 3),), tmp_path / "m.pt2"))
    members[find(members, "weights/weight_0")] = b"\x01\x02\x00"
    write_members(members, tmp_path / "m.pt2")
    with pytest.raises(IntakeError, match="truth values"):
        read_exported_program(tmp_path / "m.pt2")


def test_a_broken_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    for text in ("", "[]", "{}", '{"schema": 1}', '{"schema": 1, "inputs": [{"a": 1}]}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(IntakeError):
            read_document(path)

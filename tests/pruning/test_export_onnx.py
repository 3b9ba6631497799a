"""ONNX files: what ONNX Runtime makes of them, what is stored under which name, and how a failure names its place."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.apply import prune
from pruning.errors import ExportError
from pruning.export import cut_channels
from pruning.export_onnx import OnnxFile, OnnxNet, export_onnx, quantised_onnx, stored_weights
from pruning.graphnet import GraphNet, tensors_of
from pruning.layers import ModelSpec
from pruning.onnx_translate import OPSET
from pruning.quantise.int8 import quantise
from pruning.trace import trace
from tests.pruning.graphs import load_net, stir
from tests.pruning.zoo.entries import ZOO
from tests.pruning.zoo.hops import mixed_plan

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
# What is known not to become ONNX, and the operator that the reason must name.
KNOWN: dict[str, str] = {}


def smaller(name: str, folder: Path) -> tuple[GraphNet, ModelSpec]:
    """A model of the zoo, pruned with all kinds of patterns and cut; and its specification before."""
    torch.manual_seed(0)
    net = load_net(stir(ZOO[name].make()).eval(), ZOO[name].inputs(), folder)
    spec = trace(net)
    pruned = prune(net, spec, mixed_plan(spec))
    assert isinstance(pruned.net, GraphNet)
    return cut_channels(pruned.net, spec, pruned.kept).eval(), spec


def worst(net: nn.Module, other: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """The largest difference of outputs over the largest output or 1, at three batch sizes."""
    largest = 0.0
    for batch in (1, 2, 5):
        sized = tuple(torch.cat([value] * 3)[:batch] for value in inputs)
        with torch.no_grad():
            pairs = [(tuple(a) if isinstance(a, tuple) else (a,)) for a in (net(*sized), other(*sized))]
        for a, b in zip(*pairs, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            largest = max(largest, float((a - b).abs().max() / a.abs().max().clamp_min(1)))
    return largest


def unread(net: GraphNet, inputs: tuple[Tensor, ...]) -> set[str]:
    """Parameters that no output depends on; no exporter keeps them."""
    found = net(*inputs)
    sum(value.sum() for value in (found if isinstance(found, tuple) else (found,))).backward()
    return {name for name, parameter in net.named_parameters() if parameter.grad is None}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[GraphNet, ModelSpec, OnnxFile]:
    folder = tmp_path_factory.mktemp("bert")
    net, spec = smaller("bert", folder)
    return net, spec, export_onnx(net, folder / "bert.onnx")


def _check(name: str, folder: Path) -> None:
    net, spec = smaller(name, folder)
    written = export_onnx(net, folder / "net.onnx")
    assert worst(net, OnnxNet(written.path), ZOO[name].inputs()) < 1e-5
    stored = stored_weights(written)
    assert {layer.parameter for layer in spec.layers} - unread(net, ZOO[name].inputs()) <= set(stored)
    for key, value in stored.items():
        assert torch.equal(value, getattr(net, key)), written.names[key]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ZOO if name != "bert"])
def test_every_model_of_the_zoo_runs_in_onnx_runtime_and_keeps_its_tensors(name: str, tmp_path: Path) -> None:
    if name in KNOWN:
        with pytest.raises(ExportError, match=KNOWN[name]):
            _check(name, tmp_path)
    else:
        _check(name, tmp_path)


def test_an_encoder_runs_in_onnx_runtime_under_the_uploaders_names(bert: tuple[GraphNet, ModelSpec, OnnxFile]) -> None:
    net, _, written = bert
    assert worst(net, OnnxNet(written.path), ZOO["bert"].inputs()) < 1e-5
    there = onnx.load(written.path)
    assert {entry.name for entry in there.graph.initializer} >= set(written.names.values())
    assert written.names == {p.id: p.name for p in net.document.parameters if p.id in written.names}
    assert [(o.domain, o.version) for o in there.opset_import] == [("", OPSET)] and written.opset == OPSET
    assert [entry.name for entry in there.graph.input] == [entry.name for entry in net.document.inputs]
    assert all(entry.type.tensor_type.shape.dim[0].dim_param for entry in there.graph.input)
    assert str(Path(__file__).parents[2]) not in str(there) and "pkg.torch" not in str(there)


def test_eight_bit_weights_are_the_codes_and_the_zeros_stay(
    bert: tuple[GraphNet, ModelSpec, OnnxFile], tmp_path: Path
) -> None:
    net, spec, plain = bert
    written = quantised_onnx(plain, spec.layers, tmp_path / "int8.onnx")
    tensors, stored = tensors_of(net), stored_weights(written)
    for layer in spec.layers:
        codes = quantise(tensors[layer.parameter])
        assert stored[layer.parameter].dtype == torch.int8
        assert torch.equal(stored[layer.parameter], codes.codes)
        assert (stored[layer.parameter][tensors[layer.parameter] == 0] == 0).all()
        tensors[layer.parameter] = codes.weight()
    oracle = GraphNet(net.document, tensors).eval()  # the product of codes and scales in the plain net
    assert worst(oracle, OnnxNet(written.path), ZOO["bert"].inputs()) < 1e-5
    assert worst(net, OnnxNet(written.path), ZOO["bert"].inputs()) > 1e-5
    assert written.operators["DequantizeLinear"] == len(spec.layers)
    assert written.path.stat().st_size < plain.path.stat().st_size


HOSTILE = ("__import__('os').system('x')", "a b", "a/../b", "x" * 300, "a.b.", "w\n", "é", "input_0")
TAKEN = ("w", "w.int8", "b", "b")  # the second name and the fourth would be somebody's already


def test_names_that_a_tool_might_run_or_that_are_taken_stay_out(tmp_path: Path) -> None:
    wanted = (*HOSTILE, *TAKEN)
    layers = [nn.Linear(3, 3, bias=False) for _ in wanted]
    net = load_net(nn.Sequential(*layers), (torch.randn(2, 3),), tmp_path)
    named = [replace(entry, name=name) for entry, name in zip(net.document.parameters, wanted, strict=True)]
    inputs = (replace(net.document.inputs[0], name="input_0"),)
    renamed = GraphNet(replace(net.document, parameters=tuple(named), inputs=inputs), tensors_of(net)).eval()
    plain = export_onnx(renamed, tmp_path / "a.onnx")
    found = quantised_onnx(plain, trace(renamed).layers, tmp_path / "b.onnx")
    assert worst(net, OnnxNet(found.path), (torch.randn(2, 3),)) < 0.05
    given = [plain.names[entry.id] for entry in named]
    ours = [entry.id for entry in named]
    assert given == [*ours[:8], "w", ours[9], "b", ours[11]]
    kept = next(entry.value for entry in onnx.load(plain.path).metadata_props if entry.key == "names")
    assert json.loads(kept) == {
        entry.id: entry.name for entry, name in zip(named, given, strict=True) if entry.id == name
    }


def test_an_operator_without_a_form_is_named_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = load_net(nn.Sequential(nn.Linear(3, 3), nn.GELU()), (torch.randn(2, 3),), tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        inner = ValueError("No ONNX function found for <OpOverload(op='aten.gelu', overload='default')>")
        raise RuntimeError("Failed to convert the exported program") from inner

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ExportError, match=r"no form of aten\.gelu at 1"):
        export_onnx(net, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = load_net(nn.Sequential(nn.Linear(3, 3)), (torch.randn(2, 3),), tmp_path)
    monkeypatch.setattr("pruning.export_onnx.find_spec", lambda name: None if name == "onnxruntime" else sys)
    with pytest.raises(ExportError, match=r"onnxruntime: pip install 'espalier\[onnx\]'"):
        export_onnx(net, tmp_path / "net.onnx")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"not a model")
    with pytest.raises(ExportError, match="does not load"):
        OnnxNet(tmp_path / "net.onnx")

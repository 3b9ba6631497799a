from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pruning import graphnet
from pruning.errors import IntakeError
from pruning.intake.document import GraphDocument, Ref
from pruning.intake.reader import RawTensor, read_document, read_exported_program, write_model
from tests.pruning.intake.exporting import CASES, Lambda, Residual, Tied, export, read
from tests.pruning.intake.payloads import changed, node

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data" / "cifar10-jpeg" / "resnet20.pt2"


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from tensors(item)


@pytest.mark.parametrize("name", CASES)
def test_read_model_computes_what_the_original_computes(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, inputs = CASES[name][0]().eval(), CASES[name][1]()
    document, raw = read_exported_program(export(module, inputs, tmp_path / "model.pt2"))
    assert GraphDocument.from_json(document.to_json()) == document
    write_model(document, raw, tmp_path)
    assert read_document(tmp_path / "graph.json") == document
    net = graphnet.load(tmp_path).eval()
    for batch in (2, 3):
        sized = tuple(torch.cat([t, t.flip(0)])[:batch] for t in inputs)
        with torch.no_grad():
            expected, found = list(tensors(module(*sized))), list(tensors(net(*sized)))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_train_export_of_batch_norm_reads_like_the_eval_export(tmp_path: Path) -> None:
    inputs = CASES["residual"][1]()
    in_eval, in_train = (read(Residual().train(mode), inputs, tmp_path) for mode in (False, True))
    assert [n.op for n in in_train.nodes] == [n.op for n in in_eval.nodes]
    flags = [n.args["training"] for n in in_train.nodes if "training" in n.args]
    assert flags == [True, True]
    assert any("counts of batches" in note for note in in_train.notes)
    assert any("exported in eval mode" in note for note in in_eval.notes)
    assert not any("exported in eval mode" in note for note in in_train.notes)


def test_in_place_operators_become_plain_and_names_follow_the_written_value(tmp_path: Path) -> None:
    def forward(m: Lambda, x: Tensor) -> Tensor:
        y = m.a(x)
        y.mul_(2)  # its result is not used; y is
        return y + 1

    document = read(Lambda(forward, a=nn.Linear(3, 3)).eval(), (torch.randn(2, 3),), tmp_path)
    assert [n.op for n in document.nodes] == ["aten.linear.default", "aten.mul.Tensor", "aten.add.Tensor"]
    assert document.nodes[2].args == {"self": Ref("n1"), "other": 1}


def test_writing_through_a_view_is_refused(tmp_path: Path) -> None:
    def forward(m: Lambda, x: Tensor) -> Tensor:
        y = m.a(x)
        y[:, :2].mul_(2)  # changes y as well
        return y + 1

    with pytest.raises(IntakeError, match="written in place"):
        read(Lambda(forward, a=nn.Linear(3, 3)).eval(), (torch.randn(2, 3),), tmp_path)


def test_a_model_that_changes_its_own_state_is_refused(tmp_path: Path) -> None:
    def forward(m: Lambda, x: Tensor) -> Tensor:
        m.a.running_mean.add_(1)
        return m.a(x)

    with pytest.raises(IntakeError, match="changes a parameter or buffer"):
        read(Lambda(forward, a=nn.BatchNorm1d(3)).eval(), (torch.randn(2, 3),), tmp_path)


def test_tied_weights_are_one_parameter_with_two_names(tmp_path: Path) -> None:
    document, raw = read_exported_program(export(Tied().eval(), (torch.randn(2, 4),), tmp_path / "m.pt2"))
    names = {p.name: (p.kind, p.aliases) for p in document.parameters}
    assert names["first.weight"] == ("parameter", ("second.weight",))
    assert "second.weight" not in names
    assert names["scale"] == ("constant", ())
    weights = {n.args["weight"] for n in document.nodes if n.op == "aten.linear.default"}
    assert len(weights) == 1 and set(raw) == {p.id for p in document.parameters}


def test_a_view_of_a_larger_storage_keeps_its_own_numbers(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    module = nn.Linear(4, 3, bias=False)
    module.weight = nn.Parameter(base.t()[1:6:2])  # strided, with an offset
    document, raw = read_exported_program(export(module.eval(), (torch.randn(2, 4),), tmp_path / "m.pt2"))
    (entry,) = document.parameters
    found = torch.frombuffer(bytearray(raw[entry.id].data), dtype=torch.float32).reshape(entry.shape)
    torch.testing.assert_close(found, base.t()[1:6:2])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "bool"])
def test_every_type_survives_reading_and_writing(dtype: str, tmp_path: Path) -> None:
    module = Lambda(lambda m, x: x + m.table.sum())
    module.register_buffer("table", torch.tensor([0, 1, 1]).to(getattr(torch, dtype)))
    document, raw = read_exported_program(export(module, (torch.randn(2, 3),), tmp_path / "m.pt2"))
    raw["p7"] = RawTensor(dtype="float64", shape=(2,), data=bytes(16))  # another width: alignment
    write_model(document, raw, tmp_path)
    loaded = load_file(tmp_path / "weights.safetensors")
    torch.testing.assert_close(loaded["p0"], module.table)
    assert loaded["p7"].tolist() == [0.0, 0.0]
    assert document.parameters[0].dtype == dtype and not document.parameters[0].trainable


def test_inputs_batch_and_frozen_parameters(tmp_path: Path) -> None:
    module = nn.Linear(4, 3).eval()
    module.bias.requires_grad_(False)
    dynamic = read(module, (torch.randn(2, 4),), tmp_path)
    static = read(module, (torch.randn(5, 4),), tmp_path, dynamic=False)
    assert dynamic.inputs[0].shape == (None, 4) and dynamic.inputs[0].dtype == "float32"
    assert static.inputs[0].shape == (5, 4)
    assert any("batch of input is fixed to 5" in note for note in static.notes)
    assert {p.name: p.trainable for p in dynamic.parameters} == {"weight": True, "bias": False}


def test_another_varying_dimension_is_read_as_in_the_example(tmp_path: Path) -> None:
    dims = ({0: torch.export.Dim("batch"), 2: torch.export.Dim("width", min=4)},)
    program = torch.export.export(nn.Conv1d(2, 3, 3).eval(), (torch.randn(2, 2, 9),), dynamic_shapes=dims)
    torch.export.save(program, tmp_path / "m.pt2")
    document, _ = read_exported_program(tmp_path / "m.pt2")
    assert document.inputs[0].shape == (None, 2, 9)
    assert any("dimension 2 of input" in note for note in document.notes)


def test_modules_are_named_for_people(good: Path) -> None:
    document, _ = read_exported_program(good)
    assert [n.module for n in document.nodes] == ["0", "1", "2", "3", "4"]
    assert {p.name for p in document.parameters} >= {"0.weight", "1.running_var", "4.bias"}


def test_batch_norm_without_momentum_is_repaired(good: Path, tmp_path: Path) -> None:
    def change(program: Any) -> None:
        for entry in node(program, "batch_norm")["inputs"]:
            if entry["name"] == "momentum":
                entry["arg"] = {"as_float": 0.0}

    document, _ = read_exported_program(changed(good, tmp_path, change))
    (norm,) = [n for n in document.nodes if n.op == "aten.batch_norm.default"]
    assert norm.args["momentum"] == 0.1
    assert any("without momentum" in note for note in document.notes)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared ResNet-20 is not beside this checkout")
def test_reads_the_shared_resnet() -> None:
    document, raw = read_exported_program(SHARED)
    assert sum(n.op == "aten.conv2d.default" for n in document.nodes) == 19
    assert document.inputs[0].shape == (None, 3, 32, 32)
    assert sum(len(t.data) for t in raw.values()) > 4 * 269_000

"""Inspecting: exported programs, and architectures by name with weights that fit or do not."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export.pt2_archive._package import package_pt2

from app.search.tasks.inspect import inspect
from pruning.architectures import build
from pruning.errors import IntakeError
from pruning.graphnet import load_files
from pruning.layers import ModelSpec
from tests.pruning.intake.exporting import Lambda, export

torch.set_num_threads(1)
RESNET: dict[str, Any] = {"depth": 8, "width": 4, "size": 16}


def inspected(folder: Path, upload: Path, **request: Any) -> tuple[ModelSpec, Any]:
    """The spec and the net that come of an upload."""
    folder.mkdir()
    payload = json.loads(json.dumps({"upload": str(upload), **request}))
    result, files = inspect(payload, folder, lambda *_: None)
    assert {path.name for path in folder.iterdir()} == {"graph.json", "weights.safetensors"}
    return ModelSpec.from_json(result["spec"]), load_files(files["graph"], files["weights"])


def test_an_architecture_by_name_computes_what_its_weights_say(tmp_path: Path) -> None:
    module = build("cifar_resnet", RESNET, seed=3)
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    spec, net = inspected(tmp_path / "out", tmp_path / "w.safetensors", architecture="cifar_resnet", config=RESNET)
    x = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(x), module(x), rtol=1e-5, atol=1e-5)
    assert spec.notes[0] == "built by name as cifar_resnet; the weights fit in names and shapes"
    assert any("exported in train mode" in note for note in spec.notes)
    assert any("as fvcore counts" in note for note in spec.notes)
    assert {layer.name for layer in spec.layers} == {
        name for name, part in module.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)
    }
    assert spec.groups and spec.parameter_count == sum(p.numel() for p in module.parameters())


def test_weights_that_do_not_fit_are_named_and_counted(tmp_path: Path) -> None:
    state = build("cifar_resnet", RESNET).state_dict()
    state["fc.weight"] = torch.zeros(10, 3)
    state["stranger"] = torch.zeros(1)
    del state["conv1.weight"]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(IntakeError) as refused:
        inspected(tmp_path / "out", tmp_path / "w.safetensors", architecture="cifar_resnet", config=RESNET)
    said = str(refused.value)
    assert f"{len(state) - 2} of {len(state)} tensors do" in said
    assert "1 missing: conv1.weight" in said and "1 not in the model: stranger" in said
    assert "1 misshapen: fc.weight ([10, 3] instead of [10, 16])" in said


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"architecture": "os.path", "config": {}}, "there is no architecture 'os.path'"),
        ({"architecture": "mlp", "config": {"depth": 3}}, "there is no field 'depth'; the fields are features"),
        ({"architecture": "cifar_resnet", "config": {"depth": 9}}, "depth is '9'; it should be one of"),
        ({"architecture": "timm/resnet18", "config": {}}, "needs the package timm"),
        ({"architecture": "mlp", "config": {}}, "not a safetensors file"),
    ],
)
def test_names_and_configs_that_do_not_work(
    request_: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    (tmp_path / "w.safetensors").write_bytes(b"\x80\x04.")
    with pytest.raises(IntakeError, match=said.replace("(", r"\(")):
        inspected(tmp_path / "out", tmp_path / "w.safetensors", **request_)


def test_the_graph_that_was_chosen_is_described(tmp_path: Path) -> None:
    batch = ({0: torch.export.Dim("batch")},)
    programs = {
        name: torch.export.export(nn.Linear(4, width).eval(), (torch.randn(2, 4),), dynamic_shapes=batch)
        for name, width in (("small", 3), ("large", 7))
    }
    package_pt2(str(tmp_path / "two.pt2"), exported_programs=programs)
    spec, _ = inspected(tmp_path / "out", tmp_path / "two.pt2", graph="large")
    assert [layer.out_channels for layer in spec.layers] == [7]


class Recurrent(nn.Module):
    """Weights that no layer of the table reads."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.table(x).mean(1)
        return found


@pytest.mark.parametrize(
    ("module", "inputs", "said"),
    [
        (Recurrent(), torch.randint(7, (2, 3)), "no prunable layer .table: an embedding"),
        (Lambda(lambda _, x: x * 2), torch.randn(2, 3), "no prunable layer; prunable are linear layers"),
        (nn.Linear(4, 3).requires_grad_(False), torch.randn(2, 4), "frozen when the model was exported"),
    ],
)
def test_a_model_with_nothing_to_prune_is_refused_with_the_reasons(
    module: nn.Module, inputs: Tensor, said: str, tmp_path: Path
) -> None:
    with pytest.raises(IntakeError, match=said):
        inspected(tmp_path / "out", export(module.eval(), (inputs,), tmp_path / "m.pt2"))


def test_weights_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    state = build("cifar_resnet", RESNET, seed=3).state_dict()
    name = next(name for name, value in state.items() if value.ndim == 4)
    state[name] = state[name].clone()
    state[name].view(-1)[:2] = torch.tensor([float("nan"), float("inf")])
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(IntakeError, match=rf"2 of the \d+ values of '{name}' are no finite numbers"):
        inspected(tmp_path / "out", tmp_path / "w.safetensors", architecture="cifar_resnet", config=RESNET)

"""By name: the catalogue's file, building, and what lies on a user's disk."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pruning.architectures import ARCHITECTURES, build, read_config
from pruning.architectures.catalogue import describe
from pruning.architectures.hub import HUB
from pruning.architectures.local_weights import read_local
from pruning.architectures.named import build_named, named_config
from pruning.catalogue import CATALOGUE_FILE, catalogue
from pruning.errors import IntakeError

SMALL: dict[str, Any] = {"features": 4, "hidden": [3], "classes": 2}


def test_the_catalogues_file_says_what_the_code_says() -> None:
    written = json.loads(CATALOGUE_FILE.read_text("utf-8"))
    assert written == json.loads(json.dumps(describe())), "run python -m pruning.architectures.catalogue"
    assert set(catalogue()) == {*ARCHITECTURES, *HUB}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_stated_limits_are_those_that_are_checked(name: str) -> None:
    for field, limits in catalogue()[name].fields.items():
        assert limits["default"] == read_config(name, {}).to_json()[field]
        wrong = {"choice": "?", "boolean": 2, "integers": [limits.get("most", 0) + 1]}
        for value in (wrong.get(limits["type"], limits.get("most", 0) + 1), None):
            with pytest.raises(IntakeError, match=f"{field} is"):
                read_config(name, {field: value})


def test_a_library_is_looked_for_and_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("pruning.catalogue.find_spec", asked.append)
    assert not catalogue()["timm/resnet18"].installed and catalogue()["mlp"].installed
    assert asked == ["timm"]


def test_names_lead_to_both_tables_and_nowhere_else(tmp_path: Path) -> None:
    assert named_config("mlp", SMALL).to_json()["hidden"] == [3]
    assert named_config("transformers/vit", {"size": 96}).to_json()["size"] == 96
    for name in ("pruning.architectures.mlp", "../mlp", "transformers/gpt2", ""):
        with pytest.raises(IntakeError, match="there is no architecture"):
            named_config(name, {})
    module = build("mlp", SMALL, seed=1)
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    found = build_named("mlp", SMALL, tmp_path / "w.safetensors")
    torch.testing.assert_close(dict(found.state_dict()), dict(module.state_dict()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("wrap", "note"),
    [
        (lambda state: state, ""),
        (lambda state: {"epoch": 3, "state_dict": state}, "under 'state_dict'"),
        (lambda state: {f"module.{key}": value for key, value in state.items()}, "'module.' was dropped"),
        (lambda state: {"model": {f"_orig_mod.module.{k}": v for k, v in state.items()}}, "'module.' was dropped"),
    ],
)
def test_checkpoints_are_read_however_they_were_wrapped(wrap: Any, note: str, tmp_path: Path) -> None:
    state = build("mlp", SMALL).state_dict()
    torch.save(wrap(state), tmp_path / "c.pt")
    found = read_local(tmp_path / "c.pt", frozenset(state))
    assert set(found.tensors) == set(state) and note in "; ".join(found.notes)


def test_a_prefix_that_belongs_to_the_model_stays(tmp_path: Path) -> None:
    state = {"module.weight": torch.ones(2), "module.bias": torch.ones(2)}
    save_file(state, tmp_path / "c.safetensors")
    assert set(read_local(tmp_path / "c.safetensors", frozenset(state)).tensors) == set(state)


class _Trap:
    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self._marker, "w")


def test_a_checkpoint_with_more_than_tensors_is_not_unpickled(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}, "trap": _Trap(tmp_path / "marker")}, tmp_path / "a.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "b.pt")
    (tmp_path / "c.pt").write_bytes(b"\x80\x04 no checkpoint")
    for name in "abc":
        with pytest.raises(IntakeError, match=r"is not unpickled: save it again as torch\.save"):
            read_local(tmp_path / f"{name}.pt")
    assert not (tmp_path / "marker").exists()
    torch.save([1, 2], tmp_path / "d.pt")
    torch.save({"a": torch.ones(1), "lr": 0.1}, tmp_path / "e.pt")
    for name, said in (("d", "no state dict"), ("e", "'lr' is no tensor"), ("f", "cannot be read")):
        with pytest.raises(IntakeError, match=said):
            read_local(tmp_path / f"{name}.pt")


def test_a_number_beyond_floats_is_refused() -> None:
    with pytest.raises(IntakeError, match="dropout is"):
        named_config("bert", {"dropout": 10**400})

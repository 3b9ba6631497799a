import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import nn

from pruning.architectures import example
from pruning.architectures.hub import HUB, build_hub, hub_config
from pruning.errors import IntakeError
from tests.pruning.zoo.entries import Entry
from tests.pruning.zoo.hops import travel

_BERT = {
    **{"vocab_size": 60, "tokens": 8, "max_position_embeddings": 16, "hidden_size": 24, "num_hidden_layers": 2},
    **{"num_attention_heads": 3, "intermediate_size": 32, "classes": 3},
}
_SMALL: dict[str, dict[str, Any]] = {
    "transformers/bert": _BERT,
    "transformers/minilm": _BERT,
    "transformers/roberta": _BERT,
    "transformers/electra": {**_BERT, "embedding_size": 12},
    "transformers/distilbert": {
        **{"vocab_size": 60, "tokens": 8, "max_position_embeddings": 16, "classes": 3},
        **{"n_layers": 2, "n_heads": 3, "dim": 24, "hidden_dim": 32},
    },
    "transformers/resnet": {"size": 32, "classes": 5, "embedding_size": 8, "hidden_sizes": [16, 24], "depths": [2, 2]},
    "transformers/mobilenet_v1": {"size": 32, "classes": 5, "depth_multiplier": 0.25, "min_depth": 4},
    "transformers/mobilenet_v2": {"size": 32, "classes": 5, "depth_multiplier": 0.25, "min_depth": 4},
    "transformers/vit": {
        **{"size": 16, "classes": 5, "patch_size": 4, "hidden_size": 24, "num_hidden_layers": 2},
        **{"num_attention_heads": 3, "intermediate_size": 32},
    },
    "transformers/convnext": {"size": 32, "classes": 5, "hidden_sizes": [8, 16], "depths": [1, 2]},
}


@pytest.mark.parametrize("library", ["transformers", "timm", "torchvision"])
def test_an_absent_library_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.models", None)
    name = next(key for key, known in HUB.items() if known.library == library)
    with pytest.raises(IntakeError, match=f"{name} needs the package {library}, which is not installed here"):
        build_hub(name, {})


def test_a_library_that_does_not_fit_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> ModuleType:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("pruning.architectures.hub.importlib.import_module", broken)
    with pytest.raises(IntakeError, match="torchvision, which cannot be imported here: operator torchvision::nms"):
        build_hub("torchvision/resnet18", {})


@pytest.mark.parametrize("name", ["transformers/gpt2", "timm/hf-hub:evil/net", "torchvision/list_models", "os/system"])
def test_what_is_not_in_the_table_is_refused(name: str) -> None:
    with pytest.raises(IntakeError, match="there is no architecture"):
        build_hub(name, {})


@pytest.mark.parametrize(
    "field",
    "auto_map trust_remote_code _attn_implementation attn_implementation quantization_config torchscript "
    "use_kernels backbone _commit_hash".split(),
)
def test_fields_that_could_fetch_or_run_code_are_refused(field: str) -> None:
    with pytest.raises(IntakeError, match=f"there is no field '{field}'; the fields are classes, tokens, vocab_size"):
        hub_config("transformers/bert", {field: "someone/kernels"})


@pytest.mark.parametrize(
    ("name", "config", "named"),
    [
        ("transformers/bert", {"hidden_act": "torch.nn.functional.relu"}, "hidden_act"),
        ("transformers/bert", {"hidden_size": 770}, "12 does not divide 770"),
        ("transformers/bert", {"tokens": 513}, "max_position_embeddings"),
        ("transformers/roberta", {"tokens": 513}, "max_position_embeddings"),
        ("transformers/bert", {"pad_token_id": 40000}, "pad_token_id"),
        ("transformers/vit", {"size": 225}, "16 does not divide 225"),
        ("transformers/resnet", {"depths": [1]}, "4 hidden_sizes for 1 depths"),
        ("transformers/convnext", {"depths": [1]}, "4 hidden_sizes for 1 depths"),
        ("timm/resnet18", {"num_channels": 1}, "num_channels"),
        ("transformers/bert", {"position_embedding_type": "relative_key"}, "may only be 'absolute'"),
        ("transformers/bert", {"is_decoder": True}, "is_decoder may only be False"),
        ("transformers/bert", {"classifier_dropout": 0.5}, "no field 'classifier_dropout'"),
    ],
)
def test_a_value_outside_its_limits_is_named(name: str, config: dict[str, Any], named: str) -> None:
    with pytest.raises(IntakeError, match=named):
        hub_config(name, config)


def test_a_published_config_is_read_with_its_labels() -> None:
    published = {
        **{"architectures": ["ViTForImageClassification"], "model_type": "vit", "transformers_version": "4.13.0"},
        **{"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768, "image_size": 96, "qkv_bias": True},
        **{"id2label": {"0": "cat", "1": "dog", "2": "emu"}, "label2id": {"cat": 0, "dog": 1, "emu": 2}},
    }
    config = hub_config("transformers/vit", published)
    assert config.to_json()["classes"] == 3 and config.inputs[0].shape == (3, 96, 96)


def test_only_names_of_the_table_are_asked_of_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def resnet18(**arguments: Any) -> nn.Module:
        asked.append(arguments)
        return nn.Linear(2, arguments["num_classes"])

    fake = ModuleType("torchvision.models")
    fake.resnet18 = resnet18  # type: ignore[attr-defined]
    monkeypatch.setattr("pruning.architectures.hub.importlib.import_module", lambda _: fake)
    weights = {"weight": torch.ones(4, 2), "bias": torch.zeros(4)}
    net = build_hub("torchvision/resnet18", {"classes": 4}, save(weights))
    assert asked == [{"weights": None, "num_classes": 4}] * 2  # once without memory
    assert net.get_parameter("weight").eq(1).all()
    with pytest.raises(IntakeError, match="torchvision/vgg16_bn does not accept this config"):
        build_hub("torchvision/vgg16_bn", {})


@pytest.mark.slow
@pytest.mark.parametrize("name", _SMALL)
def test_a_model_of_transformers_takes_every_hop(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    config = _SMALL[name]
    inputs = hub_config(name, config).inputs
    way = travel(Entry(make=lambda: build_hub(name, config), inputs=lambda: example(inputs)), tmp_path)
    assert not way.failed, f"{way.failed}: {way.reason}"


@pytest.mark.parametrize("name", _SMALL)
def test_the_defaults_of_transformers_are_admitted(name: str) -> None:
    library = pytest.importorskip("transformers")
    hub_config(name, getattr(library, f"{HUB[name].name}Config")().to_dict())


def test_published_weights_carry_the_librarys_names() -> None:
    pytest.importorskip("transformers")
    wanted = build_hub("transformers/bert", _BERT, seed=1).get_submodule("model").state_dict()
    net = build_hub("transformers/bert", _BERT, save({k: v.contiguous() for k, v in wanted.items()}))
    torch.testing.assert_close(dict(net.get_submodule("model").state_dict()), dict(wanted), rtol=0, atol=0)

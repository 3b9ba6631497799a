"""Architectures of `transformers`, `timm` and `torchvision`, where installed: a literal table, random weights.

Classes and functions are those that `HUB` names, never words of an upload. Nothing is fetched: no pretrained weights
are asked for, no code from elsewhere, and attention is torch's own. Weights come through `load_weights`.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pruning.architectures import hub_configs as fields
from pruning.architectures.config import Config
from pruning.architectures.table import made
from pruning.architectures.weights import load_weights
from pruning.errors import IntakeError


@dataclass(frozen=True, kw_only=True)
class HubModel:
    """One architecture of a library: what it is called there, and what may be said of it."""

    library: str
    name: str  # before `Config` and `For...`; of timm and torchvision the model's own name
    config: type[fields.LibraryConfig]


class _Images(nn.Module):
    """A classifier of `transformers`, called with images alone and answering with its scores alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        found: Tensor = self.model(pixel_values=pixel_values).logits
        return found


class _Texts(nn.Module):
    """The same for words."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        found: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return found


_TRANSFORMERS: dict[str, tuple[str, type[fields.LibraryConfig]]] = {
    "bert": ("Bert", fields.BertFields),
    "convnext": ("ConvNext", fields.ConvNeXtFields),
    "distilbert": ("DistilBert", fields.DistilBertFields),
    "electra": ("Electra", fields.ElectraFields),
    "minilm": ("Bert", fields.BertFields),  # its published files are BERT's
    "mobilenet_v1": ("MobileNetV1", fields.MobileNetV1Fields),
    "mobilenet_v2": ("MobileNetV2", fields.MobileNetV2Fields),
    "resnet": ("ResNet", fields.ResNetFields),
    "roberta": ("Roberta", fields.RobertaFields),
    "vit": ("ViT", fields.ViTFields),
}
_TORCHVISION = (
    "convnext_tiny densenet121 efficientnet_b0 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_y_400mf "
    "resnet18 resnet34 resnet50 resnext50_32x4d shufflenet_v2_x1_0 squeezenet1_1 vgg11_bn vgg16_bn vit_b_16"
).split()
_TIMM = (
    "convnext_tiny deit_tiny_patch16_224 densenet121 efficientnet_b0 mobilenetv2_100 mobilenetv3_large_100 "
    "regnety_008 resnet18 resnet34 resnet50 resnext50_32x4d vgg16_bn vit_small_patch16_224 vit_tiny_patch16_224"
).split()

HUB: dict[str, HubModel] = {
    **{
        f"transformers/{key}": HubModel(library="transformers", name=name, config=config)
        for key, (name, config) in _TRANSFORMERS.items()
    },
    **{
        f"{library}/{name}": HubModel(library=library, name=name, config=fields.PlainFields)
        for library, names in (("torchvision", _TORCHVISION), ("timm", _TIMM))
        for name in names
    },
}


def hub_config(name: str, config: Mapping[str, Any]) -> Config:
    """The config of a library's architecture, from JSON; a `config.json` of `transformers` will do.

    Raises:
        IntakeError: no such architecture, or fields or values that are not admitted.
    """
    return _read(name, config)[1]


def build_hub(name: str, config: Mapping[str, Any], weights: bytes | Path | None = None, seed: int = 0) -> nn.Module:
    """A module in eval mode with weights from a safetensors file under the library's own names, else random ones.

    Raises:
        IntakeError: see `hub_config` and `load_weights`; or the library is not installed, or does not accept it.
    """
    known, read = _read(name, config)
    library = _imported(known.library, name)
    try:
        module = made(lambda: _LIBRARIES[known.library](library, known.name, read), name, seed)
    except IntakeError:
        raise
    except Exception as error:  # of many kinds, from the library's own checks
        raise IntakeError(f"{name} does not accept this config: {str(error).strip()[:300]}") from error
    if weights is not None:
        load_weights(module.model if isinstance(module, _Images | _Texts) else module, weights)
    return module


def _read(name: str, config: Mapping[str, Any]) -> tuple[HubModel, fields.LibraryConfig]:
    known = HUB.get(name)
    if known is None:
        raise IntakeError(f"there is no architecture {str(name)[:40]!r}; there are {', '.join(HUB)}")
    try:
        return known, known.config.from_json(config)
    except IntakeError as error:
        raise IntakeError(f"architecture {name!r}: {error}") from error


def _imported(library: str, name: str) -> Any:
    """The library, imported now; a build of it that does not fit torch fails with a RuntimeError."""
    try:
        return importlib.import_module(_MODULES[library])
    except ImportError as error:
        raise IntakeError(
            f"{name} needs the package {library}, which is not installed here: pip install {library}, where the worker "
            "runs, or make a .pt2 file with `espalier convert` where it is installed"
        ) from error
    except RuntimeError as error:
        reason = str(error).strip()[:200]
        raise IntakeError(f"{name} needs the package {library}, which cannot be imported here: {reason}") from error


def _transformers(library: Any, name: str, config: fields.LibraryConfig) -> nn.Module:
    words = isinstance(config, fields.TextConfig)
    arguments = config.arguments() | {"attn_implementation": "sdpa"} if _attends(config) else config.arguments()
    settings = getattr(library, f"{name}Config")(**arguments)
    kind = "SequenceClassification" if words else "ImageClassification"
    model = getattr(library, f"{name}For{kind}")(settings)
    return _Texts(model) if words else _Images(model)


def _attends(config: fields.LibraryConfig) -> bool:
    return isinstance(config, fields.TextConfig | fields.ViTFields)


def _torchvision(library: Any, name: str, config: fields.LibraryConfig) -> nn.Module:
    module: nn.Module = getattr(library, name)(weights=None, num_classes=config.classes)
    return module


def _timm(library: Any, name: str, config: fields.LibraryConfig) -> nn.Module:
    module: nn.Module = library.create_model(name, pretrained=False, num_classes=config.classes)
    return module


_MODULES = {"transformers": "transformers", "torchvision": "torchvision.models", "timm": "timm"}
_LIBRARIES: dict[str, Callable[[Any, str, fields.LibraryConfig], nn.Module]] = {
    "transformers": _transformers,
    "torchvision": _torchvision,
    "timm": _timm,
}

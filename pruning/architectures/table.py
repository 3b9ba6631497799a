"""`ARCHITECTURES`: every architecture of our own by name, a literal table; `build` makes one from its config."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.architectures import (
    bert,
    cifar_resnet,
    convnext,
    densenet,
    film,
    inception,
    lenet,
    looped,
    mixer,
    mlp,
    mobilenet_v1,
    mobilenet_v2,
    resnet,
    shufflenet,
    squeeze_excite,
    ssd,
    text_cnn,
    unet,
    vgg,
    vit,
)
from pruning.architectures.config import Config, InputShape
from pruning.calls import DTYPES
from pruning.errors import IntakeError

MAX_PARAMETERS = 1 << 29  # as many as an uploaded file may hold in 32 bits


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One family: its config class, and what builds a module from such a config."""

    config: type[Config]
    build: Callable[[Any], nn.Module]


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(config=bert.BertConfig, build=bert.Bert),
    "cifar_resnet": Architecture(config=cifar_resnet.CifarResNetConfig, build=cifar_resnet.CifarResNet),
    "convnext": Architecture(config=convnext.ConvNeXtConfig, build=convnext.ConvNeXt),
    "densenet": Architecture(config=densenet.DenseNetConfig, build=densenet.DenseNet),
    "film": Architecture(config=film.FiLMConfig, build=film.FiLM),
    "inception": Architecture(config=inception.InceptionConfig, build=inception.Inception),
    "lenet5": Architecture(config=lenet.LeNetConfig, build=lenet.LeNet),
    "looped": Architecture(config=looped.LoopedConfig, build=looped.Looped),
    "mixer": Architecture(config=mixer.MixerConfig, build=mixer.Mixer),
    "mlp": Architecture(config=mlp.MLPConfig, build=mlp.MLP),
    "mobilenet_v1": Architecture(config=mobilenet_v1.MobileNetV1Config, build=mobilenet_v1.MobileNetV1),
    "mobilenet_v2": Architecture(config=mobilenet_v2.MobileNetV2Config, build=mobilenet_v2.MobileNetV2),
    "resnet": Architecture(config=resnet.ResNetConfig, build=resnet.ResNet),
    "shufflenet": Architecture(config=shufflenet.ShuffleNetConfig, build=shufflenet.ShuffleNet),
    "squeeze_excite": Architecture(config=squeeze_excite.SqueezeExciteConfig, build=squeeze_excite.SqueezeExcite),
    "ssd": Architecture(config=ssd.SSDConfig, build=ssd.SSD),
    "text_cnn": Architecture(config=text_cnn.TextCNNConfig, build=text_cnn.TextCNN),
    "unet": Architecture(config=unet.UNetConfig, build=unet.UNet),
    "vgg": Architecture(config=vgg.VGGConfig, build=vgg.VGG),
    "vit": Architecture(config=vit.ViTConfig, build=vit.ViT),
}


def read_config(name: str, config: Mapping[str, Any]) -> Config:
    """The config of an architecture, from JSON.

    Raises:
        IntakeError: there is no such architecture, or the config has fields or values that it does not take.
    """
    known = ARCHITECTURES.get(name)
    if known is None:
        raise IntakeError(f"there is no architecture {str(name)[:40]!r}; there are {', '.join(ARCHITECTURES)}")
    try:
        return known.config.from_json(config)
    except IntakeError as error:
        raise IntakeError(f"architecture {name!r}: {error}") from error


def build(name: str, config: Mapping[str, Any], seed: int = 0) -> nn.Module:
    """A module in eval mode; its weights are drawn from `seed` until others are loaded.

    Raises:
        IntakeError: see `read_config`; or a model of more than `MAX_PARAMETERS` parameters.
    """
    read = read_config(name, config)
    make = ARCHITECTURES[name].build
    return made(lambda: make(read), name, seed)


def made(make: Callable[[], nn.Module], name: str, seed: int) -> nn.Module:
    """What `make` makes, in eval mode, with weights drawn from `seed`; first tried without memory for its numbers.

    Raises:
        IntakeError: it would have more than `MAX_PARAMETERS` parameters.
    """
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in make().parameters())
    if count > MAX_PARAMETERS:
        raise IntakeError(f"architecture {name!r} would have {count} parameters; the limit is {MAX_PARAMETERS}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


def example(inputs: tuple[InputShape, ...], batch: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
    """Random inputs of those shapes: normal numbers, or whole ones within their limits."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(_drawn(entry, (batch, *entry.shape), generator) for entry in inputs)


def _drawn(entry: InputShape, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if entry.below:
        return torch.randint(entry.below, shape, generator=generator, dtype=DTYPES[entry.dtype])
    return torch.randn(shape, generator=generator, dtype=DTYPES[entry.dtype])

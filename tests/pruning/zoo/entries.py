"""`ZOO`: what goes through every hop: our own architectures with small configs, and models as users write them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.architectures import build, example, read_config
from tests.pruning.zoo import nets


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the zoo: how it is made, and what it is called with."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]


def _own(name: str, **config: Any) -> Entry:
    return Entry(make=lambda: build(name, config), inputs=lambda: example(read_config(name, config).inputs))


def _theirs(make: Callable[[], nn.Module], *shapes: tuple[int, ...], below: int = 0) -> Entry:
    """Float inputs of these shapes; with `below` the first is whole numbers under it."""

    def inputs() -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(0)
        drawn = [torch.randn(2, *shape, generator=generator) for shape in shapes]
        if below:
            drawn[0] = torch.randint(below, (2, *shapes[0]), generator=generator)
        return tuple(drawn)

    return Entry(make=make, inputs=inputs)


_IMAGE = {"size": 16, "classes": 5}
_TEXT: Mapping[str, Any] = {"vocabulary": 50, "tokens": 8, "classes": 3}
_BERT = {**_TEXT, "depth": 2, "width": 24, "heads": 3, "hidden": 32}

ZOO: dict[str, Entry] = {
    # our own
    "mlp": _own("mlp", features=12, hidden=[16, 8], classes=3, dropout=0.1),
    "lenet5": _own("lenet5", size=16),
    "vgg": _own("vgg", **_IMAGE, blocks=[1, 2, 1], width=8, hidden=16),
    "vgg, no norm": _own("vgg", **_IMAGE, blocks=[1, 1], width=8, hidden=16, batch_norm=False),
    "cifar_resnet 8 A": _own("cifar_resnet", **_IMAGE, depth=8, width=8),
    "cifar_resnet 8 B": _own("cifar_resnet", **_IMAGE, depth=8, width=8, shortcut="B"),
    "cifar_resnet 20 A": _own("cifar_resnet", **_IMAGE, depth=20, width=8),
    "resnet 18": _own("resnet", size=32, classes=5, depth=18, width=8),
    "resnet 50": _own("resnet", size=32, classes=5, depth=50, width=8),
    "resnet 50 grouped": _own("resnet", size=32, classes=5, depth=50, width=8, groups=4, group_width=32),
    "mobilenet_v1": _own("mobilenet_v1", size=32, classes=5, width=0.25),
    "mobilenet_v2": _own("mobilenet_v2", size=32, classes=5, width=0.1),
    "densenet": _own("densenet", **_IMAGE, blocks=[2, 2], growth=4),
    "squeeze_excite": _own("squeeze_excite", **_IMAGE, blocks=[1, 1], width=8, reduction=2),
    "shufflenet": _own("shufflenet", **_IMAGE, blocks=[2, 1], width=24, groups=3, stem=12),
    "inception": _own("inception", **_IMAGE, blocks=[1, 1], width=4),
    "unet": _own("unet", size=16, depth=2, width=4),
    "convnext": _own("convnext", **_IMAGE, blocks=[1, 1], width=8, patch=2),
    "vit": _own("vit", **_IMAGE, depth=2, width=24, heads=3, dropout=0.1),
    "bert": _own("bert", **_BERT),
    "bert, no mask": _own("bert", **_BERT, masked=False),
    "text_cnn": _own("text_cnn", **_TEXT, width=8, kernels=[2, 3], filters=6),
    "mixer": _own("mixer", **_IMAGE, depth=2, width=12, across=8, hidden=16),
    "looped": _own("looped", **_IMAGE, width=8, hidden=6, loops=2),
    "film": _own("film", **_IMAGE, facts=4, hidden=8, width=8, depth=2),
    "ssd": _own("ssd", **_IMAGE, width=8, maps=2),
    # as users write them
    "efficientnet block": _theirs(nets.Efficient, (3, 12, 12)),
    "mobilenet_v3 block": _theirs(nets.MobileV3, (3, 12, 12)),
    "squeezenet": _theirs(nets.Fire, (3, 16, 16)),
    "repvgg": _theirs(nets.Rep, (3, 8, 8)),
    "ghostnet": _theirs(nets.Ghost, (3, 8, 8)),
    "res2net": _theirs(nets.Scales, (3, 8, 8)),
    "feature pyramid": _theirs(nets.Pyramid, (3, 8, 8)),
    "atrous pyramid": _theirs(nets.Atrous, (3, 16, 16)),
    "super-resolution": _theirs(nets.Upscaler, (1, 8, 8)),
    "generator": _theirs(nets.Generator, (10,)),
    "autoencoder": _theirs(nets.Autoencoder, (20,)),
    "siamese": _theirs(nets.Siamese, (1, 8, 8), (1, 8, 8)),
    "pointnet": _theirs(nets.Points, (3, 7)),
    "temporal": _theirs(nets.Temporal, (2, 9)),
    "wavenet": _theirs(nets.Wave, (1, 9)),
    "gated, other norms": _theirs(nets.Gated, (3, 8, 8)),
    "tabular": _theirs(nets.Tabular, (2,), (3,), below=5),
    "decoder": _theirs(nets.Decoder, (6,), below=30),
    "causal": _theirs(nets.Causal, (6,), below=30),
    "windows": _theirs(nets.Windows, (3, 8, 8)),
    "torch encoder": _theirs(nets.Own, (5, 12)),
    "torch decoder": _theirs(nets.Crossed, (5, 12), (4, 12)),
    "convolutions and attention": _theirs(nets.Small, (3, 8, 8)),
}
SMALLEST = ("mlp", "text_cnn", "looped", "ghostnet", "generator")

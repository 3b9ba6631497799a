"""ShuffleNet-like: Zhang et al., arXiv 1707.01083: grouped pointwise convolutions, channels dealt out between them."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.architectures.config import Config, InputShape, divides, image_inputs, several, whole


@dataclass(frozen=True, kw_only=True)
class ShuffleNetConfig(Config):
    """`blocks` has the units of each stage; `width` is that of the first and doubles; 4 x `groups` divide it."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 8, 512)
    classes: int = whole(10, 1, 100_000)
    blocks: tuple[int, ...] = several((2, 4, 2), 1, 64, 6)
    width: int = whole(96, 4, 1024)
    groups: int = whole(3, 1, 16)
    stem: int = whole(24, 1, 512)

    def __post_init__(self) -> None:
        """Bottlenecks are a quarter as wide and fall into groups; a strided unit adds `width - inputs` channels."""
        super().__post_init__()
        divides(self.width, 4 * self.groups, "4 x groups of the width")
        divides(self.width - self.stem, self.groups, "groups of the channels that the first unit adds to the stem's")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class _Unit(nn.Module):
    """Pointwise in groups, shuffle, depthwise, pointwise in groups; a strided unit is put beside its pooled input."""

    def __init__(self, inputs: int, outputs: int, groups: int, *, strided: bool, first: bool) -> None:
        super().__init__()
        self.groups, self.strided = groups, strided
        inner, made, stride = outputs // 4, outputs - inputs if strided else outputs, 2 if strided else 1
        self.conv1 = nn.Conv2d(inputs, inner, 1, groups=1 if first else groups, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, made, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        batch, channels, height, width = y.shape
        y = y.view(batch, self.groups, channels // self.groups, height, width)
        y = y.transpose(1, 2).reshape(batch, channels, height, width)
        y = self.bn3(self.conv3(self.bn2(self.conv2(y))))
        if self.strided:
            return torch.relu(torch.cat([functional.avg_pool2d(x, 3, 2, padding=1), y], dim=1))
        return torch.relu(x + y)


class ShuffleNet(nn.Module):
    """A convolution and stages of shuffled units."""

    def __init__(self, config: ShuffleNetConfig) -> None:
        super().__init__()
        inputs = config.stem
        layers: list[nn.Module] = [nn.Conv2d(config.channels, inputs, 3, padding=1), nn.BatchNorm2d(inputs), nn.ReLU()]
        for stage, count in enumerate(config.blocks):
            outputs = config.width << stage
            for index in range(count):
                first = stage == index == 0
                layers.append(_Unit(inputs, outputs, config.groups, strided=index == 0, first=first))
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        return self.fc(self.features(x).mean((2, 3)))

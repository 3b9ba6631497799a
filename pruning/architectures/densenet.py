"""DenseNet-BC: Huang et al., arXiv 1608.06993: every layer reads the concatenation of all before it in its block."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, image_inputs, real, several, whole


@dataclass(frozen=True, kw_only=True)
class DenseNetConfig(Config):
    """`growth` channels a layer, `blocks` layers in each block; transitions keep `compression` of the channels."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 4, 512)
    classes: int = whole(10, 1, 100_000)
    blocks: tuple[int, ...] = several((6, 6, 6), 1, 64, 6)
    growth: int = whole(12, 1, 128)
    compression: float = real(0.5, 0.1, 1.0)

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class _Layer(nn.Module):
    """Norm, 1 x 1, norm, 3 x 3: `growth` new channels beside the old."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(torch.relu(self.norm2(y)))], dim=1)


def _transition(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 1, bias=False)
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), conv, nn.AvgPool2d(2))


class DenseNet(nn.Module):
    """Dense blocks with transitions that halve the image between them."""

    def __init__(self, config: DenseNetConfig) -> None:
        super().__init__()
        width = 2 * config.growth
        layers: list[nn.Module] = [nn.Conv2d(config.channels, width, 3, padding=1, bias=False)]
        for number, count in enumerate(config.blocks):
            if number:
                kept = max(1, int(width * config.compression))
                layers.append(_transition(width, kept))
                width = kept
            for _ in range(count):
                layers.append(_Layer(width, config.growth))
                width += config.growth
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU())
        self.classifier = nn.Linear(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        return self.classifier(self.features(x).mean((2, 3)))

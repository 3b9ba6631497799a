"""Inception-like: Szegedy et al., arXiv 1409.4842, with batch norm (arXiv 1502.03167): four branches side by side."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, image_inputs, several, whole


@dataclass(frozen=True, kw_only=True)
class InceptionConfig(Config):
    """`blocks` has the modules of each stage; each branch makes `width` channels, doubled at every stage."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 4, 512)
    classes: int = whole(10, 1, 100_000)
    blocks: tuple[int, ...] = several((2, 2), 1, 32, 6)
    width: int = whole(16, 1, 512)

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class _Conv(nn.Sequential):
    """Convolution, norm, activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Branches(nn.Module):
    """1 x 1; 1 x 1 and 3 x 3; 1 x 1 and 5 x 5; pooling and 1 x 1."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.one = _Conv(inputs, width, 1)
        self.three = nn.Sequential(_Conv(inputs, width, 1), _Conv(width, width, 3))
        self.five = nn.Sequential(_Conv(inputs, max(1, width // 2), 1), _Conv(max(1, width // 2), width, 5))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), _Conv(inputs, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


class Inception(nn.Module):
    """A convolution and stages of branched modules, with pooling between the stages."""

    def __init__(self, config: InceptionConfig) -> None:
        super().__init__()
        inputs = 2 * config.width
        layers: list[nn.Module] = [_Conv(config.channels, inputs, 3)]
        for stage, count in enumerate(config.blocks):
            layers += [nn.MaxPool2d(2)] if stage else []
            for _ in range(count):
                layers.append(_Branches(inputs, config.width << stage))
                inputs = 4 * (config.width << stage)
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(inputs, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        return self.fc(self.dropout(self.features(x).mean((2, 3))))

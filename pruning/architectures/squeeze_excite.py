"""A residual net whose blocks weigh their channels: squeeze and excitation, Hu et al., arXiv 1709.01507."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, image_inputs, several, whole


@dataclass(frozen=True, kw_only=True)
class SqueezeExciteConfig(Config):
    """`blocks` has the residual blocks of each stage; widths double; gates are `reduction` times narrower."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 4, 512)
    classes: int = whole(10, 1, 100_000)
    blocks: tuple[int, ...] = several((2, 2, 2), 1, 64, 6)
    width: int = whole(32, 1, 512)
    reduction: int = whole(8, 1, 64)

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class _Gate(nn.Module):
    """A factor for each channel, from the means of all of them."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        narrow = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, narrow, 1)
        self.fc2 = nn.Conv2d(narrow, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(means))))


class _Block(nn.Module):
    """Two convolutions, a gate, a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, reduction: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.gate = _Gate(outputs, reduction)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(self.gate(y) + self.shortcut(x))


class SqueezeExcite(nn.Module):
    """A convolution and stages of gated residual blocks."""

    def __init__(self, config: SqueezeExciteConfig) -> None:
        super().__init__()
        inputs = config.width
        blocks: list[nn.Module] = [nn.Conv2d(config.channels, inputs, 3, padding=1), nn.BatchNorm2d(inputs), nn.ReLU()]
        for stage, count in enumerate(config.blocks):
            for index in range(count):
                outputs = config.width << stage
                blocks.append(_Block(inputs, outputs, 2 if stage and index == 0 else 1, config.reduction))
                inputs = outputs
        self.features = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        return self.fc(self.features(x).mean((2, 3)))

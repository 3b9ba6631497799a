"""ResNets for small images: He et al., arXiv 1512.03385, section 4.2; depth 6n + 2, shortcuts of option A or B."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.architectures.config import Config, InputShape, choice, image_inputs, whole


@dataclass(frozen=True, kw_only=True)
class CifarResNetConfig(Config):
    """`shortcut`: A pads with zero channels, B projects by a 1 x 1 convolution where the width changes."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 8, 256)
    classes: int = whole(10, 1, 100_000)
    depth: int = choice(20, 8, 14, 26, 32, 38, 44, 50, 56, 110)
    width: int = whole(16, 1, 512)
    shortcut: str = choice("A", "B")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class _Padded(nn.Module):
    """Option A: every second pixel, and zero channels on both sides."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 and shortcut == "A":
            self.shortcut = _Padded(inputs, outputs)
        elif stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class CifarResNet(nn.Module):
    """Three stages of n blocks, each twice as wide as the one before."""

    def __init__(self, config: CifarResNetConfig) -> None:
        super().__init__()
        width = config.width
        self.conv1 = nn.Conv2d(config.channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        inputs = width
        for stage in range(3):
            for index in range((config.depth - 2) // 6):
                stride = 2 if stage and index == 0 else 1
                blocks.append(_Block(inputs, width << stage, stride, config.shortcut))
                inputs = width << stage
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        x = self.blocks(torch.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))

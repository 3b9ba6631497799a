"""U-Net-like: Ronneberger et al., arXiv 1505.04597, padded and with batch norm: a class for every pixel."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, divides, image_inputs, whole


@dataclass(frozen=True, kw_only=True)
class UNetConfig(Config):
    """`depth` halvings of the image, each doubling `width`."""

    channels: int = whole(1, 1, 64)
    size: int = whole(64, 4, 1024)
    classes: int = whole(2, 1, 1000)
    depth: int = whole(3, 1, 6)
    width: int = whole(16, 1, 256)

    def __post_init__(self) -> None:
        """Halvings must come out even, or the two ways do not meet."""
        super().__post_init__()
        divides(self.size, 1 << self.depth, "2 ** depth of the image's size")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for given in (inputs, outputs):
        conv = nn.Conv2d(given, outputs, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Down by pooling, up by transposed convolutions, each step up beside the map of the same size on the way down."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        widths = [config.width << level for level in range(config.depth + 1)]
        ins = [config.channels, *widths]
        self.down = nn.ModuleList(_twice(before, after) for before, after in zip(ins, widths, strict=False))
        self.pool = nn.MaxPool2d(2)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, 2) for width in widths[-2::-1])
        self.up = nn.ModuleList(_twice(2 * width, width) for width in widths[-2::-1])
        self.head = nn.Conv2d(config.width, config.classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes x size x size`."""
        seen: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            seen.append(x)
        for grow, block, beside in zip(self.grow, self.up, reversed(seen[:-1]), strict=True):
            x = block(torch.cat([beside, grow(x)], dim=1))
        return self.head(x)

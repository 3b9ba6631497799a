"""ConvNeXt-like: Liu et al., arXiv 2201.03545: depthwise 7 x 7, layer norm over channels, layer scale; no drop path."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, divides, image_inputs, several, whole


@dataclass(frozen=True, kw_only=True)
class ConvNeXtConfig(Config):
    """`blocks` has those of each stage; `width` doubles; (3, 3, 9, 3) of width 96 is ConvNeXt-T."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 4, 1024)
    classes: int = whole(10, 1, 100_000)
    blocks: tuple[int, ...] = several((1, 1, 2, 1), 1, 64, 6)
    width: int = whole(48, 1, 512)
    patch: int = whole(4, 1, 16)

    def __post_init__(self) -> None:
        """Patches and halvings must come out even."""
        super().__post_init__()
        divides(self.size, self.patch << (len(self.blocks) - 1), "patch x halvings of the image's size")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map, channels first."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Block(nn.Module):
    """Depthwise convolution, then a narrow-wide-narrow pair of linear layers on every pixel, scaled and added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.fc2(nn.functional.gelu(self.fc1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """Patches, stages of blocks, halvings between them, a normalised mean, a linear layer."""

    def __init__(self, config: ConvNeXtConfig) -> None:
        super().__init__()
        width = config.width
        layers: list[nn.Module] = [nn.Conv2d(config.channels, width, config.patch, config.patch), _ChannelNorm(width)]
        for stage, count in enumerate(config.blocks):
            if stage:
                layers += [_ChannelNorm(width), nn.Conv2d(width, 2 * width, 2, 2)]
                width *= 2
            layers += [_Block(width) for _ in range(count)]
        self.features = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        return self.head(self.norm(self.features(x).mean((2, 3))))

"""VGG-like: Simonyan and Zisserman, arXiv 1409.1556, with batch norm and an averaged head as used on small images."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, flag, image_inputs, real, several, whole
from pruning.errors import IntakeError


@dataclass(frozen=True, kw_only=True)
class VGGConfig(Config):
    """`blocks` has the convolutions between poolings: (2, 2, 3, 3, 3) is VGG-16; widths double up to 8 times."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 4, 512)
    classes: int = whole(10, 1, 100_000)
    blocks: tuple[int, ...] = several((2, 2, 3, 3, 3), 1, 8, 8)
    width: int = whole(64, 1, 512)
    hidden: int = whole(512, 1, 1 << 14)
    batch_norm: bool = flag(True)
    dropout: float = real(0.5, 0.0, 0.9)

    def __post_init__(self) -> None:
        """Every pooling halves the image."""
        super().__post_init__()
        if self.size >> len(self.blocks) < 1:
            raise IntakeError(f"config: {len(self.blocks)} blocks halve an image of {self.size} pixels away")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class VGG(nn.Module):
    """Blocks of 3 x 3 convolutions, each followed by max pooling, and two linear layers."""

    def __init__(self, config: VGGConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = config.channels
        for stage, count in enumerate(config.blocks):
            width = config.width * min(2**stage, 8)
            for _ in range(count):
                layers.append(nn.Conv2d(inputs, width, 3, padding=1, bias=not config.batch_norm))
                layers += [nn.BatchNorm2d(width)] if config.batch_norm else []
                layers.append(nn.ReLU(inplace=True))
                inputs = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        head = nn.Linear(config.hidden, config.classes)
        self.classifier = nn.Sequential(nn.Linear(inputs, config.hidden), nn.ReLU(), nn.Dropout(config.dropout), head)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        x = self.features(x)
        return self.classifier(x.mean((2, 3)))

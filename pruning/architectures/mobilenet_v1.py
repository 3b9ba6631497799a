"""MobileNet v1: Howard et al., arXiv 1704.04861: depthwise separable convolutions, a width multiplier."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, image_inputs, real, whole

# (outputs, stride) of the separable blocks, table 1
_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)


@dataclass(frozen=True, kw_only=True)
class MobileNetV1Config(Config):
    """`width` multiplies every number of channels; `blocks` keeps only the first so many."""

    channels: int = whole(3, 1, 64)
    size: int = whole(224, 8, 1024)
    classes: int = whole(1000, 1, 100_000)
    width: float = real(1.0, 0.05, 4.0)
    blocks: int = whole(13, 1, 13)

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


def _normed(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True))


class MobileNetV1(nn.Module):
    """A strided convolution, then pairs of a depthwise 3 x 3 and a pointwise convolution."""

    def __init__(self, config: MobileNetV1Config) -> None:
        super().__init__()
        inputs = max(1, int(32 * config.width))
        layers = [_normed(nn.Conv2d(config.channels, inputs, 3, 2, padding=1, bias=False))]
        for full, stride in _BLOCKS[: config.blocks]:
            outputs = max(1, int(full * config.width))
            layers.append(_normed(nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False)))
            layers.append(_normed(nn.Conv2d(inputs, outputs, 1, bias=False)))
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        return self.classifier(self.pool(self.features(x)).flatten(1))

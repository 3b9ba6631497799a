"""MobileNet v2: Sandler et al., arXiv 1801.04381: inverted residuals with linear bottlenecks."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, image_inputs, real, whole

# (expansion, outputs, repeats, stride) of the stages, table 2
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_LAST = 1280


@dataclass(frozen=True, kw_only=True)
class MobileNetV2Config(Config):
    """`width` multiplies the channels, rounded to multiples of 8; `stages` keeps only the first so many."""

    channels: int = whole(3, 1, 64)
    size: int = whole(224, 8, 1024)
    classes: int = whole(1000, 1, 100_000)
    width: float = real(1.0, 0.05, 4.0)
    stages: int = whole(7, 1, 7)
    dropout: float = real(0.2, 0.0, 0.9)

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


def _rounded(channels: float) -> int:
    """To a multiple of 8, never more than a tenth below."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def _normed(conv: nn.Conv2d, active: bool = True) -> nn.Sequential:
    layers = [conv, nn.BatchNorm2d(conv.out_channels)]
    return nn.Sequential(*layers, nn.ReLU6(inplace=True)) if active else nn.Sequential(*layers)


class _Inverted(nn.Module):
    """Expand, filter each channel, project; added to its input where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        layers = [_normed(nn.Conv2d(inputs, wide, 1, bias=False))] if expansion > 1 else []
        layers.append(_normed(nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False)))
        layers.append(_normed(nn.Conv2d(wide, outputs, 1, bias=False), active=False))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """A strided convolution, seven stages of inverted residuals, a wide pointwise convolution, a linear layer."""

    def __init__(self, config: MobileNetV2Config) -> None:
        super().__init__()
        inputs = _rounded(32 * config.width)
        layers: list[nn.Module] = [_normed(nn.Conv2d(config.channels, inputs, 3, 2, padding=1, bias=False))]
        for expansion, full, repeats, stride in _STAGES[: config.stages]:
            outputs = _rounded(full * config.width)
            for index in range(repeats):
                layers.append(_Inverted(inputs, outputs, stride if index == 0 else 1, expansion))
                inputs = outputs
        last = _rounded(_LAST * max(1.0, config.width))
        self.features = nn.Sequential(*layers, _normed(nn.Conv2d(inputs, last, 1, bias=False)))
        self.classifier = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(last, config.classes))

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        return self.classifier(self.features(x).mean((2, 3)))

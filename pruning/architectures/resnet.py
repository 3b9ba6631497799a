"""ResNets for large images: He et al., arXiv 1512.03385; with groups ResNeXt, Xie et al., arXiv 1611.05431.

Bottlenecks stride in their 3 x 3 convolution, as is common since ("v1.5"): 4.09e9 multiply-adds for depth 50 where
the paper's table has 3.8e9. Names of parameters are those that torchvision uses, so that its weights fit.
"""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, choice, image_inputs, whole
from pruning.errors import IntakeError

_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_BOTTLENECK = 50  # from this depth on


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(Config):
    """`groups` and `group_width` shape the 3 x 3 convolution of bottlenecks: 32 and 4 make ResNeXt-50 32x4d."""

    channels: int = whole(3, 1, 64)
    size: int = whole(224, 32, 1024)
    classes: int = whole(1000, 1, 100_000)
    depth: int = choice(18, 34, 50, 101, 152)
    width: int = whole(64, 1, 512)
    groups: int = whole(1, 1, 64)
    group_width: int = whole(64, 1, 512)

    def __post_init__(self) -> None:
        """A bottleneck has a channel left."""
        super().__post_init__()
        if self.depth >= _BOTTLENECK and self.inner(self.width) < 1:
            raise IntakeError(f"config: bottlenecks have no channels with width {self.width} x {self.group_width} / 64")

    def inner(self, planes: int) -> int:
        """The width of a bottleneck's 3 x 3 convolution."""
        return planes * self.group_width // 64 * self.groups

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class _Basic(nn.Module):
    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int, _: ResNetConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(inputs, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class _Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        inner = config.inner(planes)
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=config.groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(inputs, planes * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


def _projection(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """A stem that quarters the image, four stages, a linear layer."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        block = _Basic if config.depth < _BOTTLENECK else _Bottleneck
        inputs = config.width
        self.conv1 = nn.Conv2d(config.channels, inputs, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        for stage, count in enumerate(_STAGES[config.depth]):
            planes, blocks = config.width << stage, []
            for index in range(count):
                blocks.append(block(inputs, planes, 2 if stage and index == 0 else 1, config))
                inputs = planes * block.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(self.avgpool(x).flatten(1))

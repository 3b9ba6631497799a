"""LeNet-5: LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 1998.

With ReLU and max pooling in place of scaled tanh and subsampling, and all maps of the second layer connected.
"""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, image_inputs, whole


@dataclass(frozen=True, kw_only=True)
class LeNetConfig(Config):
    """Image and number of classes; 28 pixels are padded by 2, as the paper's 32."""

    channels: int = whole(1, 1, 64)
    size: int = whole(28, 12, 256)
    classes: int = whole(10, 1, 100_000)

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class LeNet(nn.Module):
    """Two convolutions of 5 x 5, each pooled, and three linear layers."""

    def __init__(self, config: LeNetConfig) -> None:
        super().__init__()
        left = (config.size // 2 - 4) // 2
        self.conv1 = nn.Conv2d(config.channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * left * left, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, config.classes)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x))).flatten(1)
        x = torch.relu(self.fc1(x))
        return self.fc3(torch.relu(self.fc2(x)))

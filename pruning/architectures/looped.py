"""A residual net that uses one block several times: shared weights, norms of their own.

Liao and Poggio, arXiv 1604.03640.
"""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, image_inputs, whole


@dataclass(frozen=True, kw_only=True)
class LoopedConfig(Config):
    """`loops` passes through the same two convolutions."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 4, 512)
    classes: int = whole(10, 1, 100_000)
    width: int = whole(64, 1, 1024)
    hidden: int = whole(64, 1, 1024)
    loops: int = whole(4, 1, 64)

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class Looped(nn.Module):
    """A convolution, the same residual block `loops` times, a linear layer."""

    def __init__(self, config: LoopedConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(config.channels, config.width, 3, 2, padding=1)
        self.conv1 = nn.Conv2d(config.width, config.hidden, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(config.hidden, config.width, 3, padding=1, bias=False)
        self.norms1 = nn.ModuleList(nn.BatchNorm2d(config.hidden) for _ in range(config.loops))
        self.norms2 = nn.ModuleList(nn.BatchNorm2d(config.width) for _ in range(config.loops))
        self.fc = nn.Linear(config.width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        x = torch.relu(self.stem(x))
        for norm1, norm2 in zip(self.norms1, self.norms2, strict=True):
            x = torch.relu(x + norm2(self.conv2(torch.relu(norm1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))

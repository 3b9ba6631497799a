"""Two inputs, an image and a vector that scales and shifts its channels: FiLM, Perez et al., arXiv 1709.07871."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, image_inputs, whole


@dataclass(frozen=True, kw_only=True)
class FiLMConfig(Config):
    """`facts` numbers beside the image, through `hidden` units, steer `depth` convolutions."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 4, 512)
    classes: int = whole(10, 1, 100_000)
    facts: int = whole(8, 1, 4096)
    hidden: int = whole(32, 1, 4096)
    width: int = whole(32, 1, 1024)
    depth: int = whole(3, 1, 32)

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image and one vector."""
        return (*image_inputs(self.channels, self.size), InputShape(name="facts", shape=(self.facts,)))


class _Block(nn.Module):
    """A convolution whose normalised channels are scaled and shifted from outside."""

    def __init__(self, config: FiLMConfig) -> None:
        super().__init__()
        self.conv = nn.Conv2d(config.width, config.width, 3, padding=1)
        self.norm = nn.BatchNorm2d(config.width, affine=False)
        self.film = nn.Linear(config.hidden, 2 * config.width)

    def forward(self, x: Tensor, facts: Tensor) -> Tensor:
        scale, shift = self.film(facts)[:, :, None, None].chunk(2, dim=1)
        return x + torch.relu((1 + scale) * self.norm(self.conv(x)) + shift)


class FiLM(nn.Module):
    """A strided convolution, steered residual blocks, a linear layer."""

    def __init__(self, config: FiLMConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(config.channels, config.width, 3, 2, padding=1)
        self.reader = nn.Sequential(nn.Linear(config.facts, config.hidden), nn.ReLU())
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.fc = nn.Linear(config.width, config.classes)

    def forward(self, x: Tensor, facts: Tensor) -> Tensor:
        """An image and a vector a sample to `batch x classes`."""
        x, read = torch.relu(self.stem(x)), self.reader(facts)
        for block in self.blocks:
            x = block(x, read)
        return self.fc(x.mean((2, 3)))

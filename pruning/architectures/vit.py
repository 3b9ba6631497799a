"""A small vision transformer: Dosovitskiy et al., arXiv 2010.11929."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.architectures.config import Config, InputShape, divides, image_inputs, real, whole


@dataclass(frozen=True, kw_only=True)
class ViTConfig(Config):
    """Patches of `patch` pixels, `depth` blocks of `width` with `heads` heads; ViT-B/16 is 16, 12, 768, 12."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 2, 1024)
    classes: int = whole(10, 1, 100_000)
    patch: int = whole(4, 1, 64)
    depth: int = whole(6, 1, 64)
    width: int = whole(128, 1, 4096)
    heads: int = whole(4, 1, 64)
    expansion: int = whole(4, 1, 8)
    dropout: float = real(0.0, 0.0, 0.9)

    def __post_init__(self) -> None:
        """Patches fill the image, heads the width."""
        super().__post_init__()
        divides(self.size, self.patch, "patches of the image's size")
        divides(self.width, self.heads, "heads of the width")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


class _Attention(nn.Module):
    """Queries, keys and values from one linear layer."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.output = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        parts = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.output(mixed.transpose(1, 2).reshape(batch, tokens, width))


class _Block(nn.Module):
    """Attention and two linear layers, each normalised before and added."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        wide = config.width * config.expansion
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = _Attention(config)
        self.norm2 = nn.LayerNorm(config.width)
        self.fc1 = nn.Linear(config.width, wide)
        self.fc2 = nn.Linear(wide, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.fc2(functional.gelu(self.fc1(self.norm2(x)))))


class ViT(nn.Module):
    """Patches and a class token through blocks of attention; the class token is read."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        tokens = (config.size // config.patch) ** 2
        self.patches = nn.Conv2d(config.channels, config.width, config.patch, config.patch)
        self.token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.positions = nn.Parameter(torch.randn(1, tokens + 1, config.width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.Sequential(*(_Block(config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.blocks(self.dropout(x + self.positions))
        return self.head(self.norm(x)[:, 0])

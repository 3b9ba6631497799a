"""MLP-Mixer-like: Tolstikhin et al., arXiv 2105.01601: linear layers over patches and over channels in turn."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, divides, image_inputs, whole


@dataclass(frozen=True, kw_only=True)
class MixerConfig(Config):
    """`across` and `hidden` are the inner widths of the two kinds of mixing."""

    channels: int = whole(3, 1, 64)
    size: int = whole(32, 2, 1024)
    classes: int = whole(10, 1, 100_000)
    patch: int = whole(4, 1, 64)
    depth: int = whole(4, 1, 64)
    width: int = whole(128, 1, 4096)
    across: int = whole(64, 1, 4096)
    hidden: int = whole(512, 1, 1 << 14)

    def __post_init__(self) -> None:
        """Patches fill the image."""
        super().__post_init__()
        divides(self.size, self.patch, "patches of the image's size")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


def _pair(width: int, inner: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))


class _Block(nn.Module):
    """Mixing over patches, then over channels, each normalised before and added."""

    def __init__(self, tokens: int, config: MixerConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.across = _pair(tokens, config.across)
        self.norm2 = nn.LayerNorm(config.width)
        self.channels = _pair(config.width, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.across(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """Patches, mixing blocks, a normalised mean, a linear layer."""

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        tokens = (config.size // config.patch) ** 2
        self.patches = nn.Conv2d(config.channels, config.width, config.patch, config.patch)
        self.blocks = nn.Sequential(*(_Block(tokens, config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """`batch x channels x size x size` to `batch x classes`."""
        x = self.blocks(self.patches(x).flatten(2).transpose(1, 2))
        return self.head(self.norm(x).mean(1))

"""A convolutional net for sentences: Kim, arXiv 1408.5882."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, real, several, whole
from pruning.errors import IntakeError


@dataclass(frozen=True, kw_only=True)
class TextCNNConfig(Config):
    """`filters` convolutions of each of the `kernels` widths over embedded words."""

    vocabulary: int = whole(8192, 2, 1 << 20)
    tokens: int = whole(64, 1, 8192)
    classes: int = whole(2, 1, 100_000)
    width: int = whole(128, 1, 4096)
    kernels: tuple[int, ...] = several((3, 4, 5), 1, 64, 8)
    filters: int = whole(100, 1, 4096)
    dropout: float = real(0.5, 0.0, 0.9)

    def __post_init__(self) -> None:
        """A kernel is no longer than the text."""
        super().__post_init__()
        if max(self.kernels) > self.tokens:
            raise IntakeError(f"config: a kernel of {max(self.kernels)} words on texts of {self.tokens}")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """Numbers of words."""
        return (InputShape(name="ids", shape=(self.tokens,), dtype="int64", below=self.vocabulary),)


class TextCNN(nn.Module):
    """Convolutions side by side, the largest value of each over time, a linear layer."""

    def __init__(self, config: TextCNNConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.convs = nn.ModuleList(nn.Conv1d(config.width, config.filters, kernel) for kernel in config.kernels)
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(config.filters * len(config.kernels), config.classes)

    def forward(self, ids: Tensor) -> Tensor:
        """`batch x tokens` numbers of words to `batch x classes`."""
        x = self.words(ids).transpose(1, 2)
        found = torch.cat([torch.relu(conv(x)).amax(dim=2) for conv in self.convs], dim=1)
        return self.fc(self.dropout(found))

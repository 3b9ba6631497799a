"""A BERT-like encoder with a classifier: Devlin et al., arXiv 1810.04805."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.architectures.config import Config, InputShape, divides, flag, real, whole


@dataclass(frozen=True, kw_only=True)
class BertConfig(Config):
    """BERT-base has depth 12, width 768, 12 heads, hidden 3072; with `masked` the model takes a second input.

    The mask is 1 for tokens to be read and 0 for padding.
    """

    vocabulary: int = whole(8192, 2, 1 << 20)
    tokens: int = whole(64, 1, 8192)
    classes: int = whole(2, 1, 100_000)
    depth: int = whole(4, 1, 64)
    width: int = whole(128, 1, 4096)
    heads: int = whole(4, 1, 64)
    hidden: int = whole(512, 1, 1 << 14)
    dropout: float = real(0.1, 0.0, 0.9)
    masked: bool = flag(True)

    def __post_init__(self) -> None:
        """Heads fill the width."""
        super().__post_init__()
        divides(self.width, self.heads, "heads of the width")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """Numbers of words, and perhaps which of them to read."""
        ids = InputShape(name="ids", shape=(self.tokens,), dtype="int64", below=self.vocabulary)
        mask = InputShape(name="mask", shape=(self.tokens,), dtype="int64", below=2)
        return (ids, mask) if self.masked else (ids,)


class _Attention(nn.Module):
    """Queries, keys and values from linear layers of their own."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query, self.key, self.value, self.output = (nn.Linear(config.width, config.width) for _ in range(4))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        batch, tokens, width = x.shape
        shape = (batch, tokens, self.heads, width // self.heads)
        query, key, value = (part(x).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.output(mixed.transpose(1, 2).reshape(batch, tokens, width))


class _Layer(nn.Module):
    """Attention and two linear layers, each added and normalised after."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.norm1 = nn.LayerNorm(config.width, eps=1e-12)
        self.fc1 = nn.Linear(config.width, config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.norm1(x + self.dropout(self.attention(x, mask)))
        return self.norm2(x + self.dropout(self.fc2(functional.gelu(self.fc1(x)))))


class Bert(nn.Module):
    """Word and position embeddings, layers of attention, a tanh pooler over the first token, a linear classifier."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.tokens, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.depth))
        self.pooler = nn.Linear(config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.width, config.classes)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """`batch x tokens` numbers of words to `batch x classes`."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.dropout(self.norm(self.words(ids) + self.positions(places)))
        read = None if mask is None else (mask != 0)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, read)
        return self.classifier(self.dropout(torch.tanh(self.pooler(x[:, 0]))))

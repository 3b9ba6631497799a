"""A multi-layer perceptron."""

# mypy: disable-error-code="no-any-return"
# torch says of a module only that calling it gives Any.

from dataclasses import dataclass

from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, real, several, whole


@dataclass(frozen=True, kw_only=True)
class MLPConfig(Config):
    """Numbers of features, hidden widths and classes."""

    features: int = whole(64, 1, 1 << 16)
    hidden: tuple[int, ...] = several((64, 64), 1, 1 << 14, 64)
    classes: int = whole(10, 1, 100_000)
    dropout: float = real(0.0, 0.0, 0.9)

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One vector a sample."""
        return (InputShape(name="x", shape=(self.features,)),)


class MLP(nn.Module):
    """Linear layers with ReLU and dropout between them."""

    def __init__(self, config: MLPConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = config.features
        for hidden in config.hidden:
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(config.dropout)]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, config.classes))

    def forward(self, x: Tensor) -> Tensor:
        """`batch x features` (or an image with as many numbers) to `batch x classes`."""
        return self.layers(x.flatten(1))

"""The three workloads of `benchmarks.steps`: a network, one batch for it, and the weights that masks go on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_HEAD_WIDTH = 64
_SEQUENCE = 128


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A network to build, a batch of inputs and class numbers, and what to call it."""

    name: str
    build: Callable[[], nn.Module]
    batch: tuple[Tensor, Tensor]


class Residual(nn.Module):
    """Convolutions of the given kernels and widths, each with batch norm, beside a shortcut."""

    def __init__(self, inputs: int, widths: tuple[int, ...], kernels: tuple[int, ...], stride: int) -> None:
        super().__init__()
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        before = inputs
        for width, kernel in zip(widths, kernels, strict=True):
            step = stride if kernel == 3 and not any(c.stride != (1, 1) for c in self.convolutions) else 1
            self.convolutions.append(nn.Conv2d(before, width, kernel, step, kernel // 2, bias=False))
            self.norms.append(nn.BatchNorm2d(width))
            before = width
        changes = stride > 1 or inputs != before
        self.shortcut = nn.Conv2d(inputs, before, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the shortcut and the convolutions, rectified."""
        y = x
        last = len(self.norms) - 1
        for place, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y = norm(convolution(y))
            y = y if place == last else torch.relu(y)
        return torch.relu(y + self.shortcut(x))


class Encoder(nn.Module):
    """One layer of BERT-base: attention of width 768, two products with 3,072; then a classifier of each token."""

    def __init__(self, width: int = 768, inner: int = 3072) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm_one, self.norm_two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every token, `tokens x 3`."""
        q, k, v = (
            part(x).unflatten(2, (-1, _HEAD_WIDTH)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        attended = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = self.norm_one(x + self.out(attended))
        x = self.norm_two(x + self.down(nn.functional.gelu(self.up(x))))
        return self.head(x).flatten(0, 1)


def resnet20() -> nn.Module:
    """ResNet-20 for 32 x 32 images; 0.27 M weights."""
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    blocks, before = [], 16
    for stage, width in enumerate((16, 32, 64)):
        for place in range(3):
            blocks.append(Residual(before, (width, width), (3, 3), 2 if stage and not place else 1))
            before = width
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def resnet50() -> nn.Module:
    """ResNet-50's stack of bottlenecks and its classifier; 25.5 M weights."""
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    blocks, before = [], 64
    for stage, count in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for place in range(count):
            blocks.append(Residual(before, (width, width, 4 * width), (1, 3, 1), 2 if stage and not place else 1))
            before = 4 * width
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def workloads(image: int, device: torch.device) -> dict[str, Workload]:
    """All, by name; `image` is the edge of ResNet-50's inputs."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int, edge: int, classes: int) -> tuple[Tensor, Tensor]:
        inputs = torch.randn(count, 3, edge, edge, generator=generator)
        return inputs.to(device), torch.randint(classes, (count,), generator=generator).to(device)

    def tokens(count: int) -> tuple[Tensor, Tensor]:
        inputs = torch.randn(count // _SEQUENCE, _SEQUENCE, 768, generator=generator)
        return inputs.to(device), torch.randint(3, (count,), generator=generator).to(device)

    made = [
        Workload(name="resnet20", build=resnet20, batch=images(128, 32, 10)),
        Workload(name="resnet50", build=resnet50, batch=images(32, image, 1000)),
        Workload(name="bert2048", build=Encoder, batch=tokens(2048)),
        Workload(name="bert128", build=Encoder, batch=tokens(128)),
    ]
    return {workload.name: workload for workload in made}


def maskable(net: nn.Module) -> list[str]:
    """The weights of all convolutions and linear layers but the first and the last."""
    names = [f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return names[:-1] if isinstance(net, Encoder) else names[1:-1]

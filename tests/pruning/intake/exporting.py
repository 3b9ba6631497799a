"""Small modules and their exported programs, for tests of the reader."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pruning.intake.document import GraphDocument
from pruning.intake.reader import read_exported_program

torch.set_num_threads(1)


def export(module: nn.Module, inputs: tuple[Tensor, ...], path: Path, *, dynamic: bool = True) -> Path:
    """Export `module` in the mode it is in and save it to `path`."""
    shapes = tuple({0: torch.export.Dim("batch")} for _ in inputs) if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module, inputs, dynamic_shapes=shapes), path)
    return path


def read(module: nn.Module, inputs: tuple[Tensor, ...], folder: Path, **how: bool) -> GraphDocument:
    """The document of an exported module."""
    return read_exported_program(export(module, inputs, folder / "model.pt2", **how))[0]


class Lambda(nn.Module):
    """Layers by name, and a function of them and the inputs."""

    def __init__(self, function: Callable[..., object], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor, y: Tensor | None = None) -> object:
        return self.function(self, x) if y is None else self.function(self, x, y)


class Residual(nn.Module):
    """A block as torchvision writes it: activations and the sum in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding="same", bias=False)
        self.bn2 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x
        return self.relu(out)


class Tied(nn.Module):
    """Two layers that share a weight, and a constant made in `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.rand(4), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) * self.scale + torch.tensor([1.0, 2.0, 3.0, 4.0])


def _heads(m: Lambda, x: Tensor) -> Tensor:
    q, k, v = m.qkv(x).view(x.shape[0], 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
    out = functional.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).reshape(x.size(0), -1, 8)


def _by_hand(m: Lambda, x: Tensor) -> Tensor:
    q, k, v = m.qkv(x).chunk(3, dim=-1)
    weights = (q @ k.transpose(-2, -1) / 8**0.5).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    return torch.einsum("bij,bjd->bid", weights.softmax(dim=-1), v)


class ClassToken(nn.Module):
    """The head and tail of a vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)[:, 0])


def _rotated(m: Lambda, x: Tensor) -> Tensor:
    angles = torch.outer(torch.arange(x.shape[1]).float(), 1 / 100 ** (torch.arange(0, 4) / 4))
    u, v = m.a(x)[..., :4], x[..., 4:]
    return torch.cat([u * angles.cos() - v * angles.sin(), u * angles.sin() + v * angles.cos()], -1)


def _activations(_: Lambda, x: Tensor) -> Tensor:
    names = "relu6 hardswish silu gelu mish elu selu leaky_relu softplus hardsigmoid hardtanh celu logsigmoid"
    total = x
    for name in names.split():
        total = total + getattr(functional, name)(x)
    return total + functional.gelu(x, approximate="tanh") + torch.sigmoid(x) * torch.tanh(x)


def _windows(_: Lambda, x: Tensor) -> Tensor:
    a, b = x[:, :2].split([1, 1], dim=1)
    rolled = torch.roll(x, 1, 2).flip(3)[:, 1:3, ::2, 1:]
    return functional.pad(rolled, (1, 1, 0, 2)).sum(dim=(2, 3)) + torch.cat([a, b], 1).mean([2, 3])


def _sizes(_: Lambda, x: Tensor) -> Tensor:
    n = x.shape[0]
    x = x.view(n * 2, -1).reshape(n, 2, -1)
    return x.unflatten(2, (-1, 4)).flatten(1) + torch.zeros(n, 1) + torch.arange(x.shape[2] * 2)


def _statistics(_: Lambda, x: Tensor) -> dict[str, object]:
    values, places = x.max(dim=1)
    spread = x.std(dim=1, keepdim=True).clamp(min=0.1)
    return {"a": (x - x.mean(1, keepdim=True)) / spread, "b": [values, places], "c": x.var(1).sqrt().log1p()}


def _resampled(_: Lambda, x: Tensor) -> Tensor:
    up = functional.interpolate(x, scale_factor=2, mode="nearest")
    up = functional.interpolate(up, size=(8, 8), mode="bilinear", align_corners=False)
    return functional.pixel_shuffle(up, 2)


def _typed(_: Lambda, x: Tensor) -> Tensor:
    mask = (x > 0) & (x <= 1)
    return torch.where(mask, x.double(), 0.0).float().to(torch.float16).to(x) + mask.to(x.dtype) * 2 - 1


def _map(*shape: int) -> tuple[Tensor, ...]:
    return (torch.randn(2, *shape),)


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Tensor, ...]]]] = {
    "linear": (lambda: nn.Linear(4, 3), lambda: _map(4)),
    "conv1d": (lambda: nn.Conv1d(2, 4, 3, stride=2, bias=False), lambda: _map(2, 9)),
    "conv1d_norm": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)), lambda: _map(2, 9)),
    "conv2d": (lambda: nn.Conv2d(3, 4, (3, 1), padding=(1, 0), dilation=2), lambda: _map(3, 8, 8)),
    "depthwise": (
        lambda: nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.BatchNorm2d(8), nn.ReLU6(True)),
        lambda: _map(4, 6, 6),
    ),
    "residual": (Residual, lambda: _map(3, 6, 6)),
    "dropout": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5, inplace=True), nn.Linear(4, 2), nn.Dropout(0.1)),
        lambda: _map(4),
    ),
    "layer_norm": (lambda: nn.LayerNorm(6), lambda: _map(3, 6)),
    "group_norm": (lambda: nn.GroupNorm(2, 4), lambda: _map(4, 3, 3)),
    "instance_norm": (lambda: nn.InstanceNorm2d(4, affine=True), lambda: _map(4, 3, 3)),
    "flatten": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 3)),
        lambda: _map(1, 6, 6),
    ),
    "pools": (
        lambda: nn.Sequential(nn.MaxPool2d(2, padding=1), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)),
        lambda: _map(3, 9, 9),
    ),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2)),
        lambda: (torch.randint(0, 10, (2, 5)),),
    ),
    "sizes": (lambda: Lambda(_sizes), lambda: _map(16)),
    "activations": (lambda: Lambda(_activations), lambda: _map(7)),
    "windows": (lambda: Lambda(_windows), lambda: _map(4, 5, 5)),
    "statistics": (lambda: Lambda(_statistics), lambda: _map(6)),
    "resampled": (lambda: Lambda(_resampled), lambda: _map(4, 3, 3)),
    "typed": (lambda: Lambda(_typed), lambda: _map(6)),
    "attention": (lambda: Lambda(_heads, qkv=nn.Linear(8, 24)), lambda: _map(5, 8)),
    "attention_by_hand": (lambda: Lambda(_by_hand, qkv=nn.Linear(8, 24)), lambda: _map(5, 8)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), lambda: _map(5, 8)),
    "class_token": (ClassToken, lambda: _map(3, 8, 8)),
    "rotated": (lambda: Lambda(_rotated, a=nn.Linear(8, 4)), lambda: _map(5, 8)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 2, stride=2), lambda: _map(2, 3, 3)),
    "tied": (Tied, lambda: _map(4)),
    "two_inputs": (
        lambda: Lambda(lambda m, x, y: m.a(x) * m.b(y) + x.sum(), a=nn.Linear(4, 3), b=nn.Linear(2, 3)),
        lambda: (torch.randn(2, 4), torch.randn(2, 2)),
    ),
}

"""Small live nets as the service sees them: exported, read by our reader, run by the interpreter."""

from pathlib import Path

import torch
from torch import Tensor, nn

from pruning.convert import convert
from pruning.graphnet import GraphNet, load
from pruning.intake.reader import read_exported_program, write_model


class Residual(nn.Module):
    """One residual block behind a stem, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.fc = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch of 3 x 8 x 8 images."""
        stem = torch.relu(self.stem(images))
        inner = torch.relu(self.norm1(self.conv1(stem)))
        return self.fc(torch.relu(stem + self.conv2(inner)).mean((2, 3)))


def small_net() -> nn.Module:
    """A seeded residual net."""
    torch.manual_seed(0)
    return Residual()


def graph_of(module: nn.Module, folder: Path) -> GraphNet:
    """The module after export and reading."""
    path = folder / "net.pt2"
    convert(module, torch.zeros(2, 3, 8, 8), path)
    return read_net(path, folder)


def read_net(path: Path, folder: Path) -> GraphNet:
    """An exported file as an interpreter's net."""
    document, tensors = read_exported_program(path)
    (folder / "model").mkdir(exist_ok=True)
    write_model(document, tensors, folder / "model")
    return load(folder / "model")

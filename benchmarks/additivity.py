"""How nearly losses of single layers add up: with weights left as they are, and with those that stay solved anew.

Run: `python -m benchmarks.additivity [folder]`. Six small networks for the digits, three training seeds each; every
plan of each is tried (`benchmarks.search.brute`), twice: masked and reconstructed. Shown is the hypervolume of the
front that the solver makes of the losses of single layers, before any evaluation, as a share of the exact one's. What
was tried is kept in the folder; a fresh run takes some twenty minutes.
"""

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.search.brute import Tried, convolutions, perceptron, problem
from benchmarks.search.methods.ours import unseen
from benchmarks.search.session import Session

SEEDS, BAR = 3, 0.995


class Residual(nn.Module):
    """A stem, a block whose sum nothing can be cut from, a convolution and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = _normed(1, 16), _normed(16, 16)
        self.second = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.last = _normed(16, 24, stride=2)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.last(torch.relu(x + self.second(self.first(x))))
        found: Tensor = self.head(x.mean(dim=(2, 3)))
        return found


def _normed(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


def _wide() -> nn.Module:
    body = (_normed(1, 16), _normed(16, 32, 2), _normed(32, 32, 2), nn.Flatten())
    return nn.Sequential(*body, nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 10))


def _unnormed() -> nn.Module:
    pairs = ((1, 8, 1), (8, 16, 2), (16, 16, 1), (16, 24, 2))
    body = [nn.Sequential(nn.Conv2d(i, o, 3, stride, padding=1), nn.ReLU()) for i, o, stride in pairs]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10))


def _deep() -> nn.Module:
    widths = (64, 40, 40, 32, 24)
    body = [nn.Sequential(nn.Linear(i, o), nn.ReLU()) for i, o in pairwise(widths)]
    return nn.Sequential(nn.Flatten(), *body, nn.Linear(24, 10))


NETS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": convolutions,
    "residual": Residual,
    "wide": _wide,
    "no batch norm": _unnormed,
    "perceptron": perceptron,
    "deep perceptron": _deep,
}


def main() -> None:
    """Print a row a network, then what they have in common."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "search-benchmark/brute")
    sys.stdout.write("| network | masked | reconstructed |\n|---|---|---|\n")
    rows = []
    for name, build in NETS.items():
        for seed in range(SEEDS):
            rows.append([_share(name, build, seed, folder, reconstructed) for reconstructed in (False, True)])
        told = (", ".join(f"{share:.4f}" for share in column) for column in zip(*rows[-SEEDS:], strict=True))
        sys.stdout.write(f"| {name} | {' | '.join(told)} |\n")
        sys.stdout.flush()
    for words, column in zip(("masked", "reconstructed"), np.array(rows).T, strict=True):
        reached = f"{(column >= BAR).sum()} of {len(column)} reach {BAR}"
        sys.stdout.write(f"{words}: mean {column.mean():.4f}, least {column.min():.4f}, {reached}\n")


def _share(name: str, build: Callable[[], nn.Module], seed: int, folder: Path, reconstructed: bool) -> float:
    tried = Tried(name=f"brute-force {name}", build=build, seed=seed, reconstructed=reconstructed)
    session = Session(problem(tried, folder), sys.maxsize, 0)
    unseen(session)
    return session.volumes()[1]


if __name__ == "__main__":
    main()

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.pruning.intake.exporting import export


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A well-behaved exported program: convolution, batch norm, activation, linear."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    path = tmp_path_factory.mktemp("good") / "good.pt2"
    return export(nn.Sequential(*layers).eval(), (torch.randn(2, 1, 6, 6),), path)

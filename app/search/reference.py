"""The demo's own network and its training: a small residual CNN for the built-in handwritten digits.

It sees the train split of the digits exactly as `sources.prepare` divides them by default, and no other sample, so
that a search over the same dataset measures it on data it never saw.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from app.search.samples.batches import Feed
from app.search.samples.dataset import Dataset
from app.search.sources import prepare
from app.search.spec import Task
from pruning.recover import RecoveryConfig, recover

Report = Callable[[float, str], None]
STEPS = 280  # of 64 samples: 20 epochs
_BATCH = 64
_STAGES = ((16, 3, 1), (24, 2, 1), (32, 3, 2))  # channels, blocks, stride
_CLASSES = 10


class Residual(nn.Module):
    """`b x in x h x w` to `b x out x h/stride x w/stride`: two 3x3 convolutions beside an identity or a 1x1 one."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, not below zero."""
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.shortcut(x) + self.norm2(self.conv2(inner)))


class DigitsNet(nn.Module):
    """`b x 1 x 8 x 8` in [0, 1] to `b x 10` logits: 19 convolutions and a linear layer, 88,362 parameters."""

    def __init__(self) -> None:
        super().__init__()
        width = _STAGES[0][0]
        self.conv = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        for outputs, blocks, stride in _STAGES:
            rest = [Residual(outputs, outputs, 1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(Residual(width, outputs, stride), *rest))
            width = outputs
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        maps: Tensor = self.stages(torch.relu(self.norm(self.conv(x))))
        logits: Tensor = self.head(self.pool(maps).flatten(1))
        return logits


def digits_model() -> nn.Module:
    """The network, untrained; its weights come from torch's random state."""
    return DigitsNet()


def train_digits(seed: int = 0, report: Report = lambda _fraction, _text: None, steps: int = STEPS) -> nn.Module:
    """The network trained on the train split of the digits, in evaluation mode; some seconds of one core.

    The same seed gives the same weights at the same thread count; the caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = digits_model()
    config = RecoveryConfig(steps=steps, learning_rate=0.1)
    with _digits("train") as train:
        batches = train.shuffled(_BATCH, seed)
        for step in recover(model, batches, config, nn.functional.cross_entropy, seed):
            if step.step % 20 == 0 or step.step == steps:
                report(step.step / steps, f"step {step.step} of {steps}, loss {step.loss:.3f}")
    return model.eval()


@torch.no_grad()
def digits_accuracy(model: nn.Module, split: str = "test") -> float:
    """The share of a split of the digits that `model` classifies right; it is left in evaluation mode."""
    model.eval()
    with _digits(split) as feed:
        inputs, targets = feed.read(feed.numbers)
    return float((model(inputs).argmax(dim=1) == targets).double().mean())


@contextmanager
def _digits(split: str) -> Iterator[Feed]:
    with TemporaryDirectory(prefix="espalier-") as folder:
        arrays = Path(folder) / "arrays.zip"
        prepare("digits", None, {}, lambda _fraction, _text: None).write(arrays)
        yield Feed(Dataset(arrays), split, Task())

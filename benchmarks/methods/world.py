"""What the methods are compared on: a trained network, its specification, and its data.

`digits`: the reference network, trained here for the seed, on scikit-learn's handwritten digits. `resnet20`: public
weights on CIFAR-10 recompressed as JPEG, both kept beside the checkout; the weights have seen the train images, so
accuracy is taken on test images alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from app.search.batches import Feed
from app.search.data import Dataset
from app.search.reference import train_digits
from app.search.sources import prepare
from app.search.spec import ClassificationTask
from pruning import graphnet
from pruning.convert import convert
from pruning.graphnet import GraphNet
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.trace import trace

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CIFAR = Path("data") / "cifar10-jpeg"


@dataclass(frozen=True)
class World:
    """A network and its data. `tested` are the splits that accuracy is taken on; no method ever sees them."""

    name: str
    net: GraphNet
    spec: ModelSpec
    dataset: Dataset
    task: ClassificationTask
    batch: int
    learning_rate: float
    tested: tuple[str, ...]

    def feed(self, split: str) -> Feed:
        """One split, as the network wants it."""
        return Feed(self.dataset, split, self.task)

    @torch.no_grad()
    def score(self, net: nn.Module) -> tuple[float, float, int]:
        """Accuracy, mean cross-entropy and number of samples, over the tested splits together."""
        net.eval()
        right, loss, count = 0.0, 0.0, 0
        for split in self.tested:
            for inputs, targets in self.feed(split).in_order(256):
                logits = net(inputs).double()
                right += float((logits.argmax(dim=1) == targets).sum())
                loss += float(nn.functional.cross_entropy(logits, targets, reduction="sum"))
                count += len(targets)
        return right / count, loss / count, count


@contextmanager
def world(name: str, shared: Path) -> Iterator[World]:
    """Open the world of that name; FileNotFoundError where its files are not here."""
    with TemporaryDirectory(prefix="espalier-") as folder:
        made = Path(folder)
        yield _digits(made) if name == "digits" else _resnet20(made, shared / _CIFAR)


def _digits(folder: Path) -> World:
    convert(train_digits(0), torch.zeros(2, 1, 8, 8), folder / "net.pt2")
    net = _read(folder / "net.pt2", folder)
    prepare("digits", None, {}, lambda _fraction, _text: None).write(folder / "data.zip")
    data = Dataset(folder / "data.zip")
    return World("digits", net, trace(net), data, ClassificationTask(), 64, 0.02, ("validation", "test"))


def _resnet20(folder: Path, cifar: Path) -> World:
    net = _read(cifar / "resnet20.pt2", folder)
    archive = next(iter(sorted(cifar.glob("*.zip"))), None)
    if archive is None:
        raise FileNotFoundError(2, "no zip of images", str(cifar / "*.zip"))
    prepare("images", archive, {}, lambda _fraction, _text: None).write(folder / "data.zip")
    data = Dataset(folder / "data.zip")
    task = ClassificationTask(mean=_MEAN, std=_STD)
    return World("resnet20", net, trace(net), data, task, 64, 0.02, ("validation", "test"))


def _read(path: Path, folder: Path) -> GraphNet:
    document, tensors = read_exported_program(path)
    (folder / "model").mkdir()
    write_model(document, tensors, folder / "model")
    return graphnet.load(folder / "model")

"""What the methods are compared on: a trained network, its specification, and its data.

`digits`: the reference network, trained here for the seed, on scikit-learn's handwritten digits. `resnet20`: public
weights on CIFAR-10 recompressed as JPEG, both kept beside the checkout; the weights have seen the train images, so
accuracy is taken on test images alone.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from app.search.reference import train_digits
from app.search.samples.batches import Feed
from app.search.samples.dataset import Dataset
from app.search.sources import prepare
from app.search.spec import Task
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
    task: Task
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


def make(name: str, shared: Path, folder: Path) -> None:
    """Write the model and the data of a world into a folder; FileNotFoundError where its files are not here."""
    source, kind, archive = folder / "net.pt2", "digits", None
    if name == "digits":
        convert(train_digits(0), torch.zeros(2, 1, 8, 8), source)
    else:
        source, kind, archive = shared / _CIFAR / "resnet20.pt2", "images", shared / _CIFAR / "cifar10-jpeg.zip"
    (folder / "model").mkdir()
    write_model(*read_exported_program(source), folder / "model")
    prepare(kind, archive, {}, lambda _fraction, _text: None).write(folder / "data.zip")


def open_world(name: str, folder: Path) -> World:
    """What `make` wrote."""
    net, data = graphnet.load(folder / "model"), Dataset(folder / "data.zip")
    task = Task() if name == "digits" else Task(mean=_MEAN, std=_STD)
    return World(name, net, trace(net), data, task, 64, 0.02, ("validation", "test"))

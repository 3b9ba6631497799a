"""A prepared dataset as batches of tensors for one model: class order, scaling and normalisation as submitted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from app.search.judging import fit
from app.search.judging.fit import Taken
from app.search.samples.augment import augmented
from app.search.samples.dataset import Dataset
from app.search.samples.spool import Array
from app.search.spec import Task
from pruning.calls import DTYPES
from pruning.layers import ModelSpec

Batch = tuple[Tensor | tuple[Tensor, ...], Tensor]


def check_fit(dataset: Dataset, task: Task, model: ModelSpec, takes: Sequence[Taken] = ()) -> None:
    """Whether the data, as the submission describes it, is what the model takes and answers.

    Raises:
        DatasetError: code `dataset_mismatch`, with both sides.
    """
    fit.check(task, dataset.meta, model, takes)


@dataclass(frozen=True, eq=False)
class Feed:
    """One split of a dataset, read batch by batch, as the model wants it; without `takes`, all inputs in order."""

    dataset: Dataset
    split: str
    task: Task
    limit: int | None = None
    takes: tuple[Taken, ...] = ()
    numbers: Array = field(init=False)
    labels: Array = field(init=False)

    def __post_init__(self) -> None:
        numbers = self.dataset.numbers(self.split)
        if self.limit is not None and self.limit < len(numbers):  # evenly spaced: data often lie class by class
            numbers = numbers[np.arange(self.limit) * len(numbers) // self.limit]
        object.__setattr__(self, "numbers", numbers)
        labels = self.dataset.labels
        if self.dataset.classes:
            place = {name: index for index, name in enumerate(self.task.classes or self.dataset.classes)}
            output_of = np.array([place[name] for name in self.dataset.classes], dtype=np.int64)
            labels = output_of[labels]
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, numbers: Array, epoch: int | None = None, seed: int = 0) -> Batch:
        """The samples with these numbers: inputs as the model takes them, a tuple if several, and their targets.

        Pixels and other numbers come as float32, normalised; whole numbers such as tokens as they are, in int64. With
        an epoch, training images are augmented as its and the sample's numbers and the seed say.
        """
        places = fit.order(self.dataset.meta, self.takes) if self.takes else range(len(self.dataset.all_inputs))
        dtypes = [entry.dtype for entry in self.takes] or [""] * len(places)
        found = tuple(
            self._input(self.dataset.all_inputs[place][numbers], dtype, (numbers, epoch, seed))
            for place, dtype in zip(places, dtypes, strict=True)
        )
        targets = torch.from_numpy(np.ascontiguousarray(self.labels[numbers]))
        return (found[0] if len(found) == 1 else found), targets

    def _input(self, values: Array, dtype: str, draw: tuple[Array, int | None, int]) -> Tensor:
        raw = torch.from_numpy(np.ascontiguousarray(values))
        if raw.dtype == torch.uint8 and dtype == "uint8":  # a model that scales pixels itself
            return raw
        if raw.dtype != torch.uint8 and not raw.is_floating_point():
            return raw.to(DTYPES[dtype] if dtype else torch.int64)
        inputs = raw.float().div_(255.0) if raw.dtype == torch.uint8 else raw.float()
        numbers, epoch, seed = draw
        if self.task.augment and epoch is not None:
            inputs = augmented(inputs, self.task.augment, [(seed, epoch, int(number)) for number in numbers])
        if self.task.mean:
            shape = (1, -1, *[1] * (inputs.ndim - 2))
            inputs = (inputs - torch.tensor(self.task.mean).view(shape)) / torch.tensor(self.task.std).view(shape)
        return inputs.to(DTYPES[dtype]) if dtype else inputs

    def in_order(self, batch: int) -> "InOrder":
        """Every sample once, by number."""
        return InOrder(self, batch)

    def shuffled(self, batch: int, seed: int) -> "Shuffled":
        """Epoch after epoch in an order given by the seed; incomplete last batches are dropped."""
        return Shuffled(self, batch, seed)


@dataclass(frozen=True)
class InOrder:
    """Batches by number; can be gone through again."""

    feed: Feed
    batch: int

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.feed), self.batch):
            yield self.feed.read(self.feed.numbers[start : start + self.batch])


@dataclass
class Shuffled:
    """Batches in random order; each time it is gone through is the next epoch. Images of `train` are augmented."""

    feed: Feed
    batch: int
    seed: int
    epoch: int = 0

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch
        order = np.random.default_rng([self.seed, epoch]).permutation(self.feed.numbers)
        self.epoch += 1
        size = min(self.batch, len(order))
        training = epoch if self.feed.split == "train" else None
        for start in range(0, len(order) - size + 1, size):
            yield self.feed.read(np.sort(order[start : start + size]), training, self.seed)

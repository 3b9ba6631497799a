"""A prepared dataset as batches of tensors for one model: class order, scaling and normalisation as submitted."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from app.search.data import Array, Dataset
from app.search.errors import DatasetError
from app.search.spec import Task
from pruning.layers import ModelSpec

Batch = tuple[Tensor, Tensor]


def check_fit(dataset: Dataset, task: Task, model: ModelSpec) -> None:
    """Whether the data, as the submission describes it, is what the model takes and answers.

    Raises:
        DatasetError: code `dataset_mismatch`, with both sides.
    """
    sample, wanted = tuple(dataset.meta["input_shape"]), model.input_shape
    if sample != wanted:
        text = f"the data's samples are {_x(sample)}, but the model takes {_x(wanted)}{_way_out(dataset, wanted)}"
        raise _mismatch(text, sample, wanted)
    if task.output >= len(model.output_shapes):
        count = len(model.output_shapes)
        raise _mismatch(f"output is {task.output}, but the model has {count} output(s)", sample, wanted)
    logits = model.output_shapes[task.output]
    classes = len(dataset.classes)
    if len(logits) != 1 or logits[0] < classes:
        raise _mismatch(f"the data has {classes} classes, but the model answers {_x(logits)}", [classes], logits)
    if task.classes and sorted(task.classes) != sorted(dataset.classes):
        raise _mismatch(
            f"task.classes names {list(task.classes)[:5]}, the data has {list(dataset.classes)[:5]}: name each once",
            list(task.classes),
            list(dataset.classes),
        )
    channels = sample[0] if sample else 1
    if len(task.mean) not in (0, 1, channels):
        raise _mismatch(f"task.mean has {len(task.mean)} values for {channels} channel(s)", len(task.mean), channels)


@dataclass(frozen=True, eq=False)
class Feed:
    """One split of a dataset, read batch by batch, as the model wants it."""

    dataset: Dataset
    split: str
    task: Task
    limit: int | None = None
    numbers: Array = field(init=False)
    labels: Array = field(init=False)

    def __post_init__(self) -> None:
        numbers = self.dataset.numbers(self.split)
        if self.limit is not None and self.limit < len(numbers):  # evenly spaced: data often lie class by class
            numbers = numbers[np.arange(self.limit) * len(numbers) // self.limit]
        object.__setattr__(self, "numbers", numbers)
        place = {name: index for index, name in enumerate(self.task.classes or self.dataset.classes)}
        output_of = np.array([place[name] for name in self.dataset.classes], dtype=np.int64)
        object.__setattr__(self, "labels", output_of[self.dataset.labels])

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, numbers: Array) -> Batch:
        """The samples with these numbers: inputs `b x ...` float32 normalised, labels `b` int64."""
        raw = torch.from_numpy(np.ascontiguousarray(self.dataset.inputs[numbers]))
        inputs = raw.float().div_(255.0) if raw.dtype == torch.uint8 else raw.float()
        if self.task.mean:
            shape = (1, -1, *[1] * (inputs.ndim - 2))
            inputs = (inputs - torch.tensor(self.task.mean).view(shape)) / torch.tensor(self.task.std).view(shape)
        return inputs, torch.from_numpy(self.labels[numbers])

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
    """Batches in random order; each time it is gone through is the next epoch."""

    feed: Feed
    batch: int
    seed: int
    epoch: int = 0

    def __iter__(self) -> Iterator[Batch]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.feed.numbers)
        self.epoch += 1
        size = min(self.batch, len(order))
        for start in range(0, len(order) - size + 1, size):
            yield self.feed.read(np.sort(order[start : start + size]))


def _mismatch(reason: str, data: object, model: object) -> DatasetError:
    return DatasetError("dataset_mismatch", reason, {"data": str(data)[:200], "model": str(model)[:200]})


def _way_out(dataset: Dataset, wanted: tuple[int, ...]) -> str:
    if dataset.meta["source"] != "image folders" or len(wanted) != 3 or wanted[0] not in (1, 3):
        return ""
    options = {"size": list(wanted[1:]), "channels": wanted[0]}
    return f": prepare the images with the options {json.dumps(options)}"


def _x(shape: object) -> str:
    return "x".join(str(side) for side in shape) if isinstance(shape, tuple | list) and shape else "a scalar"

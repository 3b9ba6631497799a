"""What a model is fed: class order, scaling, evenly spaced samples, batches fixed by seed; misfits name both sides."""

from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.search.errors import DatasetError
from app.search.samples.batches import Feed, check_fit
from app.search.samples.dataset import Dataset
from app.search.samples.spool import Array
from app.search.spec import Task
from pruning.layers import ModelSpec
from tests.app.search.datasets import dataset, flat, images

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 3, 4, 4), dtype=np.uint8)
PLAIN = Task()


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset(tmp_path, PIXELS)


def model(inputs: tuple[int, ...] = (3, 4, 4), outputs: tuple[tuple[int, ...], ...] = ((3,),)) -> ModelSpec:
    return ModelSpec(layers=(), groups=(), input_shape=inputs, output_shapes=outputs, parameter_count=0)


def test_pixels_are_scaled_then_normalised(data: Dataset) -> None:
    task = Task(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    inputs, _ = Feed(data, "train", task).read(np.array([3, 5]))
    expected = (PIXELS[[3, 5]] / 255 - np.reshape(task.mean, (3, 1, 1))) / np.reshape(task.std, (3, 1, 1))
    assert inputs.dtype == torch.float32
    assert inputs.numpy() == pytest.approx(expected, abs=1e-6)
    plain, _ = Feed(data, "train", PLAIN).read(np.array([3]))
    assert plain.numpy() == pytest.approx(PIXELS[[3]] / 255, abs=1e-7)


def test_one_mean_goes_for_all_channels_and_features_have_their_own(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(60, 5)).astype(np.float32)
    data = dataset(tmp_path, values)
    one, _ = Feed(data, "train", Task(mean=(1.0,), std=(2.0,))).read(np.arange(4))
    assert one.numpy() == pytest.approx((values[:4] - 1) / 2, abs=1e-6)
    each = Task(mean=(1.0, 2, 3, 4, 5), std=(1.0,) * 5)
    check_fit(data, each, model((5,)))
    own, _ = Feed(data, "train", each).read(np.arange(4))
    assert own.numpy() == pytest.approx(values[:4] - [1, 2, 3, 4, 5], abs=1e-6)


def test_a_batch_is_a_copy(data: Dataset) -> None:
    feed = Feed(data, "train", PLAIN)
    inputs, targets = feed.read(np.array([0, 1]))
    inputs.zero_()
    targets.zero_()
    assert feed.read(np.array([0, 1]))[0].any()
    assert feed.labels[1] == 1


def test_labels_follow_the_order_of_the_models_outputs(data: Dataset) -> None:
    assert Feed(data, "train", PLAIN).read(np.arange(4))[1].tolist() == [0, 1, 2, 0]  # a b c a
    turned = Task(classes=("c", "a", "b"))
    assert Feed(data, "train", turned).read(np.arange(4))[1].tolist() == [1, 2, 0, 1]


@pytest.mark.parametrize("split", ["train", "calibration", "validation", "test"])
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_in_order_gives_every_sample_of_its_split_once(data: Dataset, split: str, batch: int) -> None:
    feed = Feed(data, split, PLAIN)
    batches = feed.in_order(batch)
    for _ in range(2):  # can be gone through again
        inputs = torch.cat([inputs for inputs, _ in batches])
        assert torch.equal(inputs, feed.read(data.numbers(split))[0])
    assert len(feed) == len(data.numbers(split))


class _Numbers:
    """A dataset of which only the numbers of a split are known."""

    classes = ("a",)

    def __init__(self, count: int) -> None:
        self.labels: Array = np.zeros(count, np.int64)

    def numbers(self, _: str) -> Array:
        return np.arange(len(self.labels))


@given(st.integers(1, 500), st.integers(1, 600))
def test_a_limit_takes_distinct_samples_evenly(count: int, limit: int) -> None:
    stand_in: Any = _Numbers(count)
    numbers = Feed(stand_in, "train", PLAIN, limit).numbers.tolist()
    assert len(numbers) == min(count, limit)
    gaps = {after - before for before, after in pairwise([*numbers, count])}
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


def _epochs(feed: Feed, seed: int, batch: int = 8) -> list[list[int]]:
    """Which samples came, batch by batch, over two epochs; each sample's first pixel row tells which it is."""
    known = {bytes(row): number for number, row in enumerate(PIXELS[:, 0, 0])}
    assert len(known) == len(PIXELS)
    batches = feed.shuffled(batch, seed)
    rows = [inputs[:, 0, 0].mul(255).round().byte().numpy() for _ in range(2) for inputs, _ in batches]
    return [[known[bytes(row)] for row in found] for found in rows]


def test_shuffled_batches_are_fixed_by_the_seed(data: Dataset) -> None:
    feed = Feed(data, "train", PLAIN)
    seen = _epochs(feed, 5)
    assert seen == _epochs(feed, 5)
    assert seen != _epochs(feed, 6)
    assert [len(numbers) for numbers in seen] == [8] * 6  # 30 samples: the last 6 of each epoch are left out
    first, second = seen[:3], seen[3:]
    assert first != second
    for epoch in (first, second):
        together = [number for numbers in epoch for number in numbers]
        assert len(set(together)) == 24
        assert set(together) <= set(data.numbers("train").tolist())


def test_a_batch_larger_than_the_split_is_the_split(data: Dataset) -> None:
    ((inputs, _),) = Feed(data, "calibration", PLAIN).shuffled(64, 0)
    assert len(inputs) == 6
    steps = list(islice(iter(Feed(data, "train", PLAIN, 4).shuffled(4, 0)), 3))
    assert [len(inputs) for inputs, _ in steps] == [4]


def test_what_fits_passes(data: Dataset) -> None:
    check_fit(data, PLAIN, model())
    check_fit(data, Task(classes=("b", "c", "a"), output=1), model(outputs=((7, 7), (5,))))


@pytest.mark.parametrize(
    ("task", "other", "message"),
    [
        ({}, {"inputs": (3, 8, 8)}, "the data's samples are 3x4x4, but the model takes 3x8x8"),
        ({}, {"inputs": (48,)}, "the data's samples are 3x4x4, but the model takes 48"),
        ({}, {"outputs": ((2,),)}, "the data has 3 classes, but the model answers 2"),
        ({}, {"outputs": ((3, 9),)}, "the data has 3 classes, but the model answers 3x9"),
        ({}, {"outputs": ((),)}, "the model answers a single number"),
        ({"output": 1}, {}, r"output is 1, but the model has 1 output\(s\)"),
        ({"classes": ("a", "b", "x")}, {}, r"task.classes names \['a', 'b', 'x'\], the data has \['a', 'b', 'c'\]"),
        ({"classes": ("a", "b")}, {}, "name each once"),
        ({"mean": (0.5,) * 4, "std": (1.0,) * 4}, {}, r"task.mean has 4 values for 3 channel\(s\)"),
    ],
)
def test_misfits_name_both_sides(data: Dataset, task: dict[str, Any], other: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        check_fit(data, Task(**task), model(**other))
    assert caught.value.failure.code == "dataset_mismatch"
    assert set(caught.value.failure.details) == {"data", "field", "model"}


def test_images_that_do_not_fit_are_told_how_to_be_prepared(tmp_path: Path) -> None:
    images(tmp_path, flat()).write(tmp_path / "arrays.zip")
    found = Dataset(tmp_path / "arrays.zip")
    way_out = r'prepare the images with the options {"size": \[28, 20\], "channels": 1}'
    with pytest.raises(DatasetError, match=f"3x5x4, but the model takes 1x28x20: {way_out}"):
        check_fit(found, PLAIN, model((1, 28, 20), ((2,),)))
    fit = images(tmp_path, flat(), size=[28, 20], channels=1)
    fit.write(tmp_path / "arrays.zip")
    check_fit(Dataset(tmp_path / "arrays.zip"), PLAIN, model((1, 28, 20), ((2,),)))

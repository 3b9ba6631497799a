"""Training images are changed as seed, epoch and sample say and by nothing else; every other batch is left alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from app.search.samples.augment import CHANGES, augmented, crop, erase, flip, rotate
from app.search.samples.batches import Feed
from app.search.samples.dataset import Dataset
from app.search.spec import Task
from tests.app.search.datasets import dataset

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 3, 12, 10), dtype=np.uint8)
IMAGE = torch.from_numpy(PIXELS[0]).float() / 255
TASK = Task(augment=("crop", "flip"), mean=(0.5,), std=(0.25,))


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return dataset(tmp_path, PIXELS)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_change_is_fixed_by_its_key_and_keeps_shape_and_range(name: str, channels: int) -> None:
    images = IMAGE[None, :channels].repeat(24, 1, 1, 1)
    keys = [(1, 2, number) for number in range(24)]
    found = augmented(images, [name], keys)
    assert found.shape == images.shape and torch.equal(found, augmented(images, [name], keys))
    assert float(found.min()) >= 0 and float(found.max()) <= 1
    assert not torch.equal(found, images)
    assert len({bytes(image.numpy()) for image in found}) > 1
    assert torch.equal(found[5:7], augmented(images[5:7], [name], keys[5:7])), "whatever the batch"


def _many(change: str) -> list[Tensor]:
    function = CHANGES[change]
    return [function(IMAGE, np.random.default_rng(number)) for number in range(200)]


def test_a_flip_is_a_mirror_half_of_the_time() -> None:
    mirrored = [torch.equal(image, IMAGE.flip(2)) for image in _many("flip")]
    assert 70 < sum(mirrored) < 130
    assert all(
        torch.equal(flip(IMAGE, np.random.default_rng(n)), IMAGE) for n, turned in enumerate(mirrored) if not turned
    )


def test_a_crop_is_a_shift_by_up_to_four_pixels() -> None:
    wide = torch.nn.functional.pad(IMAGE, (4, 4, 4, 4))
    places = {(t, le): wide[:, t : t + 12, le : le + 10] for t in range(9) for le in range(9)}
    seen = set()
    for number in range(200):
        found = crop(IMAGE, np.random.default_rng(number))
        seen |= {place for place, image in places.items() if torch.equal(image, found)}
    assert len(seen) > 60


def test_a_rotation_turns_about_the_centre() -> None:
    disc = torch.zeros(1, 33, 21)
    disc[:, 16, 10] = 1.0
    bar = torch.zeros(1, 33, 21)
    bar[:, :, 10] = 1.0
    for number in range(20):
        assert rotate(disc, np.random.default_rng(number))[0, 16, 10] > 0.99
        turned = rotate(bar, np.random.default_rng(number))[0]
        low, high = (float((turned[row] * torch.arange(21)).sum() / turned[row].sum()) for row in (4, 28))
        assert abs(low + high - 20) < 0.2, "the centre stays"
        assert abs(high - low) / 24 < np.tan(np.deg2rad(10.5))


def test_an_erased_rectangle_is_the_images_mean() -> None:
    means = IMAGE.mean(dim=(1, 2))
    shares = []
    for number in range(100):
        found = erase(IMAGE, np.random.default_rng(number))
        gone = (found != IMAGE).any(dim=0)
        shares.append(float(gone.float().mean()))
        if gone.any():
            assert torch.allclose(found[:, gone], means[:, None].expand(-1, int(gone.sum())))
    assert 30 < sum(share == 0 for share in shares) < 70
    assert max(shares) < 0.3


def test_training_batches_alone_are_changed(data: Dataset) -> None:
    train = Feed(data, "train", TASK)
    plain = Feed(data, "train", Task(mean=TASK.mean, std=TASK.std))
    (one, _), *_ = train.shuffled(8, 3)
    (same, _), *_ = train.shuffled(8, 3)
    (bare, _), *_ = plain.shuffled(8, 3)
    assert torch.equal(one, same) and not torch.equal(one, bare)
    twice = train.shuffled(8, 3)
    first, second = (torch.cat([inputs for inputs, _ in twice]) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(train.read(train.numbers)[0], plain.read(train.numbers)[0]), "in order"
    (statistics, _), *_ = Feed(data, "calibration", TASK).shuffled(4, 3)
    (expected, _), *_ = Feed(data, "calibration", Task(mean=TASK.mean, std=TASK.std)).shuffled(4, 3)
    assert torch.equal(statistics, expected)


def test_colour_does_not_cut_normalised_numbers() -> None:
    image = torch.linspace(-2.0, 2.0, 48).view(3, 4, 4)
    changed = augmented(image[None], ("colour",), [(0, 0, 0)])
    assert changed.min() < -1.0 and changed.max() > 1.0

"""Training images changed at random, so that few of them teach more: what `Task.augment` may name.

Each sample draws from a generator of its own, seeded by (seed, epoch, sample): the same whatever the batches, and
again after a restart. Values are as the model's data has them before normalisation: pixels in [0, 1].
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Random = np.random.Generator
_PAD = 4  # pixels a crop may shift an image
_DEGREES = 10.0  # a rotation, to either side
_COLOUR = 0.2  # brightness, contrast and saturation, up and down
_ERASED = (0.02, 0.2)  # of the area
_NARROW = 0.3  # the least and, inverted, the largest height of what is erased, over its width


def augmented(images: Tensor, names: Sequence[str], keys: Sequence[tuple[int, int, int]]) -> Tensor:
    """The images `b x c x h x w`, changed in the order in which changes are known here; `keys` seed one image each."""
    changes = [change for name, change in CHANGES.items() if name in names]
    drawn = []
    for image, key in zip(images, keys, strict=True):
        random = np.random.default_rng(key)
        for change in changes:
            image = change(image, random)
        drawn.append(image)
    return torch.stack(drawn)


def flip(image: Tensor, random: Random) -> Tensor:
    """Left and right change places, half of the time."""
    return image.flip(2) if random.random() < 0.5 else image


def crop(image: Tensor, random: Random) -> Tensor:
    """Padded by four black pixels on each side, then cut out at a random place."""
    height, width = image.shape[1:]
    top, left = random.integers(0, 2 * _PAD + 1, 2).tolist()
    return functional.pad(image, (_PAD, _PAD, _PAD, _PAD))[:, top : top + height, left : left + width]


def rotate(image: Tensor, random: Random) -> Tensor:
    """Turned about its centre by up to ten degrees, between pixels linearly; black comes in at the corners."""
    angle = np.deg2rad(random.uniform(-_DEGREES, _DEGREES))
    height, width = image.shape[1:]
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    turn = image.new_tensor([[[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]]])
    grid = functional.affine_grid(turn, [1, *image.shape], align_corners=False)
    return functional.grid_sample(image[None], grid, mode="bilinear", align_corners=False)[0]


def colour(image: Tensor, random: Random) -> Tensor:
    """Brightness, contrast and, where there are colours, saturation, each up or down by up to a fifth.

    What was in [0, 1] stays there; numbers that came normalised are not cut.
    """
    pixels = bool(image.min() >= 0.0 and image.max() <= 1.0)
    bright, contrast, saturation = random.uniform(1 - _COLOUR, 1 + _COLOUR, 3).tolist()
    image = image * bright
    image = image.mean() + contrast * (image - image.mean())
    if image.shape[0] == 3:
        grey = image.mean(dim=0, keepdim=True)
        image = grey + saturation * (image - grey)
    return image.clamp(0.0, 1.0) if pixels else image


def erase(image: Tensor, random: Random) -> Tensor:
    """A random rectangle becomes the image's mean, half of the time (random erasing, arXiv:1708.04896)."""
    if random.random() < 0.5:
        return image
    height, width = image.shape[1:]
    area = random.uniform(*_ERASED) * height * width
    slope = float(np.exp(random.uniform(np.log(_NARROW), -np.log(_NARROW))))
    tall = min(height, max(1, round(float(np.sqrt(area * slope)))))
    wide = min(width, max(1, round(float(np.sqrt(area / slope)))))
    top, left = int(random.integers(0, height - tall + 1)), int(random.integers(0, width - wide + 1))
    changed = image.clone()
    changed[:, top : top + tall, left : left + wide] = image.mean(dim=(1, 2), keepdim=True)
    return changed


CHANGES: Mapping[str, Callable[[Tensor, Random], Tensor]] = {
    "flip": flip,
    "crop": crop,
    "rotate": rotate,
    "colour": colour,
    "erase": erase,
}

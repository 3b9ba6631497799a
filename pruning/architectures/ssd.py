"""Several outputs: classes and boxes at every place of several maps, as in SSD (Liu et al., arXiv 1512.02325)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.architectures.config import Config, InputShape, image_inputs, whole
from pruning.errors import IntakeError


@dataclass(frozen=True, kw_only=True)
class SSDConfig(Config):
    """`maps` maps, each half the size of the one before, with `anchors` boxes at every place."""

    channels: int = whole(3, 1, 64)
    size: int = whole(64, 8, 1024)
    classes: int = whole(10, 1, 1000)
    anchors: int = whole(3, 1, 16)
    maps: int = whole(3, 1, 6)
    width: int = whole(32, 1, 512)

    def __post_init__(self) -> None:
        """The last map has a place left."""
        super().__post_init__()
        if self.size >> (self.maps + 1) < 1:
            raise IntakeError(f"config: {self.maps} maps halve an image of {self.size} pixels away")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """One image."""
        return image_inputs(self.channels, self.size)


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class SSD(nn.Module):
    """A chain of halving convolutions; two heads read every map."""

    def __init__(self, config: SSDConfig) -> None:
        super().__init__()
        width, self.classes = config.width, config.classes
        self.stem = _halving(config.channels, width)
        self.steps = nn.ModuleList(_halving(width, width) for _ in range(config.maps))
        self.scores = nn.ModuleList(
            nn.Conv2d(width, config.anchors * config.classes, 3, padding=1) for _ in range(config.maps)
        )
        self.boxes = nn.ModuleList(nn.Conv2d(width, config.anchors * 4, 3, padding=1) for _ in range(config.maps))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """An image to `scores` (`batch x boxes x classes`) and `boxes` (`batch x boxes x 4`)."""
        x = self.stem(x)
        scores, boxes = [], []
        for step, score, box in zip(self.steps, self.scores, self.boxes, strict=True):
            x = step(x)
            scores.append(score(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.classes))
            boxes.append(box(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4))
        return {"scores": torch.cat(scores, dim=1), "boxes": torch.cat(boxes, dim=1)}

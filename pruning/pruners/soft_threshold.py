"""STR: soft threshold weight reparameterization (Kusupati et al., ICML 2020, arXiv 2002.03231).

Every layer learns one threshold t = c σ(s), and weights shrink by it: W' = sign(W) relu(|W| - t), here written as
a factor, relu(1 - t / |W|). With A = [|W| > t], dL/dW = g A and dL/ds = -c σ'(s) Σ g sign(W) A. Tiles, kernels and
channels are thresholded by their norms, with the gradient that this has.

STR cannot be asked for a sparsity: it comes of where s starts and of weight decay, which draws s towards 0. A plan
promises one. So t is learned until `harden`; then the plan's count of largest |W| stays, still shrunk by t, as a
fixed factor that baking multiplies in. Where t had removed more than the plan does, it falls to the largest |W|
that goes. The decay is a term of the loss, ½ decay s², since no loop decays a pruner's own parameters.

The formula is that of the authors' code, where c = 1; c of the layer's own scale, and hardening, are ours. The
paper's own text was not at hand.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning import masks
from pruning.errors import PlanError
from pruning.pruners import base
from pruning.pruners.learned import Thresholded
from pruning.pruners.pdp import midpoint

_LEAST = 1e-3  # of a weight that stays, so that it is no zero in half precision


@dataclass(frozen=True, kw_only=True)
class STRSettings(base.Settings):
    """t = c σ(s); s starts at `s_init` and decays by `decay`; masks are fixed at `harden`.

    c is `scale`; 0 stands for twice the threshold that the plan means in this layer at the start, which is then
    where decay alone would take t. The authors train for 100 epochs, with scale 1, s_init -3200 (ResNet-50, 90 %
    sparse) or -12800 (MobileNet), decay 2.25e-5 or 3.75e-5, harden 1; in a short recovery such an s never arrives.
    """

    scale: float = 0.0
    s_init: float = -4.0
    decay: float = 0.1
    harden: float = 0.6

    def __post_init__(self) -> None:
        if not 0.0 <= self.scale <= 1e6:
            raise PlanError(
                f"str setting scale {self.scale!r} is outside 0 ... 1e6: 0 follows the layer, the paper has 1"
            )
        if not -1e6 <= self.s_init <= 10.0:
            raise PlanError(f"str setting s_init {self.s_init!r} is outside -1e6 ... 10: try -4")
        if not 0.0 <= self.decay <= 1.0:
            raise PlanError(f"str setting decay {self.decay!r} is outside 0 ... 1: try 0.1")
        if not 0.0 <= self.harden <= 1.0:
            raise PlanError(f"str setting harden {self.harden!r} is outside 0 ... 1")


class STR(Thresholded):
    """The factor relu(1 - c σ(s) / |w|), with one learned s a layer or channel group."""

    name = "str"
    paper = "Kusupati et al. 2020, arXiv 2002.03231"
    state = "two numbers a layer; after hardening, a factor a weight"
    cost = "a division a weight, every step"
    Settings = STRSettings
    settings: STRSettings
    scale: Tensor

    @property
    def hardens_at(self) -> float:
        """Set by `harden`."""
        return self.settings.harden

    @property
    def lever(self) -> str:
        """Weight decay on s."""
        return "decay"

    def start(self, table: Tensor, generator: torch.Generator) -> None:  # noqa: ARG002
        """s, and what its sigmoid is measured in."""
        self.s = nn.Parameter(table.new_tensor(self.settings.s_init))
        self.register_buffer("scale", table.new_tensor(self.settings.scale))
        keep = masks.quota(table.shape[1], self.pattern)
        if not self.settings.scale and len(table) and 0 < keep < table.shape[1]:
            self.scale = 2 * midpoint(table.abs(), keep).median()

    def threshold(self) -> Tensor:
        """t."""
        return self.scale * torch.sigmoid(self.s)

    def soft(self, table: Tensor) -> Tensor:
        """The formula."""
        return shrinkage(table.abs(), self.threshold())

    def removed(self, table: Tensor) -> Tensor:
        """Everything up to t."""
        return table.abs() <= self.threshold()

    def penalty(self) -> Tensor:
        """Weight decay on s."""
        return 0.5 * self.settings.decay * self.s.square()

    def settle(self, values: Tensor, hard: Tensor) -> Tensor:
        """The shrinkage of what stays, by t or the largest |W| that goes."""
        size = self.table(values).abs()
        stays = masks.split(hard.to(size.dtype), self.pattern) > 0
        largest = size.masked_fill(stays, 0).amax(dim=1, keepdim=True)
        factor = shrinkage(size, torch.minimum(self.threshold(), largest)).clamp_min(_LEAST)
        return masks.join(factor, values.shape, self.pattern) * hard


def shrinkage(size: Tensor, threshold: Tensor) -> Tensor:
    """relu(1 - threshold / size), with gradient 0 where it is 0."""
    alive = size > threshold
    return torch.where(alive, 1 - threshold / torch.where(alive, size, 1), 0)

"""Dynamic probabilistic pruning (Gonzalez-Carabarin, Huijben, Veeling, Schmid, van Sloun; arXiv 2105.12686).

Every row of the table is a categorical distribution over its n candidates, with learned logits φ, of which exactly k
are drawn without replacement, anew at each training step, so that dropped units come back by themselves:

    s = φ + noise · g,  g ~ Gumbel(0, 1)
    M = 1 for the k largest s of the row                                                      forward
    M~ = sum_j softmax(s / T, without the candidates chosen before the j-th)                    backward: M + M~ - [M~]

in order of rank, and T falls as T0 (1 - 0.9 progress). M~ sums to k too. It costs k n a row; rows that keep more than
`exact` use `soft_top_k` of s / T instead, which has that sum as well and costs n (ours). In evaluation, and for good
from `harden` on, M is the top k of φ: the authors' code goes on sampling.

What a row is: `tiles` 0, the whole layer; 1, the inputs of one output, so that every output keeps k weights, kernels or
tiles; t, one of t equal parts of these inputs, so that processing elements get equal work. The groups of keep-n-of-m
are such parts already, and channels are one row: `tiles` says nothing to them. The authors' convolutions keep k filters
for each input and kernel position instead. A draw is a step's, not a forward pass's, so that all readers of a channel
group, and a layer used twice, see the same mask.

Joint quantisation (`bits`): the masked weight is rounded to whole multiples of max |M w| / (2^(bits-1) - 1), with
dL/d(M w) = 0.4 g where |M w| < 2.5, else 0. The authors keep whole numbers (times 127.5 / max) from there on; here
values stay in the weight's units. Biases and activations are not touched.

Ours: `harden`; `prior`, since they train from scratch for hundreds of epochs and we prune trained networks, where a
random mask is a loss; and `rate`, since the logits hardly move in a short recovery at the weights' rate (`prior` 0
and `rate` 1 are the paper). Both defaults had the least loss on validation images of the digits after 60 steps, at
95 % of weights, at 1 of 4 and at half of the channels, of priors 0 to 10 and rates 1 to 1000. The entropy term favours
*one* candidate a row: keep `entropy` small.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning import masks
from pruning.errors import PlanError
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Channel, Unstructured
from pruning.pruners import base, mask_metrics
from pruning.pruners.rounded import rounded
from pruning.pruners.soft_top_k import soft_top_k

UNDECIDED = 0.1  # `mask_metrics.decision` below which the final mask is little better than a draw


@dataclass(frozen=True, kw_only=True)
class DPPSettings(base.Settings):
    """`temperature` is T0; `entropy` multiplies the rows' entropies in the loss; `rate`, the logits' learning rate.

    The first logits are noise plus `prior` times the layer's standardised sizes. `bits` 0: no quantisation.
    """

    temperature: float = 5.0
    noise: float = 1.0
    entropy: float = 5e-5
    rate: float = 1000.0
    prior: float = 10.0
    harden: float = 0.9
    tiles: int = 0
    bits: int = 0
    exact: int = 16

    def __post_init__(self) -> None:
        limits = {
            "temperature": (1e-3, 1e3),
            "noise": (0.0, 1e3),
            "entropy": (0.0, 1e3),
            "rate": (0.0, 1e6),
            "prior": (0.0, 1e3),
            "harden": (0.0, 1.0),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise PlanError(f"dpp setting {name} {value!r} is outside {low:g} ... {high:g}")
        for name, most in (("tiles", 4096), ("bits", 16), ("exact", 4096)):
            value = getattr(self, name)
            if not 0 <= value <= most or value != int(value):
                raise PlanError(f"dpp setting {name} {value!r} is not a whole number in 0 ... {most}")
        if self.bits == 1:
            raise PlanError("dpp setting bits 1 leaves no value but zero: use 2 or more, or 0 for no quantisation")


class DPP(base.Pruner):
    """k of n by Gumbel top-k with learned logits, straight through."""

    name = "dpp"
    paper = "Gonzalez-Carabarin et al. 2021, arXiv 2105.12686"
    state = "a logit a unit"
    cost = "a draw, a selection and up to `exact` softmaxes a unit, or some ten sigmoids, every step"
    stateful = True
    Settings = DPPSettings
    settings: DPPSettings
    logits: Tensor

    def __init__(self, pattern: Sparse, settings: Mapping[str, float] | None = None) -> None:
        super().__init__(pattern, settings)
        if self.settings.bits and isinstance(pattern, Channel):
            raise PlanError("dpp quantises the weights that it masks, and a channel group has none: set bits to 0")

    @property
    def hardens_at(self) -> float:
        """Set by `harden`."""
        return self.settings.harden

    @property
    def learning_rate(self) -> float:
        """Set by `rate`."""
        return self.settings.rate

    @property
    def temperature(self) -> float:
        """T by now; never 0."""
        return self.settings.temperature * (1 - 0.9 * self.progress)

    @property
    def tiled(self) -> bool:
        """Whether rows are parts of the layer."""
        return bool(self.settings.tiles) and not isinstance(self.pattern, NM | Channel)

    def table(self, values: Tensor) -> Tensor:
        """The pattern's table, its row split by outputs and tiles."""
        table = super().table(values)
        return table.reshape(_parts(values.shape, self.pattern, int(self.settings.tiles)), -1) if self.tiled else table

    def start(self, table: Tensor, generator: torch.Generator) -> None:
        """φ ~ N(0, 0.5) for weights, N(0, 1) for larger units."""
        self._check(table)
        spread = 0.5 if isinstance(self.pattern, Unstructured | NM) else 1.0
        drawn = spread * torch.randn(table.shape, generator=generator).to(table)
        sizes = table.abs()
        deviation = sizes.std(correction=0).clamp_min(torch.finfo(sizes.dtype).tiny) if sizes.numel() else 1.0
        first = drawn + self.settings.prior * (sizes - sizes.mean()) / deviation
        if len(table):
            self.logits = nn.Parameter(first)
        else:  # all inputs are spared: nothing to learn
            self.register_buffer("logits", first)

    def advance(
        self,
        values: Tensor,
        progress: float,
        gradient: Tensor | None = None,
        within: tuple[Tensor, ...] | None = None,
    ) -> None:
        """As every pruner; tiles refuse to lose channels, which would leave them unequal."""
        if within is not None and self.tiled:
            raise PlanError("dpp's tiles must stay equal, but the layer loses channels: set tiles to 0, or keep them")
        super().advance(values, progress, gradient, within)

    def scores(self, table: Tensor) -> Tensor:  # noqa: ARG002
        """φ."""
        return self.logits

    def soft(self, table: Tensor) -> Tensor:
        """M with the gradient of M~; in evaluation, the top k of φ."""
        keep = self.quota(table)
        if keep in (0, table.shape[1]) or not len(table):
            return torch.full_like(table, float(keep > 0))
        if not self.training:
            return self.choose(self.logits.detach()).to(table.dtype)
        perturbed = self.logits + self.settings.noise * self._gumbel()
        relaxed = self.relaxed(perturbed / self.temperature, keep)
        return self.choose(perturbed.detach()).to(table.dtype) + (relaxed - relaxed.detach()).to(table.dtype)

    def relaxed(self, scores: Tensor, keep: int) -> Tensor:
        """M~: every row sums to `keep`."""
        if keep > self.settings.exact:
            everyone = torch.ones_like(scores)
            return soft_top_k(scores, everyone if self.padding is None else everyone * ~self.padding, keep)
        return successive(scores if self.padding is None else scores.masked_fill(self.padding, -torch.inf), keep)

    def masked(self, values: Tensor) -> Tensor:
        """The masked weight, rounded if `bits` says so, while training and after."""
        masked = super().masked(values)
        if not self.settings.bits:
            return masked
        return rounded(masked, int(self.settings.bits))

    def penalty(self) -> Tensor | None:
        """The sum of the rows' entropies, times `entropy`."""
        return self.settings.entropy * mask_metrics.entropy(self._known()).sum() if self.settings.entropy else None

    def sharpness(self, table: Tensor) -> float | None:
        """`mask_metrics.decision` of the logits: 1 where they are sure of the k that they keep."""
        keep = self.quota(table)
        return None if keep in (0, table.shape[1]) or not len(table) else mask_metrics.decision(self._known(), keep)

    @property
    def figures(self) -> Mapping[str, float]:
        """Confidence and diversity of the logits; see `mask_metrics`."""
        known = self._known()
        return {"confidence": mask_metrics.confidence(known), "diversity": mask_metrics.diversity(known)}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Says when the logits had not decided as the mask was fixed."""
        if self.sharp is None or self.sharp >= UNDECIDED:
            return ()
        return (
            f"the logits were only {self.sharp:.0%} of the way from even odds to a decision when the mask was fixed, "
            "so it is close to a random one; train longer, raise rate, or start from the weights' sizes with prior",
        )

    def _known(self) -> Tensor:
        """The logits, with next to no chance for places that no unit fills."""
        return self.logits if self.padding is None else self.logits.masked_fill(self.padding, -1e4)

    def _gumbel(self) -> Tensor:
        """This step's noise."""
        exponential = torch.empty(self.logits.shape).exponential_(generator=self.random())
        return -exponential.clamp_min(torch.finfo(exponential.dtype).tiny).log().to(self.logits)

    def _check(self, table: Tensor) -> None:
        rows, candidates = table.shape
        keep = self.quota(table)
        if self.tiled and not 0 < rows * keep <= masks.quota(table.numel(), self.pattern):
            raise PlanError(
                f"dpp: {self.pattern} leaves less than one of the {candidates} units of each tile: "
                f"a sparsity of {1 - 1 / candidates:.4g} at most, or fewer tiles than {self.settings.tiles:g}"
            )


def successive(scores: Tensor, keep: int) -> Tensor:
    """The sum of `keep` softmaxes of each row, each without the largest candidates of those before it."""
    order = scores.detach().topk(keep, dim=1).indices
    total = torch.zeros_like(scores)
    for rank in range(keep):
        total = total + scores.softmax(dim=1)
        scores = scores.scatter(1, order[:, rank : rank + 1], -math.inf)
    return total


def _parts(shape: torch.Size, pattern: Sparse, tiles: int) -> int:
    """How many rows the one row of a layer's table falls into."""
    rows, cols = (pattern.rows, pattern.cols) if isinstance(pattern, Block) else (1, 1)
    down, across = -(-shape[0] // rows), -(-shape[1] // cols)
    if across % tiles:
        raise PlanError(
            f"dpp cannot split the {across} inputs of a weight of {' x '.join(map(str, shape))} under {pattern} "
            f"into {tiles} equal tiles: use a divisor of {across}, or 1 or 0"
        )
    return down * tiles

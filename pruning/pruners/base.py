"""`Pruner`: which units of one layer, or of one channel group, survive. The seam that every pruner sits on.

A pattern lays values out as a table (`pruning.masks`): rows x candidates, every row keeps its best few. A pruner's
formula is written over that table, so it serves every pattern; values are signed weights (unstructured, n:m) or
norms (tiles, kernels, channels), fp32 or wider. To write one, subclass, fill in `name`, `paper`, `state`, `cost`,
and override what the method needs; only `soft` has no default:

    soft(table)              the factor while training, table-shaped, >= 0, differentiable; `self(values)` spreads it
    scores(table)            what the binary mask is chosen by, table-shaped; default |table|
    share()                  how far the pattern is approached by now; `quota(table)` is what a row keeps of it
    choose(scores)           bool table: the `quota` best of each row; learned scores may be negative
    masked(values)           the effective weight; default values * self(values)
    hardens_at               the progress at which the mask becomes binary, exact and fixed; 0 means at once
    settle(values, hard)     the factor that is fixed then; default the bool mask; may be float with exact zeros
    sharpness(table)         a measure of how binary the mask was then; `warnings` are made from it, `figures` beside it

Methods that remember something set `stateful = True` (their table then covers the whole layer at all times) and use

    start(table, generator)  make state, once: an `nn.Parameter` is trained, a buffer stored; shaped like the table
    update(table, gradient)  called without grad before each step until hardening; `self.progress` is set, and
                             `self.random()` is this step's generator. With `wants_gradient`, `gradient` is the size
                             of dL/d(effective weight) of each unit since the last call, else (and at first) None
    erase(where)             from `update`: the stored weights of these units (bool table) become 0
    penalty()                a term of the loss, or None; `learning_rate` multiplies the rate of own parameters,
                             which are neither decayed nor clipped

`refuses` maps kinds of pattern to the reason; `make` says it. Nothing is called after hardening: the factor stands.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from pruning import masks
from pruning.buffers import match_buffers
from pruning.errors import PlanError
from pruning.importance import widened
from pruning.masks import Sparse

S = TypeVar("S", bound="Settings")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A pruner's settings; subclasses add fields and check their ranges."""

    @classmethod
    def read(cls: type[S], values: Mapping[str, float], pruner: str) -> S:
        """The settings of a plan.

        Raises:
            PlanError: a setting this pruner does not have, or one outside its range.
        """
        known = sorted(field.name for field in fields(cls))
        if unknown := sorted(set(values) - set(known)):
            raise PlanError(f"pruner {pruner!r} has no setting {unknown[0]!r}; it has {known or 'none'}")
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise PlanError(f"pruner {pruner!r}: setting {name!r} is {str(value)[:40]!r}, not a number")
        return cls(**values)


class Pruner(nn.Module, ABC):
    """Template of every pruner: `soft` is the method, the rest is common."""

    name: ClassVar[str]
    paper: ClassVar[str]
    state: ClassVar[str] = "nothing"  # what is stored per unit or layer, beside the weights
    cost: ClassVar[str] = "a selection each layer, once"  # what a step pays
    refuses: ClassVar[Mapping[str, str]] = {}  # kind of pattern -> why it makes no sense here
    stateful: ClassVar[bool] = False
    wants_gradient: ClassVar[bool] = False
    Settings: ClassVar[type[Settings]] = Settings
    fixed: Tensor | None
    padding: Tensor | None

    def __init__(self, pattern: Sparse, settings: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.pattern = pattern
        self.settings = self.Settings.read(settings or {}, self.name)
        self.progress = 0.0
        self.gap = 0.0  # ||(m - fixed) v|| / ||fixed v|| when the mask became binary
        self.sharp: float | None = None  # `sharpness` at that moment
        self.erased: Tensor | None = None  # the units that `update` erased at the last advance: bool table
        self._seed: int | None = None
        self._advances = 0
        self.register_buffer("fixed", None)
        self.register_buffer("padding", None, persistent=False)

    @classmethod
    def patterns(cls) -> frozenset[str]:
        """The kinds of pattern this pruner serves."""
        return frozenset(masks.KINDS) - frozenset(cls.refuses)

    @property
    def hardens_at(self) -> float:
        """The share of recovery after which the mask is binary and fixed; 0 means from the start."""
        return 0.0

    @property
    def learning_rate(self) -> float:
        """What the learning rate is multiplied by for this pruner's own parameters."""
        return 1.0

    @property
    def figures(self) -> Mapping[str, float]:
        """What else the method measures on its state, by name."""
        return {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about the hardening, in sentences."""
        return ()

    def start(self, table: Tensor, generator: torch.Generator) -> None:
        """Make the state, shaped like the table; random numbers come from `generator`, on the CPU."""

    @abstractmethod
    def soft(self, table: Tensor) -> Tensor:
        """The factor while it is being trained, at least 0, fp32 or wider, in the table's shape."""

    def scores(self, table: Tensor) -> Tensor:
        """What the binary mask is chosen by."""
        return table.abs()

    def share(self) -> float:
        """How far the pattern is approached by now, in [0, 1]."""
        return 1.0

    def update(self, table: Tensor, gradient: Tensor | None) -> None:
        """Bring the state up to `self.progress`."""

    def settle(self, values: Tensor, hard: Tensor) -> Tensor:  # noqa: ARG002 - the values are for those who shrink
        """The factor that stays, in the values' shape: zero wherever `hard` is False, and only there."""
        return hard

    def sharpness(self, table: Tensor) -> float | None:  # noqa: ARG002
        """How nearly binary the factor is; None where that is no question."""
        return None

    def penalty(self) -> Tensor | None:
        """A term to add to the loss."""
        return None

    def masked(self, values: Tensor) -> Tensor:
        """The effective weight, fp32 or wider."""
        factor: Tensor = self(values)
        return values * factor

    def forward(self, values: Tensor) -> Tensor:
        """The factor of these values: soft, or fixed (bool, unless shrunk) once hardened."""
        if self.fixed is not None:
            return self.fixed
        return masks.join(self.soft(self.table(values)), values.shape, self.pattern)

    def table(self, values: Tensor) -> Tensor:
        """The values as the pattern lays them out, in fp32 or wider."""
        return masks.split(widened(values), self.pattern)

    def quota(self, table: Tensor) -> int:
        """How many candidates a row keeps by now."""
        return masks.quota(table.shape[1], self.pattern, self.share())

    def choose(self, scores: Tensor, count: int | None = None) -> Tensor:
        """The best `count` of each row, `quota` by default: a bool table."""
        if self.padding is not None:
            scores = scores.masked_fill(self.padding, -torch.inf)
        return masks.choose(scores, self.quota(scores) if count is None else count)

    def erase(self, where: Tensor) -> None:
        """Have the stored weights of these units (bool table) set to zero."""
        self.erased = where if self.erased is None else self.erased | where

    def random(self) -> torch.Generator:
        """Random numbers for this advance: the same in every run with the same seed, resumed or not."""
        return torch.Generator().manual_seed(((self._seed or 0) + 1_000_003 * self._advances) % 2**63)

    @torch.no_grad()
    def kept(self, values: Tensor) -> Tensor:
        """What would survive if the mask became binary now: bool, in the values' shape."""
        if self.fixed is not None:
            return self.fixed != 0
        return masks.join(self.choose(self.scores(self.table(values))), values.shape, self.pattern)

    @torch.no_grad()
    def begin(self, values: Tensor, generator: torch.Generator) -> None:
        """Make the state for values of this shape, once."""
        if self._seed is not None:
            return
        self._seed = int(torch.randint(2**62, (), generator=generator))
        if self.stateful:
            padding = masks.padding(values.shape, self.pattern)
            self.padding = None if padding is None else padding.to(values.device)
            self.start(self.table(values), generator)

    @torch.no_grad()
    def advance(
        self,
        values: Tensor,
        progress: float,
        gradient: Tensor | None = None,
        within: tuple[Tensor, ...] | None = None,
    ) -> None:
        """Move to a share of recovery in [0, 1]; at `hardens_at`, fix the mask by these values for good.

        `gradient` has a size for each value; `within` is the index of the values the final pattern is laid over.
        """
        self.progress, self.erased = progress, None
        if self.fixed is not None:
            return
        self.begin(values, torch.Generator().manual_seed(0))
        if self.stateful:
            self.update(self.table(values), None if gradient is None else self.table(gradient).abs())
        self._advances += 1
        if progress >= self.hardens_at:
            self._harden(values, within)

    def _harden(self, values: Tensor, within: tuple[Tensor, ...] | None) -> None:
        table = self.table(values)
        scores, best = self.scores(table), masks.quota(table.shape[1], self.pattern)
        if within is None:
            hard = masks.join(self.choose(scores, best), values.shape, self.pattern)
        else:
            inside = masks.join(scores - scores.min(), values.shape, self.pattern)[within]
            everywhere = torch.ones(values.shape, dtype=torch.bool, device=values.device)
            hard = everywhere.index_put(within, masks.mask(inside, self.pattern))
        soft, fixed = self(values), self.settle(values, hard).contiguous()
        self.gap, self.sharp = _relative_gap(soft, fixed, values), self.sharpness(table)
        self.fixed = fixed

    def get_extra_state(self) -> dict[str, Any]:
        """Numbers that a checkpoint needs beside the tensors."""
        common = {"progress": self.progress, "gap": self.gap, "sharp": self.sharp}
        return common | {"seed": self._seed, "advances": self._advances}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Inverse of `get_extra_state`."""
        self.progress, self.gap, self.sharp = state["progress"], state["gap"], state["sharp"]
        self._seed, self._advances = state["seed"], state["advances"]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        match_buffers(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _relative_gap(soft: Tensor, fixed: Tensor, values: Tensor) -> float:
    wide = widened(values)
    moved, left = ((soft - fixed.to(soft.dtype)) * wide).norm(), (fixed * wide).norm()
    return float(moved / left) if left > 0 else 0.0

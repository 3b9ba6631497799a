"""GraNet (Liu et al., NeurIPS 2021, arXiv 2106.10404): gradual pruning with a little regrowth at each update.

At each update the layer is pruned by |w| to what s = s_f - (s_f - s_i)(1 - x)³ allows by now, and then a fraction of
what is left, by a cosine from 0.5 to 0.005 over the recovery, is dropped by |w| and regrown by |dL/dw|, from 0.
Replacing goes on after the target is reached. From dense (s_i = 0) by default; the paper's sparse-to-sparse form starts
from a density of 0.5, under a random mask (`from_scratch`).

Differs from the paper: it prunes by one threshold over all layers; here each layer goes to its own density in the
plan, which `pruning.allocate` can take from such a threshold at the start. Optimiser steps and momentum: see `rigl`.
"""

import math
from dataclasses import dataclass

from pruning.errors import PlanError
from pruning.pruners.ramps import cubic
from pruning.pruners.rigl import Regrowing, RegrowSettings

_LAST = 0.005  # the fraction that is still replaced at the very end


@dataclass(frozen=True, kw_only=True)
class GraNetSettings(RegrowSettings):
    """From `initial_density` to the plan's density by `end`; `regrow` is the fraction replaced at first.

    The paper ends its pruning at 30 of 100 epochs and replaces to the last; it never fixes the mask before.
    """

    harden: float = 0.9
    end: float = 0.3
    regrow: float = 0.5
    initial_density: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.end <= self.harden:
            raise PlanError(f"granet needs 0 < end <= harden, not {self.end!r} and {self.harden!r}")
        if not _LAST <= self.regrow <= 1.0:
            raise PlanError(f"granet setting regrow {self.regrow!r} is outside {_LAST} ... 1: the paper has 0.5")
        if not 0.0 < self.initial_density <= 1.0:
            raise PlanError(f"granet setting initial_density {self.initial_density!r} is outside (0, 1]: 1 is dense")


class GraNet(Regrowing):
    """Sparsity by the cubic, in steps, and regrowth at each."""

    name = "granet"
    paper = "Liu et al. 2021, arXiv 2106.10404"
    Settings = GraNetSettings
    settings: GraNetSettings

    @property
    def fraction(self) -> float:
        """A cosine of progress, from `regrow` to 0.005."""
        return _LAST + (self.settings.regrow - _LAST) / 2 * (1 + math.cos(math.pi * self.progress))

    def share(self) -> float:
        """The cubic from the first density, held between updates; 1 if that is no denser than the target."""
        held = self.settings.harden * self.step() / self.settings.updates
        first, last = 1 - self.settings.initial_density, 1 - self.pattern.density
        if first >= last:
            return 1.0
        return first / last + (1 - first / last) * cubic(held, 0.0, self.settings.end)

"""The seam between problems and methods: what a method may ask, and what each answer costs.

A plan is whatever a problem calls a plan; methods only pass it on. Latency is a share of the dense latency and is free
to ask for: it is arithmetic. Losses are charged in sample-passes: 1 for a sample's forward pass, 3 for forward and
backward.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Plan = Hashable


@dataclass(frozen=True, kw_only=True)
class Point:
    """A plan as it came out: latency as a share of dense, loss to choose on, loss and accuracy to report.

    `doubt` is the standard error of the loss to choose on, over its samples.
    """

    latency: float
    validation: float
    test: float
    accuracy: float = float("nan")
    doubt: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Gene:
    """One variable of a black box: some options of a unit, dense first, then from the dearest to the cheapest.

    A unit of several layers has one gene a layer, and a `joint` one for options that decide all its layers at once; if
    that is not dense, it counts and the others do not.
    """

    unit: int
    options: tuple[int, ...]
    joint: bool = False


class Problem(Protocol):
    """A model or a table, its options, and their truth."""

    name: str
    bands: tuple[float, ...]  # latencies, as shares of dense, at which results are compared
    targets: tuple[float, ...]  # latencies that allocators are asked for, most wanted first: the bands, then between
    recovery_seeds: tuple[int, ...]  # of the plans compared at the bands
    whole: float  # what hypervolumes are divided by: that of the exact front where it is known, else 1
    genes: tuple[Gene, ...]
    costs: tuple[
        Floats, ...
    ]  # per unit, per option, additive: shares of dense; on networks an approximation of `share`
    strengths: tuple[Floats, ...]  # per unit, per option: -ln density
    recovers: bool  # else an evaluation is a look-up, as a one-shot loss is
    calibration: int  # samples of a full one-shot loss

    @property
    def reference(self) -> tuple[float, float]:
        """Of the hypervolume: latency, loss."""

    @property
    def evaluation_passes(self) -> int:
        """Sample-passes of the usual evaluation."""

    def evaluation_of(self, plan: Plan) -> int:
        """Sample-passes of this plan's; a solver's calibration makes them more."""

    def plan(self, choice: Sequence[int]) -> Plan:
        """The plan of one option number a gene."""

    def share(self, plan: Plan) -> float:
        """Its exact latency."""

    def one_shot(self, plan: Plan, samples: int) -> float:
        """Its loss without recovery on that many calibration samples."""

    def point(self, plan: Plan, seed: int) -> tuple[Point, float]:
        """What it is worth after recovery from a seed, and the seconds that this took when it was first done."""

    def errors(self) -> tuple[tuple[Floats, ...], int]:
        """The error table, per unit and option, and the sample-passes it took."""

    def digest(self, plan: Plan) -> str:
        """A short name of a plan."""

    def front(self, errors: Sequence[Floats], **settings: Any) -> Sequence[Plan]:
        """The additive front under these errors, cheapest first."""


def within(problem: Problem, front: Sequence[Plan], band: float) -> Plan | None:
    """The plan of least error of an additive front whose exact latency keeps the band."""
    return next((plan for plan in reversed(front) if problem.share(plan) <= band * (1 + 1e-9)), None)


def area(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    """The hypervolume of `n x 2` points that need not be a front, in O(n log n): tables have 10⁴ and more."""
    values = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    values = values[np.all(values < reference, axis=1)]
    if not len(values):
        return 0.0
    values = values[np.lexsort((values[:, 1], values[:, 0]))]
    floor = np.minimum.accumulate(values[:, 1])
    widths = np.diff(values[:, 0], append=reference[0])
    return float((widths * (reference[1] - floor)).sum())

"""Problems whose truth is a table: real per-layer latencies joined with losses, and small networks tried in full.

Joined tables (kept beside the checkout; SparseML, Apache-2.0: ResNet-50 on DeepSparse, latency and loss of the same
layers; HAWQ, MIT: ResNet-50 on a T4, 4 or 8 bits with errors from Hessian traces) are additive by definition. Their
exact front comes from a dynamic program over whole ticks of time, which shares no code with the product's solver. Where
a table of 100 sparsities has latencies at four only, latency is interpolated in sparsity, and the problem's name says
so. Reference point: dense latency, and the loss of the strongest level everywhere.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app.search.solve import solve
from benchmarks.search.problem import Floats, Gene, Plan, Point, area

BANDS = (0.9, 0.8, 0.7, 0.6, 0.5)
TARGETS = (*BANDS, *(band / 100 for band in range(97, 10, -2)))
_TICK_MS = 1e-4
_TABLES = Path("latency_tables")


@dataclass(kw_only=True)
class Tabular:
    """A problem of independent layers; `truth[i, j, ...]` is the loss of a plan where losses do not simply add up.

    Costs are shares of the dense latency and hold no overhead; `overhead` is the share that no plan can touch.
    """

    name: str
    costs: tuple[Floats, ...]
    table: tuple[Floats, ...]
    strengths: tuple[Floats, ...]
    overhead: float
    table_passes: int = 0
    truth: Floats | None = None
    whole: float = 1.0
    bands: tuple[float, ...] = BANDS
    targets: tuple[float, ...] = TARGETS
    recovery_seeds: tuple[int, ...] = ()
    recovers: bool = False
    evaluation_passes: int = 1
    calibration: int = 1
    genes: tuple[Gene, ...] = field(init=False)
    reference: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        orders = [np.argsort(-cost[1:], kind="stable") + 1 for cost in self.costs]
        self.genes = tuple(Gene(unit=u, options=(0, *map(int, order))) for u, order in enumerate(orders))
        strongest = tuple(int(np.argmax(strength)) for strength in self.strengths)
        self.reference = (1.0, self.loss(strongest))

    def plan(self, choice: Sequence[int]) -> Plan:
        """One option index a layer."""
        return tuple(gene.options[index] for gene, index in zip(self.genes, choice, strict=True))

    def evaluation_of(self, plan: Plan) -> int:  # noqa: ARG002 - the seam's
        """A look-up."""
        return self.evaluation_passes

    def share(self, plan: Plan) -> float:
        """Overhead and layers."""
        assert isinstance(plan, tuple)
        return self.overhead + sum(float(cost[i]) for cost, i in zip(self.costs, plan, strict=True))

    def loss(self, plan: Plan) -> float:
        """The truth."""
        assert isinstance(plan, tuple)
        if self.truth is not None:
            return float(self.truth[plan])
        return sum(float(error[i]) for error, i in zip(self.table, plan, strict=True))

    def one_shot(self, plan: Plan, samples: int) -> float:  # noqa: ARG002 - a look-up has no samples
        """The truth."""
        return self.loss(plan)

    def point(self, plan: Plan, seed: int) -> tuple[Point, float]:  # noqa: ARG002 - nothing is drawn
        """The truth."""
        loss = self.loss(plan)
        return Point(latency=self.share(plan), validation=loss, test=loss), 0.0

    def errors(self) -> tuple[tuple[Floats, ...], int]:
        """The losses one layer at a time."""
        return self.table, self.table_passes

    def digest(self, plan: Plan) -> str:
        """Its option numbers."""
        return "".join(f"{i:x}" if i < 16 else f"({i})" for i in plan) if isinstance(plan, tuple) else ""

    def front(self, errors: Sequence[Floats], **settings: Any) -> Sequence[Plan]:
        """The product's solver on these errors."""
        return [tuple(map(int, row)) for row in solve(self.costs, errors, **settings).choices]

    def exact(self) -> list[tuple[float, float]]:
        """The true front, `(latency, loss)`: every plan where the truth is a table, else the dynamic program."""
        if self.truth is None:
            return _program(self)
        grid = np.meshgrid(*self.costs, indexing="ij")
        latency = self.overhead + np.sum([axis.ravel() for axis in grid], axis=0)
        order = np.lexsort((self.truth.ravel(), latency))
        loss = self.truth.ravel()[order]
        falls = loss < np.concatenate([[np.inf], np.minimum.accumulate(loss)[:-1]])
        return list(zip(latency[order][falls].tolist(), loss[falls].tolist(), strict=True))


def weighed(problem: Tabular) -> Tabular:
    """The problem with hypervolumes as shares of the exact front's."""
    problem.whole = area(problem.exact(), problem.reference)
    return problem


def _program(problem: Tabular) -> list[tuple[float, float]]:
    """Least error at every whole number of ticks above the cheapest plan; costs of these tables are whole ticks."""
    tick = problem.tick if isinstance(problem, Joined) else 1e-6
    ticks = [np.rint((cost - cost.min()) / tick).astype(int) for cost in problem.costs]
    best = np.zeros(1)
    for tick_of, error in zip(ticks, problem.table, strict=True):
        longer = np.full(len(best) + int(tick_of.max()), np.inf)
        for t, e in zip(tick_of.tolist(), error.tolist(), strict=True):
            np.minimum(longer[t : t + len(best)], best + e, out=longer[t : t + len(best)])
        best = longer
    best = np.minimum.accumulate(best)
    low = problem.overhead + sum(float(cost.min()) for cost in problem.costs)
    falls = np.nonzero(np.diff(best, prepend=np.inf) < 0)[0]
    return [(low + tick * int(at), float(best[at])) for at in falls]


@dataclass(kw_only=True)
class Joined(Tabular):
    """A joined table whose costs are whole multiples of `tick`, as shares of the dense latency."""

    tick: float


def joined(shared: Path) -> list[Tabular]:
    """The instances that can be made of the files kept beside the checkout; none where they are not."""
    folder = shared / _TABLES
    found: list[Tabular] = []
    if (folder / "sparseml_resnet50.json").exists():
        layers = json.loads((folder / "sparseml_resnet50.json").read_text())["layers"]
        timed = [la for la in layers if all(o["latency"] for o in la["options"])]
        found += [_sparseml(timed, "loss_increase", "one-shot"), _sparseml(timed, "loss_approx", "approximate")]
        found.append(_interpolated(timed, folder / "sparseml" / "resnet50_loss_approx.json"))
    if (folder / "hawq_resnet50_t4.json").exists():
        found.append(_hawq(json.loads((folder / "hawq_resnet50_t4.json").read_text())["layers"]))
    return [weighed(problem) for problem in found]


def _sparseml(layers: Sequence[Any], loss: str, title: str) -> Tabular:
    times = [np.array([1e3 * option["latency"] for option in layer["options"]]) for layer in layers]
    losses = [np.array([option[loss] for option in layer["options"]]) for layer in layers]
    strengths = [_depths([option["sparsity"] for option in layer["options"]]) for layer in layers]
    return _joined(f"sparseml-rn50 {title}", times, losses, strengths)


def _interpolated(layers: Sequence[Any], path: Path) -> Tabular:
    """Measured losses at 100 sparsities, latency interpolated between the four that were timed."""
    curves = {entry["name"]: entry["sparse_measurements"] for entry in json.loads(path.read_text())["results"]}
    times, losses, strengths = [], [], []
    for layer in layers:
        curve = curves[layer["name"]]
        sparsities = np.array([sparsity for sparsity, _ in curve])
        at, timed = zip(*[(o["sparsity"], 1e3 * o["latency"]) for o in layer["options"]], strict=True)
        times.append(np.interp(sparsities, at, timed))
        losses.append(np.array([np.mean(values) for _, values in curve]))
        strengths.append(_depths(sparsities))
    return _joined("sparseml-rn50 100 levels, latency interpolated", times, losses, strengths)


def _hawq(layers: Sequence[Any]) -> Tabular:
    """8 bits is what counts as dense; 4 bits halve the storage."""
    times, losses = [], []
    for layer in layers:
        by_bits = {option["bits"]: option for option in layer["options"]}
        times.append(np.array([by_bits[bits]["latency"] for bits in (8, 4)]))
        losses.append(np.array([by_bits[bits]["loss_proxy"] for bits in (8, 4)]))
    return _joined("hawq-rn50-t4 bits", times, losses, [_depths([0.0, 0.5])] * len(layers))


def _depths(sparsities: Sequence[float] | Floats) -> Floats:
    return np.asarray(-np.log1p(-np.asarray(sparsities, dtype=np.float64)))


def _joined(name: str, times: Sequence[Floats], losses: Sequence[Floats], strengths: Sequence[Floats]) -> Tabular:
    """Latencies to whole ticks of 0.1 microseconds, then to shares; losses as they are, dense at zero."""
    whole = [np.maximum(1, np.rint(time / _TICK_MS)) for time in times]
    dense = sum(float(time[0]) for time in whole)
    return Joined(
        name=name,
        costs=tuple(time / dense for time in whole),
        table=tuple(loss - loss[0] for loss in losses),
        strengths=tuple(strengths),
        overhead=0.0,
        tick=1 / dense,
    )

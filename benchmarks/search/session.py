"""One run of a method on a problem: its purse, and the trail of what it evaluated."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from app.search.solve import pareto_front_2d
from benchmarks.search.problem import Floats, Plan, Point, Problem, area


class Spent(Exception):
    """The next thing asked for costs more sample-passes than are left: the run is over."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A plan that was evaluated, and what had been spent by then."""

    plan: Plan
    point: Point
    passes: int
    wall_s: float


class Session:
    """A problem with a budget. Whatever is asked for is paid for first; asking twice costs twice."""

    def __init__(self, problem: Problem, budget: int, seed: int) -> None:
        self.problem, self.budget, self.seed = problem, budget, seed
        self.passes = self.table_passes = self.evaluations = 0
        self.trail: list[Step] = []
        self._begun, self._credit_s = time.perf_counter(), 0.0

    @property
    def left(self) -> int:
        """Sample-passes that can still be spent."""
        return self.budget - self.passes

    @property
    def affordable(self) -> int:
        """Evaluations that can still be paid for."""
        return self.left // self.problem.evaluation_passes

    @property
    def wall_s(self) -> float:
        """Seconds since the beginning; what was found in the cache counts as long as it took when it was done."""
        return time.perf_counter() - self._begun + self._credit_s

    def pay(self, passes: int) -> None:
        """Raises Spent if there is not that much left."""
        if passes > self.left:
            raise Spent
        self.passes += passes

    def one_shot(self, plan: Plan, samples: int | None = None) -> float:
        """The loss of a plan without recovery, on all calibration samples or on a few; on tables an evaluation."""
        if not self.problem.recovers:
            return self.evaluate(plan).validation
        count = samples or self.problem.calibration
        self.pay(count)
        return self.problem.one_shot(plan, count)

    def evaluate(self, plan: Plan) -> Point:
        """Recover a plan and measure it."""
        self.pay(self.problem.evaluation_of(plan))
        with self.credited() as credit:
            point, took_s = self.problem.point(plan, self.seed)
            credit(took_s)
        self.record(plan, point)
        return point

    @contextmanager
    def credited(self) -> Iterator[Callable[[float], None]]:
        """Inside: tell how long the work took when it was first done, and the clock moves on by that much."""
        before, told = time.perf_counter(), [0.0]
        yield lambda took_s: told.__setitem__(0, took_s)
        self._credit_s += max(0.0, told[0] - (time.perf_counter() - before))

    def record(self, plan: Plan, point: Point) -> None:
        """Add an evaluated plan that was paid for already."""
        self.evaluations += 1
        self.trail.append(Step(plan=plan, point=point, passes=self.passes, wall_s=self.wall_s))

    def offer(self, plan: Plan, predicted: float) -> None:
        """Put a plan on the front unseen, chosen on its predicted loss; only its report looks at what it is worth."""
        truth, _ = self.problem.point(plan, self.seed)
        point = Point(latency=truth.latency, validation=predicted, test=truth.test)
        self.trail.append(Step(plan=plan, point=point, passes=self.passes, wall_s=self.wall_s))

    def errors(self) -> tuple[Floats, ...]:
        """The error table, paid for in full."""
        found, passes = self.problem.errors()
        self.pay(passes)
        self.table_passes += passes
        return found

    def volumes(self) -> tuple[float, float]:
        """Hypervolume of the front chosen on validation: there, and on test."""
        points = [step.point for step in self.trail]
        problem = self.problem
        known = [p for p in points if p.validation < float("inf")]
        chosen = [known[i] for i in pareto_front_2d(*_columns(known))] if known else []
        seen = area([(p.latency, p.validation) for p in chosen], problem.reference)
        told = area([(p.latency, p.test) for p in chosen], problem.reference)
        return seen / problem.whole, told / problem.whole

    def best(self, band: float) -> Step | None:
        """The step chosen on validation within a latency.

        Of those whose loss is within a standard error of the least it is the slowest, for what is pruned less is
        better where the samples cannot tell (a one-standard-error rule, as Breiman et al. 1984 choose trees).
        """
        inside = [s for s in self.trail if s.point.latency <= band * (1 + 1e-9) and s.point.validation < float("inf")]
        least = min((step.point for step in inside), key=lambda point: point.validation, default=None)
        if least is None:
            return None
        alike = [step for step in inside if step.point.validation <= least.validation + least.doubt]
        return max(alike, key=lambda step: (step.point.latency, -step.point.validation))


def _columns(points: list[Point]) -> tuple[Floats, Floats]:
    return np.array([p.latency for p in points]), np.array([p.validation for p in points])

"""How long exact answers take: the whole additive front, limits on several resources, and coupled widths.

Run: `python -m benchmarks.solver`. Instances are made like measured tables. Additive, 200 layers x 64 options: error
rises steeply with sparsity, latency falls, not monotonely, and layers differ a hundredfold; hypervolume is taken over
(latency, error), both as shares of their ranges, against the program at ten times the buckets. Coupled, the size of
ResNet-50: four residual groups, sixteen bottlenecks of which twelve may be dropped, two-sided tables. Times are
processor times, which a busy machine changes least. Every figure beside a peer is of the same run: a program for every
limit at 10,000 steps rounded to nearest (as in SPDY, Frantar and Alistarh 2022, written here), and HiGHS.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from app.search.front import hypervolume
from app.search.solve import Solutions, pareto_front_2d, solve
from app.search.solve.coupled import CoupledProblem, CoupledSolution
from app.search.solve.graph import solve_graph
from app.search.solve.knapsack import Grid, knapsack
from app.search.solve.resources import solve_resources
from app.search.solve.stages import solve_stages
from benchmarks.solver_nets import resnet50

LAYERS, OPTIONS, BUCKETS = 200, 64, 2000
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25)  # of the dense cost, as limits
Found = TypeVar("Found")
Timed = tuple[float, CoupledSolution]


def instance(layers: int, options: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Costs in ms and errors in nats, by layer."""
    draw = np.random.default_rng(seed)
    costs, errors = [], []
    for _ in range(layers):
        size_ms, weight = draw.lognormal(0.0, 1.0), draw.lognormal(0.0, 1.5)
        density = np.geomspace(1.0, 0.01, options)
        costs.append(size_ms * (0.2 + 0.8 * density) * draw.normal(1.0, 0.05, options).clip(0.8, 1.2))
        errors.append(np.sort(weight * (1 - density) ** 3 * draw.lognormal(0.0, 0.2, options)))
        errors[-1][0] = 0.0
    return costs, errors


def _share(found: Solutions, bound: Solutions) -> float:
    """Hypervolume of one front as a share of another's."""
    low, high = bound.costs[0], bound.costs[-1]
    worst = bound.errors[0]

    def volume(front: Solutions) -> float:
        points = np.stack([(front.costs - low) / (high - low), front.errors / worst], axis=1)
        return hypervolume(points, (1.0 + 1e-9, 1.0 + 1e-9))

    return volume(found) / volume(bound)


def _timed(work: Callable[[], Found], repeats: int = 1) -> tuple[float, Found]:
    """The best processor time in seconds, and the answer."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        found = work()
        times.append(time.process_time() - start)
    return min(times), found


def _one_limit(costs: Sequence[np.ndarray], errors: Sequence[np.ndarray], limit: float) -> float:
    """A program for one limit alone, at 10,000 steps rounded to nearest; its error, whatever it really costs."""
    alive = [pareto_front_2d(c, e) for c, e in zip(costs, errors, strict=True)]
    thin = [c[keep] for c, keep in zip(costs, alive, strict=True)]
    grain = limit / 10_000
    weights = [np.rint((c - c[0]) / grain).astype(np.intp) for c in thin]
    length = int((limit - sum(float(c[0]) for c in thin)) / grain)
    grid = Grid(weights=weights, grain=grain, length=length, exact=False)
    return float(knapsack(grid, [e[keep] for e, keep in zip(errors, alive, strict=True)]).best[-1])


def additive() -> None:
    """The whole front, and what its peers take for eight limits."""
    write = sys.stdout.write
    costs, errors = instance(LAYERS, OPTIONS, seed=0)
    bound = solve(costs, errors, buckets=10 * BUCKETS)
    write(f"additive, {LAYERS} layers x {OPTIONS} options; best of 5\n")
    for name, buckets in (("hull alone", 0), ("hull and program", BUCKETS)):
        ours_s, found = _timed(partial(solve, costs, errors, buckets=buckets), repeats=5)
        share = _share(found, bound)
        write(f"{name:>34}: {ours_s * 1e3:7.1f} ms, {len(found):5d} points, hypervolume {share:.5f}\n")
    step = sum(float(np.ptp(c)) for c in costs) / 4000
    whole = [np.rint(c / step) for c in costs]
    exact_s, exact = _timed(lambda: solve(whole, errors), repeats=5)
    write(f"{'whole costs, exact':>34}: {exact_s * 1e3:7.1f} ms, {len(exact):5d} points\n")
    limits = [share * sum(float(c[0]) for c in costs) for share in SHARES]
    spdy_s, _ = _timed(lambda: [_one_limit(costs, errors, limit) for limit in limits])
    write(f"{'a program a limit, 8 limits':>34}: {spdy_s * 1e3:7.1f} ms, {spdy_s / ours_s:.1f} x the whole front\n")
    milp_s, best = _timed(lambda: [solve_resources([c[:, None] for c in costs], errors, [limit]) for limit in limits])
    over = [found.errors[found.best_within(limit)] / one.error - 1 for limit, one in zip(limits, best, strict=True)]
    write(
        f"{'HiGHS, 8 limits':>34}: {milp_s * 1e3:7.1f} ms, {milp_s / ours_s:.1f} x the whole front, "
        f"{sum(one.status == 'optimal' for one in best)} proven; the front's error is {np.median(over):.2%} "
        f"above it (median; at most {max(over):.2%})\n"
    )
    draw = np.random.default_rng(1)
    three = [
        np.column_stack([c, c * draw.normal(1, 0.2, len(c)).clip(0.4, 2), c[0] * np.geomspace(1, 0.01, len(c))])
        for c in costs
    ]
    dense = np.sum([c[0] for c in three], axis=0)
    several_s, several = _timed(lambda: [solve_resources(three, errors, dense * share) for share in (0.7, 0.5, 0.3)])
    proven = sum(one.status == "optimal" for one in several)
    write(f"{'HiGHS, 3 resources, 3 limits':>34}: {several_s * 1e3:7.1f} ms, {proven} proven\n")


def coupled() -> None:
    """ResNet-50-sized coupled instances, a limit: stage by stage, and as a graph."""
    write = sys.stdout.write
    write(
        "\ncoupled, 16 bottlenecks, 4 residual groups; seconds a limit over shares 0.8, 0.5, 0.3 of dense: mean, most\n"
    )
    for widths in (8, 12, 16):
        for whole in (True, False):
            problem = resnet50(0, widths=widths, whole=whole)
            dense, _ = problem.priced(dict.fromkeys(problem.widths, 0), frozenset())
            limits = [float(dense[0]) * share for share in (0.8, 0.5, 0.3)]
            stages = [_timed(partial(_stage_by_stage, problem, limit)) for limit in limits]
            times = [seconds for seconds, _ in stages]
            gap = max(found.gap / found.error for _, found in stages)
            kind = "whole us" if whole else "floats"
            write(f"{widths:2d} widths, {kind:>8}: stages {np.mean(times):.2f}, {max(times):.2f} s, gap <= {gap:.1e}")
            write(_beside(problem, limits, stages, times) if widths == 8 else "\n")


def _stage_by_stage(problem: CoupledProblem, limit: float) -> CoupledSolution:
    return next(solve_stages(problem, [limit]))


def _as_a_graph(problem: CoupledProblem, limit: float) -> CoupledSolution:
    return next(solve_graph(problem, [[limit]]))


def _beside(problem: CoupledProblem, limits: list[float], stages: list[Timed], times: list[float]) -> str:
    graph = [_timed(partial(_as_a_graph, problem, limit)) for limit in limits]
    graph_s = [seconds for seconds, _ in graph]
    alike = max(abs(a.error - b.error) / b.error for (_, a), (_, b) in zip(stages, graph, strict=True))
    proven = sum(found.status == "optimal" for _, found in graph)
    return (
        f"; graph {np.mean(graph_s):.2f}, {max(graph_s):.2f} s, {proven} of {len(graph)} proven, "
        f"{np.mean(graph_s) / np.mean(times):.0f} x stages, errors differ by <= {alike:.0e}\n"
    )


def main() -> None:
    """Print all tables."""
    additive()
    coupled()


if __name__ == "__main__":
    main()

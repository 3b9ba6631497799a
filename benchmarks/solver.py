"""The whole additive front of 200 layers x 64 options: how long it takes and how much of the exact front it has.

Run: `python -m benchmarks.solver`. The instance is made like measured tables: error rises steeply with sparsity,
latency falls, not monotonely, and layers differ a hundredfold. The bound is the dynamic program over ten times
the buckets, joined with the hull; hypervolume is taken over (latency, error), both as shares of their ranges.
"""

import sys
import time

import numpy as np

from app.search.front import hypervolume
from app.search.solve import Solutions, solve

LAYERS, OPTIONS, BUCKETS = 200, 64, 2000


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


def main() -> None:
    """Print time, number of points and hypervolume."""
    write = sys.stdout.write
    costs, errors = instance(LAYERS, OPTIONS, seed=0)
    bound = solve(costs, errors, buckets=10 * BUCKETS)
    write(f"{LAYERS} layers x {OPTIONS} options; best of 5; share of the front at {10 * BUCKETS} buckets\n")
    for name, buckets in (("hull alone", 0), ("hull and program", BUCKETS)):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            found = solve(costs, errors, buckets=buckets)
            times.append(time.perf_counter() - start)
        share = _share(found, bound)
        write(f"{name:>17}: {min(times) * 1e3:6.1f} ms, {len(found):5d} points, hypervolume {share:.5f}\n")


if __name__ == "__main__":
    main()

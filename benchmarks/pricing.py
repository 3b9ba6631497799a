"""How many plans a second the additive table prices: 54 layers x 42 options, one device and five.

Run: `python -m benchmarks.pricing`. The bound beside it is one gather and one addition a layer in plain
numpy, without any of the table's bookkeeping.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from app.search.price import CostTable

LAYERS, OPTIONS, PLANS = 54, 42, 200_000


def _seconds(call: Callable[[], object], repeats: int = 5) -> float:
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print plans per second."""
    generator = np.random.default_rng(0)
    choices = generator.integers(0, OPTIONS, size=(PLANS, LAYERS), dtype=np.uint8)
    wide = np.ascontiguousarray(choices.T, dtype=np.intp)
    flat = generator.random((LAYERS, OPTIONS))
    bound_s = _seconds(lambda: sum(flat[layer][wide[layer]] for layer in range(LAYERS)))
    write = sys.stdout.write
    write(f"{LAYERS} layers x {OPTIONS} options, {PLANS} plans, best of 5\n")
    write(f"bare numpy gathers: {PLANS / bound_s:,.0f} plans/s\n")
    for devices in (1, 5):
        units_ms = tuple(generator.random((OPTIONS, devices)) for _ in range(LAYERS))
        table = CostTable(tuple(map(str, range(devices))), np.zeros(devices), units_ms)
        elapsed_s = _seconds(lambda table=table: table.totals(choices))  # type: ignore[misc]
        write(f"CostTable.totals, {devices} device(s): {PLANS / elapsed_s:,.0f} plans/s\n")


if __name__ == "__main__":
    main()

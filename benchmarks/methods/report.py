"""The results as Markdown tables: mean ± sample standard deviation over seeds, and the cost of training."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import mean, stdev

from benchmarks.methods.run import Row


def tables(rows: Iterable[Row]) -> Iterator[str]:
    """One table a world and number of steps; patterns in the order they were run."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.world, row.steps), []).append(row)
    for (world, steps), found in groups.items():
        yield _table(world, steps, found)


def _table(world: str, steps: int, rows: Sequence[Row]) -> str:
    patterns = list(dict.fromkeys(row.pattern for row in rows if row.pattern != "dense"))
    methods = list(dict.fromkeys(row.method for row in rows))
    by_key: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_key.setdefault((row.method, row.pattern), []).append(row)
    dense = by_key.get(("dense", "dense"), [])
    dense_s = mean(row.cpu_s for row in dense) if dense else float("nan")
    seeds = sorted({row.seed for row in rows})
    lines = [
        f"{world}: {steps} steps, seeds {', '.join(map(str, seeds))}, {rows[0].samples} test samples; "
        f"dense with the same steps: {_cell(dense)} %",
        "",
        f"| method | {' | '.join(patterns)} | training cost |",
        "|---" * (len(patterns) + 2) + "|",
    ]
    for method in methods:
        if method == "dense":
            continue
        cells = [_cell(by_key.get((method, pattern), [])) for pattern in patterns]
        times = [row.cpu_s for pattern in patterns for row in by_key.get((method, pattern), [])]
        lines.append(f"| {method} | {' | '.join(cells)} | {mean(times) / dense_s:.2f} × |")
    return "\n".join(lines) + "\n"


def _cell(rows: Sequence[Row]) -> str:
    values = [100 * row.accuracy for row in rows]
    if not values:
        return "–"
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"

"""Compare every pruner on equal terms.

    python -m benchmarks.methods digits            minutes: 60 steps of 64, 3 seeds
    python -m benchmarks.methods resnet20          within an hour on two cores: 60 steps of 64, 3 seeds
    python -m benchmarks.methods resnet20 --full   for a GPU: 4,000 steps, 5 seeds, one more sparsity
    python -m benchmarks.methods report            tables of all results so far, and the published figures

Rows are appended to the results as they come, and a run that is there already is not done again: it can be stopped and
started at will. `--workers` runs go side by side, one thread each.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.methods import published
from benchmarks.methods.cases import PATTERNS, SHORT, cases
from benchmarks.methods.report import tables
from benchmarks.methods.run import Row
from benchmarks.methods.work import Work, begin, do
from benchmarks.methods.world import make
from pruning.errors import PruningError
from pruning.masks import Sparse

STEPS = {"digits": 60, "resnet20": 60}
FULL_STEPS = {"digits": 400, "resnet20": 4000}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, or print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*STEPS, "report"])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, help="how many, from 0")
    parser.add_argument("--only", nargs="*", choices=list(PATTERNS), default=list(PATTERNS))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("methods.csv"))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    chosen = parser.parse_args(arguments)
    if chosen.what == "report":
        sys.stdout.write("\n".join([*tables(_read(chosen.results)), published.IMAGENET, published.MNLI]))
        return
    steps = chosen.steps or (FULL_STEPS if chosen.full else STEPS)[chosen.what]
    seeds = range(chosen.seeds or (5 if chosen.full else 3))
    table = SHORT if chosen.what == "resnet20" and not chosen.full else PATTERNS
    patterns = [pattern for kind in chosen.only for pattern in table[kind]]
    known = {row.key for row in _read(chosen.results)}
    wanted = [work for work in _all(chosen.what, patterns, steps, seeds) if work.key not in known]
    _do(wanted, chosen.workers, chosen.results, chosen.shared)


def _all(name: str, patterns: Sequence[Sparse], steps: int, seeds: Sequence[int]) -> Iterator[Work]:
    """Seed by seed, so that a run that is cut short has every method."""
    for seed in seeds:
        yield Work(name, None, None, steps, seed)
        for pattern in patterns:
            for case in cases(pattern):
                yield Work(name, case, pattern, steps, seed)


def _do(wanted: Sequence[Work], workers: int, results: Path, shared: Path) -> None:
    with TemporaryDirectory(prefix="espalier-") as folder, ExitStack() as held:
        make(wanted[0].world, shared, Path(folder))
        start = (wanted[0].world, folder)
        pool = held.enter_context(ProcessPoolExecutor(workers, get_context("spawn"), begin, start))
        pending = {pool.submit(do, work): work for work in wanted}
        for done, future in enumerate(as_completed(pending), start=1):
            work = pending[future]
            try:
                row = future.result()
            except PruningError as error:
                sys.stderr.write(f"{work.key}: {error}\n")
                continue
            _append(results, row)
            sys.stderr.write(
                f"{done} of {len(wanted)}: {row.pattern} {row.method} {row.accuracy:.3f}, {row.cpu_s:.0f} s\n"
            )


def _read(results: Path) -> list[Row]:
    if not results.exists():
        return []
    with results.open(newline="") as file:
        return [Row.read(line) for line in csv.DictReader(file)]


def _append(results: Path, row: Row) -> None:
    new = not results.exists()
    with results.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row.cells()))
        if new:
            writer.writeheader()
        writer.writerow(row.cells())


if __name__ == "__main__":
    main()

"""Compare searches on equal terms.

    python -m benchmarks.search tabular             minutes: real tables, small nets in full
    python -m benchmarks.search digits              the reference network, recovered
    python -m benchmarks.search resnet20 --methods uniform,ours
    python -m benchmarks.search resnet20 --report   the tables of all rows so far

A row that is there is not run again, and no recovery is done twice: it can be stopped and started at will. Methods run
in the order given, seed by seed, so that a run cut short has all of them. One thread.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.search.brute import brute
from benchmarks.search.methods import METHODS, Kind, Method
from benchmarks.search.methods.allocators import one_thread
from benchmarks.search.problem import Problem
from benchmarks.search.report import report
from benchmarks.search.row import append, read, row_of
from benchmarks.search.session import Session, Spent
from benchmarks.search.tabular import joined
from benchmarks.search.trained import Trained
from benchmarks.search.worlds import SCALES, Scale, open_world

_EVALUATIONS: dict[Kind, int] = {"table": 200, "small": 100}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, or print the report."""
    chosen = _parser().parse_args(arguments)
    results = chosen.folder / f"{chosen.what}.csv"
    if chosen.report:
        sys.stdout.write("\n".join(report(read(results), chosen.seeds)) + "\n")
        return
    one_thread()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    names = chosen.methods.split(",") if chosen.methods else list(METHODS)
    if unknown := [name for name in names if name not in METHODS]:
        raise SystemExit(f"there is no method {unknown[0]!r}; there are {list(METHODS)}")
    for problem, kind, budget in _problems(chosen):
        for name, seed in _runs(names, kind, chosen.seeds):
            _run(name, METHODS[name], problem, kind, (budget, seed), results)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["tabular", *SCALES])
    parser.add_argument("--seeds", type=int, default=3, help="search seeds, from 0")
    parser.add_argument("--methods", default="", help="names with commas between; all if not given")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("search-benchmark"))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--budget", type=int, help="recoveries a run, or evaluations on tables")
    parser.add_argument("--steps", type=int, help="of a recovery")
    parser.add_argument("--recovery-seeds", type=int, default=3, help="of the plans compared at the bands")
    parser.add_argument("--device", help="of the catalogue; its prices are analytical")
    parser.add_argument("--precision", default=Scale.precision)
    parser.add_argument("--calibration", type=int, help="samples of the error table and of one-shot losses")
    return parser


def _problems(chosen: argparse.Namespace) -> Iterator[tuple[Problem, Kind, int]]:
    if chosen.what == "tabular":
        tables: list[tuple[Problem, Kind]] = [(p, "table") for p in joined(chosen.shared)]
        tables += [(p, "small") for p in brute(chosen.folder / "brute")]
        for problem, kind in tables:
            yield problem, kind, chosen.budget or _EVALUATIONS[kind]
        return
    scale = SCALES[chosen.what]
    scale = replace(
        scale,
        steps=chosen.steps if chosen.steps is not None else scale.steps,
        recoveries=chosen.budget or scale.recoveries,
        calibration=chosen.calibration or scale.calibration,
        device=chosen.device or scale.device,
        precision=chosen.precision,
        recovery_seeds=tuple(range(chosen.recovery_seeds)),
    )
    world = open_world(chosen.what, scale, chosen.folder / chosen.what, chosen.shared)
    trained = Trained(world, scale, chosen.folder / f"{chosen.what}-kept")
    yield trained, "net", scale.recoveries * trained.evaluation_passes


def _runs(names: Sequence[str], kind: Kind, seeds: int) -> Iterator[tuple[str, int]]:
    """Seed by seed; what draws nothing is run once where nothing is recovered, for recoveries draw too."""
    for seed in range(seeds):
        for name in names:
            if kind in METHODS[name].on and (METHODS[name].drawn or kind == "net" or seed == 0):
                yield name, seed


def _run(name: str, method: Method, problem: Problem, kind: Kind, terms: tuple[int, int], results: Path) -> None:
    budget, seed = terms
    budget *= method.generous if kind == "table" else 1
    if method.missing:
        sys.stderr.write(f"{problem.name}: {name}: skipped, {method.missing}\n")
        return
    if (problem.name, name, seed, budget) in {row.key for row in read(results)}:
        return
    session = Session(problem, budget, seed)
    try:
        method.run(session)
    except Spent:
        pass  # the end that most methods come to
    row = row_of(name, session)
    append(results, row)
    told = f"{row.hv_test:.4f}, {row.evaluations} evaluations, {row.wall_s:.0f} s"
    sys.stderr.write(f"{problem.name}: {name}, seed {seed}: {told}\n")


if __name__ == "__main__":
    main()

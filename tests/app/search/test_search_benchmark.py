"""The search benchmark's own arithmetic, on tables small enough to try every plan of."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.front import hypervolume
from benchmarks.search.methods import METHODS
from benchmarks.search.problem import Point, area
from benchmarks.search.report import pairs, report
from benchmarks.search.row import append, read, row_of
from benchmarks.search.session import Session, Spent
from benchmarks.search.tabular import Joined, joined, weighed

SHARED = Path(__file__).parents[4] / "shared"
TICKS = ((10, 11, 6, 3), (20, 14, 9), (5, 4, 2))
ERRORS = ((0.0, 0.1, 0.2, 0.9), (0.0, 0.4, 0.5), (0.0, 0.02, 0.3))


def problem() -> Joined:
    """Three layers; the second option of the first is slower than dense."""
    dense = sum(ticks[0] for ticks in TICKS)
    return weighed(
        Joined(
            name="toy",
            costs=tuple(np.array(ticks) / dense for ticks in TICKS),
            table=tuple(map(np.array, ERRORS)),
            strengths=tuple(np.arange(len(ticks), dtype=float) for ticks in TICKS),
            overhead=0.0,
            tick=1 / dense,
        )
    )


def run(method: str, budget: int, seed: int = 0) -> Session:
    session = Session(problem(), budget, seed)
    try:
        METHODS[method].run(session)
    except Spent:
        pass
    return session


def test_the_exact_front_is_that_of_every_plan() -> None:
    toy = problem()
    plans = list(product(*(range(len(ticks)) for ticks in TICKS)))
    everything = [(toy.share(plan), toy.loss(plan)) for plan in plans]
    assert toy.whole == pytest.approx(hypervolume(everything, toy.reference), rel=1e-9)


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_area_is_the_hypervolume(points: list[tuple[float, float]]) -> None:
    assert area(points, (1.5, 1.2)) == pytest.approx(hypervolume(points, (1.5, 1.2)), abs=1e-12)


def test_the_solver_has_the_whole_front_without_an_evaluation() -> None:
    session = run("ours unseen", budget=0)
    assert (session.evaluations, session.passes) == (0, 0)
    assert session.volumes()[1] == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize(
    "method", ["uniform", "random", "Optuna NSGA-II", "TPE multivariate", "SPDY", "EvoPress-style", "FastNAS-style"]
)
def test_nobody_spends_more_than_the_budget_or_beats_the_exact_front(method: str) -> None:
    session = run(method, budget=12)
    assert 0 < session.passes <= 12
    assert session.evaluations == len(session.trail)
    assert 0 < session.volumes()[0] <= 1 + 1e-9


def test_a_drawn_method_repeats_itself_and_another_seed_does_not() -> None:
    first, again, other = (run("random", 12, seed) for seed in (0, 0, 1))
    assert [s.plan for s in first.trail] == [s.plan for s in again.trail] != [s.plan for s in other.trail]


def test_where_the_samples_cannot_tell_the_slower_plan_is_chosen() -> None:
    session = Session(problem(), 100, 0)
    for latency, loss in ((0.2, 1.0), (0.3, 0.51), (0.4, 0.5), (0.45, 0.52), (0.5, 0.56), (0.7, 0.1)):
        point = Point(latency=latency, validation=loss, test=0.0, doubt=0.03)
        session.record(str(latency), point)
    chosen = {band: session.best(band) for band in (0.1, 0.25, 0.4, 0.45, 0.6, 0.7)}
    assert [step and step.plan for step in chosen.values()] == [None, "0.2", "0.4", "0.45", "0.45", "0.7"]


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [row_of(name, run(name, 12)) for name in ("uniform", "ours unseen")]
    for row in rows:
        append(tmp_path / "rows.csv", row)
    assert read(tmp_path / "rows.csv") == rows
    assert "| ours unseen | 1 | 0 |" in "\n".join(report(rows, 3))


def test_pairs_share_search_and_recovery_seed() -> None:
    row = row_of("uniform", run("uniform", 12))

    def with_accuracy(seed: int, *accuracy: float) -> object:
        bands = {"0.6": {"latency": 0.6, "loss": [], "accuracy": list(accuracy), "plan": ""}}
        return type(row)(**{**vars(row), "seed": seed, "bands": bands})

    ours = [with_accuracy(0, 0.5, 0.6), with_accuracy(1, 0.7, 0.8)]
    drawn = [with_accuracy(1, 0.6, 0.6), with_accuracy(0, 0.4, 0.4)]
    assert pairs(ours, drawn, "0.6") == pytest.approx([10, 20, 10, 20])
    assert pairs(ours, drawn[1:], "0.6") == pytest.approx([10, 20, 30, 40])  # it was run once: paired with all
    assert pairs(ours, drawn, "0.25") == []


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "latency_tables").is_dir(), reason=f"{SHARED / 'latency_tables'} is not there")
def test_of_real_tables_the_solver_has_the_exact_front_unseen() -> None:
    for table in joined(SHARED):
        session = Session(table, 0, 0)
        METHODS["ours unseen"].run(session)
        assert session.volumes()[1] >= 0.995, table.name

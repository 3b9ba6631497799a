"""One run as one row of the results, and the results as a CSV file that grows by a row at a time."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from benchmarks.search.problem import area
from benchmarks.search.session import Session

SHARES = (0.9, 0.95, 0.99)  # of a run's own final hypervolume on validation


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a run found. Passes are sample-passes, tables included; on tables they are evaluations.

    `bands` holds by latency band `{"latency", "loss", "accuracy"}` of the plan chosen on validation: test losses and
    accuracies, one a recovery seed. `course` holds `[passes, seconds, hypervolume on validation, on test]` where the
    first of the two rose.
    """

    problem: str
    method: str
    seed: int
    budget: int
    passes: int
    table_passes: int
    evaluations: int
    wall_s: float
    hv_validation: float
    hv_test: float
    passes_to_90: int
    passes_to_95: int
    passes_to_99: int
    wall_to_99_s: float
    bands: dict[str, Any]
    course: list[Any]

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What makes a run the same run."""
        return (self.problem, self.method, self.seed, self.budget)

    @classmethod
    def read(cls, cells: Mapping[str, str]) -> "Row":
        """From a line of the results."""
        kinds: Mapping[str, Any] = {"problem": str, "method": str, "bands": json.loads, "course": json.loads}
        casts = {name: kinds.get(name) or {int: int, float: float}[kind] for name, kind in cls.__annotations__.items()}
        return cls(**{name: cast(cells[name]) for name, cast in casts.items()})

    def cells(self) -> dict[str, Any]:
        """As a line of the results."""
        return asdict(self) | {"bands": json.dumps(self.bands), "course": json.dumps(self.course)}


def row_of(method: str, session: Session) -> Row:
    """What a finished run is worth; plans at the bands are recovered from every recovery seed, outside the budget."""
    course = _course(session)
    final = course[-1][2] if course else 0.0
    reached = [next((c for c in course if c[2] >= share * final), (0, 0.0, 0.0, 0.0)) for share in SHARES]
    seen, told = session.volumes()
    return Row(
        problem=session.problem.name,
        method=method,
        seed=session.seed,
        budget=session.budget,
        passes=session.passes,
        table_passes=session.table_passes,
        evaluations=session.evaluations,
        wall_s=round(session.wall_s, 2),
        hv_validation=seen,
        hv_test=told,
        passes_to_90=reached[0][0],
        passes_to_95=reached[1][0],
        passes_to_99=reached[2][0],
        wall_to_99_s=reached[2][1],
        bands=_bands(session),
        course=course,
    )


def _course(session: Session) -> list[Any]:
    """Where the front chosen on validation grew, with its hypervolumes; a point that is dominated changes nothing."""
    course: list[Any] = []
    front: list[tuple[float, float, float]] = []
    reference, whole = session.problem.reference, session.problem.whole
    for step in session.trail:
        at = (step.point.latency, step.point.validation, step.point.test)
        if any(x <= at[0] and y <= at[1] for x, y, _ in front) or not isfinite(at[1]):
            continue
        front = [*(point for point in front if point[0] < at[0] or point[1] < at[1]), at]
        seen = area([(latency, validation) for latency, validation, _ in front], reference) / whole
        told = area([(latency, test) for latency, _, test in front], reference) / whole
        if not course or seen > course[-1][2]:
            course.append([step.passes, round(step.wall_s, 2), round(seen, 6), round(told, 6)])
    return course


def _bands(session: Session) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for band in session.problem.bands:
        step = session.best(band)
        if step is None:
            continue
        seeds = session.problem.recovery_seeds or (session.seed,)
        points = [session.problem.point(step.plan, seed)[0] for seed in seeds]
        found[f"{band:g}"] = {
            "latency": round(step.point.latency, 4),
            "loss": [round(point.test, 5) for point in points],
            "accuracy": [round(point.accuracy, 5) for point in points if isfinite(point.accuracy)],
            "plan": session.problem.digest(step.plan),
        }
    return found


def read(path: Path) -> list[Row]:
    """All rows so far."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [Row.read(line) for line in csv.DictReader(file)]


def append(path: Path, row: Row) -> None:
    """One more."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row.cells()))
        if new:
            writer.writeheader()
        writer.writerow(row.cells())

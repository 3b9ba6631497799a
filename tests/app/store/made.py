"""Rows and values for the store's tests."""

from typing import Any

from sqlalchemy.orm import Session

from app.search.spec import SearchSpec
from app.search.trial import Measurement, Trial, TrialCost
from app.store import projects, searches, tables
from pruning.patterns import Unstructured
from pruning.plan import PruningPlan

PROFILE = "01900000-0000-7000-8000-00000000000a"
OTHER_PROFILE = "01900000-0000-7000-8000-00000000000b"


def project(s: Session) -> str:
    """The id of the default project."""
    return projects.default(s).id


def other_project(s: Session) -> str:
    """The id of a new project of somebody else."""
    row = tables.Project(slug="other", name="Other")
    s.add(row)
    s.flush()
    return row.id


def spec(**changes: Any) -> SearchSpec:
    """A spec whose parts need not exist."""
    return SearchSpec(**{"model": "m", "dataset": "d", "profiles": (PROFILE, OTHER_PROFILE), "name": "n", **changes})


def search(s: Session, **changes: Any) -> str:
    """The id of a new search in the default project."""
    return searches.add(s, project_id=project(s), spec=spec(**changes)).id


def asked(number: int, *, latency_ms: float | None = 1.0, **changes: Any) -> Trial:
    """A trial that was asked for; no cost at all where the latency is None."""
    costs = ()
    if latency_ms is not None:
        shares = {"sources": {"measured": 1.0}, "derivations": {"exact": 1.0}}
        costs = tuple(TrialCost(profile=p, latency_ms=latency_ms, **shares) for p in (PROFILE, OTHER_PROFILE))
    fields: dict[str, Any] = {
        "number": number,
        "role": ("dense", "dense_recovered")[number] if number < 2 else "searched",
        "state": "queued",
        "plan": PruningPlan(pruner="magnitude", patterns={"conv1": Unstructured(0.5)}),
        "seed": number,
        "recovery_steps": 10,
        "costs": costs,
    }
    return Trial(**{**fields, **changes})


def accuracy(value: float, fidelity: int = 10, split: Any = "validation") -> Measurement:
    """A measured accuracy."""
    return Measurement(
        metric="accuracy", value=value, standard_error=0.01, samples=100, seed=0, fidelity=fidelity, split=split
    )


def complete(trial: Trial, value: float | None) -> Trial:
    """The same trial at its end; without accuracy where the value is None."""
    measured = () if value is None else (accuracy(value), accuracy(value - 0.01, split="test"))
    return trial.evolve(state="complete", measurements=measured, attempts=1, report={"layers": []})

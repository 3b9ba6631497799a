"""Ours: `app.search.run` itself, through its inline executor; and with each of its parts switched off.

The search runs as a user's would: its own table, solver, sampler and trials. Only the last step of a trial task is
replaced, by the benchmark's recovery that every method shares. The two dense trials are the reference lines that all
methods have for nothing; everything else is paid for, the error table in full. One recovery for each latency band is
set aside: the search runs on the rest, then the plan that the solver names for the band, by the table as the search's
losses corrected it, is tried with the pruner that did best there. Of all that was tried the best counts, as with every
method.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from app.jobs.inline import InlineExecutor
from app.search.events import ScoresReady, TrialFinished
from app.search.refit import observe, refit
from app.search.run import Problem as SearchProblem
from app.search.run import run
from app.search.spec import ErrorTable, SearchSpec
from app.search.tasks.base import Answer, Report
from app.search.trial import Trial
from benchmarks.search.problem import Floats, within
from benchmarks.search.session import Session
from benchmarks.search.tabular import Tabular
from benchmarks.search.trained import Trained
from pruning.errors import RecoveryError
from pruning.plan import PruningPlan

_DENSE = ("dense", "dense_recovered")


def searched(session: Session, **changes: Any) -> None:
    """The whole search; `changes` are fields of its spec."""
    problem = session.problem
    assert isinstance(problem, Trained)
    spec = replace(problem.world.spec, **{"seed": session.seed} | changes)
    document = scores(problem, spec.error_table)
    session.pay(int(document["sample_passes"]))
    session.table_passes += int(document["sample_passes"])
    reserve = len(problem.bands) * problem.evaluation_passes
    lowest = problem.passes(spec.rungs[0] if spec.rungs else spec.recovery.steps)
    spec = replace(spec, trials=max(1, (session.left - reserve) // lowest))
    found: list[Trial] = []
    with TemporaryDirectory(prefix="espalier-") as folder:
        executor = InlineExecutor(Path(folder), tasks={"trial": _task(problem, session)})
        with closing(run(_problem(problem, spec), executor, scores=document)) as events:
            for event in events:
                if isinstance(event, TrialFinished) and event.trial.role not in _DENSE:
                    found.append(event.trial)
                    _record(session, event.trial)
                if session.left < reserve + problem.evaluation_passes:
                    break
    errors = [np.asarray(row, dtype=np.float64) for row in document["errors"]]
    observed = observe(found, problem.space) if spec.refit else None
    _at_bands(session, refit(errors, observed, problem.space) if observed else errors)


def solver_alone(session: Session, *, pruner: str = "magnitude") -> None:
    """The additive front of the error table, tried at the targets; no sampler, no refit, no rungs."""
    problem = session.problem
    front = problem.front(session.errors())
    for target in problem.targets:
        plan = within(problem, front, target)
        if plan is not None:
            session.evaluate(replace(plan, pruner=pruner) if isinstance(plan, PruningPlan) else plan)


def unseen(session: Session, **settings: Any) -> None:
    """On tables: the whole additive front, offered without a single evaluation."""
    problem = session.problem
    assert isinstance(problem, Tabular)
    errors = session.errors()
    for plan in problem.front(errors, **settings):
        assert isinstance(plan, tuple)
        session.offer(plan, sum(float(error[i]) for error, i in zip(errors, plan, strict=True)))


def scores(problem: Trained, kind: ErrorTable = "oneshot") -> dict[str, Any]:
    """The document of the search's own error table, measured once."""

    def measure() -> dict[str, Any]:
        spec = replace(problem.world.spec, error_table=kind)
        with TemporaryDirectory(prefix="espalier-") as folder:
            with closing(run(_problem(problem, spec), InlineExecutor(Path(folder)))) as events:
                return next(dict(event.document) for event in events if isinstance(event, ScoresReady))

    return problem.remembered(f"scores-{kind}-{problem.calibration}-{problem.scale.device}", measure)


def _problem(problem: Trained, spec: SearchSpec) -> SearchProblem:
    return SearchProblem(
        spec=spec, model=problem.world.model, cost_models=problem.cost_models, files=problem.world.files
    )


def _task(problem: Trained, session: Session) -> Callable[[Mapping[str, Any], Path, Report], Answer]:
    """The trial task, charged; the dense ones are not."""

    def trial(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:  # noqa: ARG001 - the seam's
        asked = payload["trial"]
        plan, steps = PruningPlan.from_json(asked["plan"]), int(asked["recovery_steps"])
        if asked["role"] not in _DENSE:
            session.pay(problem.passes(steps))
        with session.credited() as credit:
            record = problem.recovered(plan, steps, int(asked["seed"]))
            credit(record["s"])
        if not record["measurements"]:
            raise RecoveryError(record["failure"])
        return {"measurements": record["measurements"], "report": {"sample_passes": problem.passes(steps)}}, {}

    return trial


def _record(session: Session, trial: Trial) -> None:
    problem = session.problem
    assert isinstance(problem, Trained)
    if trial.state == "complete":
        session.record(trial.plan, problem.point(trial.plan, trial.seed)[0])


def _at_bands(session: Session, errors: Sequence[Floats]) -> None:
    problem = session.problem
    front = problem.front(errors)
    for band in problem.bands:
        plan, best = within(problem, front, band), session.best(band)
        if isinstance(plan, PruningPlan):
            like = best.plan if best else plan
            assert isinstance(like, PruningPlan)
            session.evaluate(replace(plan, pruner=like.pruner, settings=like.settings))

"""Ours: `app.search.run` itself, through its inline executor; and with each of its parts switched off.

The search runs as a user's would: its own table, solver, sampler and trials. Only the last step of a trial task is
replaced, by the benchmark's recovery that every method shares. The two dense trials are the reference lines that all
methods have for nothing; everything else is paid for, the error table in full. The bands at which methods are compared
are the search's `targets`, as other methods try them first. One trial is asked for at a time, as of other samplers.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.jobs.inline import InlineExecutor
from app.search.events import ScoresReady, TrialFinished
from app.search.proposals.coordinates import USUAL_SHARPNESS
from app.search.pruners import SOLVERS
from app.search.run import Problem as SearchProblem
from app.search.run import run
from app.search.space.coupled_front import Couplings
from app.search.spec import ErrorTable, SearchSpec
from app.search.tasks.base import Answer, Report
from app.search.trial import Trial
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
    spec = replace(problem.world.spec, **{"seed": session.seed, "width": 1} | changes)
    document = scores(problem, spec.error_table)
    session.pay(int(document["sample_passes"]))
    session.table_passes += int(document["sample_passes"])
    lowest = problem.passes(spec.rungs[0] if spec.rungs else spec.recovery.steps)
    dearest = problem.calibration if SOLVERS & {*spec.pruners} else 0
    spec = replace(spec, trials=max(1, session.left // lowest), targets=problem.bands)
    with TemporaryDirectory(prefix="espalier-") as folder:
        executor = InlineExecutor(Path(folder), tasks={"trial": _task(problem, session)})
        with closing(run(_problem(problem, spec), executor, scores=document)) as events:
            for event in events:
                if isinstance(event, TrialFinished) and event.trial.role not in _DENSE:
                    _record(session, event.trial)
                if session.left < problem.evaluation_passes + dearest:
                    break


def solver_alone(session: Session, *, pruner: str = "magnitude", sharpness: float = USUAL_SHARPNESS) -> None:
    """The solver's plans by the error table, tried at the targets; no sampler, no refit, no uniform plans, no rungs."""
    problem = session.problem
    assert isinstance(problem, Trained)
    errors = [error**sharpness for error in session.errors()]
    solver = Couplings(problem.world.model, problem.space, problem.cost_models)
    for target in problem.targets:
        choices = next(solver.offers("device", errors, target * problem.dense_ms), None)
        if choices is not None:
            session.evaluate(problem.space.plan(choices, pruner))


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
            session.pay(problem.passes(steps) + problem.solving(plan))
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

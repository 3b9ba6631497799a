"""What searches took, as their trials and times say, and what estimates of later ones rest on."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.store import tables
from app.store.records import KnownPlan, SearchRecord
from app.store.rows import behind, record

_S, _T, _M = tables.Search, tables.Trial, tables.Measurement
_RUNS = "runs"  # in a trial's report: sample passes by recovery steps, a run each


def spent(s: Session, search_id: str) -> dict[str, Any]:
    """What a search's trials took so far.

    `seconds` from the first that was asked for to the last that was recorded; `sample_passes` without the error
    table, null where a trial that ran does not say.
    """
    first, last = s.execute(
        select(func.min(_T.created_at), func.max(_T.finished_at)).where(_T.search_id == search_id)
    ).one()
    ran = select(_T.recovery_steps, _T.report[_RUNS], _T.report["sample_passes"])
    rows = s.execute(ran.where(_T.search_id == search_id, _T.finished_at.is_not(None), _T.attempts > 0)).all()
    recoveries, passes = 0, [total for *_, total in rows]
    for steps, runs, _ in rows:
        recoveries += sum(int(key) > 0 for key in runs) if runs else steps > 0
    return {
        "seconds": (last - first).total_seconds() if first and last else 0.0,
        "trials": len(rows),
        "recoveries": recoveries,
        "sample_passes": None if None in passes else sum(passes),
    }


def of_project(s: Session, project_id: str, *, limit: int, model_id: str | None = None) -> list[SearchRecord]:
    """The newest searches that have ended and say what they took; of one model if that is given."""
    query = select(_S).where(_S.project_id == project_id, _S.actual.is_not(None))
    if model_id is not None:
        query = query.where(_S.spec["model"].as_string() == model_id)
    return [record(SearchRecord, row) for row in s.scalars(query.order_by(_S.id.desc()).limit(limit))]


def estimated(s: Session, project_id: str, *, limit: int, after: str | None = None) -> list[SearchRecord]:
    """The searches that have ended and had been estimated, newest first, from behind the id `after`."""
    query = select(_S).where(_S.project_id == project_id, behind(_S, after))
    query = query.where(_S.estimate.is_not(None), _S.actual.is_not(None))
    return [record(SearchRecord, row) for row in s.scalars(query.order_by(_S.id.desc()).limit(limit))]


def known_plans(s: Session, search_ids: Sequence[str], *, metric: str, limit: int) -> list[KnownPlan]:
    """The complete trials of these searches, of the newest first, with qualities and the noise of their metric."""
    noise = (
        select(func.max(_M.standard_error))
        .where(_M.trial_id == _T.id, _M.split == "validation", _M.metric == metric, _M.origin.is_(None))
        .scalar_subquery()
    )
    query = (
        select(_T.search_id, _T.plan, _T.quality, _T.recovery_steps, noise.label("standard_error"))
        .where(_T.search_id.in_(search_ids), _T.state == "complete", _T.quality.is_not(None))
        .order_by(_T.search_id.desc(), _T.number)
        .limit(limit)
    )
    return [
        KnownPlan(
            search_id=row.search_id,
            plan=row.plan,
            quality=float(row.quality or 0.0),
            standard_error=row.standard_error or 0.0,
            recovery_steps=row.recovery_steps,
        )
        for row in s.execute(query)
    ]

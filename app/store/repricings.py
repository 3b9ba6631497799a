"""Prices of stored trials on profiles that came after their search; measurements are never touched."""

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Table, delete, func, insert, select
from sqlalchemy.orm import Session

from app.search.trial import TrialCost
from app.store import fronts, tables
from app.store.records import CompletePlan, RepricingRecord
from app.store.rows import record

_T, _C, _R = tables.Trial, tables.TrialCost, tables.Repricing
_COSTS = cast(Table, _C.__table__)  # ten thousand rows: what the mapper would check is known


def complete_plans(s: Session, search_id: str) -> list[CompletePlan]:
    """The plans of a search's complete trials, by number."""
    query = select(_T.id, _T.number, _T.plan).where(_T.search_id == search_id, _T.state == "complete")
    rows = s.execute(query.order_by(_T.number))
    return [CompletePlan(trial_id=trial_id, number=number, plan=plan) for trial_id, number, plan in rows]


def store(
    s: Session,
    search_id: str,
    profile_id: str,
    calibration_id: str | None,
    prices: Sequence[tuple[CompletePlan, TrialCost]],
) -> None:
    """Write the prices of a search's trials on a profile that is not its own, and the front there.

    Earlier prices on that profile are replaced: they were another calibration's, or of fewer trials.
    """
    s.execute(select(tables.Search.id).where(tables.Search.id == search_id).with_for_update())
    mine = select(_T.id).where(_T.search_id == search_id)
    s.execute(delete(_C).where(_C.profile_id == profile_id, _C.trial_id.in_(mine)))
    s.execute(delete(_R).where(_R.search_id == search_id, _R.profile_id == profile_id))
    last = s.scalar(select(func.max(_C.position)).where(_C.trial_id.in_(mine)))
    rows = [
        {
            "trial_id": plan.trial_id,
            "profile_id": profile_id,
            "position": 0 if last is None else last + 1,
            "latency_ms": cost.latency_ms,
            "low_ms": cost.low_ms,
            "high_ms": cost.high_ms,
            "energy_mj": cost.energy_mj,
            "weight_bytes": cost.weight_bytes,
            "sources": dict(cost.sources),
            "derivations": dict(cost.derivations),
        }
        for plan, cost in prices
    ]
    if rows:
        s.execute(insert(_COSTS), rows)
    s.execute(insert(_R).values(search_id=search_id, profile_id=profile_id, calibration_id=calibration_id))
    fronts.update(s, search_id, [profile_id])


def of_search(s: Session, search_id: str) -> dict[str, RepricingRecord]:
    """The later profiles that a search has prices on, by profile, in the order in which they came."""
    query = select(_R).where(_R.search_id == search_id).order_by(_R.created_at, _R.profile_id)
    return {row.profile_id: record(RepricingRecord, row) for row in s.scalars(query)}


def latencies_ms(s: Session, search_id: str, profile_id: str, numbers: Sequence[int]) -> dict[int, float]:
    """The latencies of these trials on a profile, by number; a trial that has no price there is left out."""
    query = select(_T.number, _C.latency_ms).join(_C, _C.trial_id == _T.id)
    query = query.where(_T.search_id == search_id, _C.profile_id == profile_id, _T.number.in_(numbers))
    return {row.number: row.latency_ms for row in s.execute(query)}

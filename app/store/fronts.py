"""Fronts: stored per search and profile, and always what a recomputation from the trials would give."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from app.search.front import pareto_front
from app.store import tables
from app.store.records import FrontPoint

_P = tables.FrontPoint


def update(s: Session, search_id: str, profile_ids: Sequence[str]) -> None:
    """Bring the stored fronts up to date; belongs into the transaction that recorded a trial.

    Who comes second waits here for the first to commit, and then sees its trial.
    """
    s.execute(select(tables.Search.id).where(tables.Search.id == search_id).with_for_update())
    for profile_id in profile_ids:
        wanted = {point.number: point for point in recomputed(s, search_id, profile_id)}
        there = {point.number: point for point in get(s, search_id, profile_id)}
        if gone := [number for number, point in there.items() if wanted.get(number) != point]:
            place = (_P.search_id == search_id, _P.profile_id == profile_id)
            s.execute(delete(_P).where(*place, _P.number.in_(gone)))
        key = {"search_id": search_id, "profile_id": profile_id}
        if new := [{**key, **vars(point)} for number, point in wanted.items() if there.get(number) != point]:
            s.execute(insert(_P), new)


def get(s: Session, search_id: str, profile_id: str) -> list[FrontPoint]:
    """The stored front, fastest first; each next point is slower and more accurate."""
    query = select(_P.number, _P.latency_ms, _P.accuracy)
    query = query.where(_P.search_id == search_id, _P.profile_id == profile_id).order_by(_P.latency_ms)
    return [FrontPoint(number=n, latency_ms=ms, accuracy=accuracy) for n, ms, accuracy in s.execute(query)]


def recomputed(s: Session, search_id: str, profile_id: str) -> list[FrontPoint]:
    """The front worked out from the complete trials, dense ones too; of equal points the first trial stands."""
    t, c = tables.Trial, tables.TrialCost
    query = (
        select(t.number, c.latency_ms, t.accuracy)
        .join(c, c.trial_id == t.id)
        .where(t.search_id == search_id, t.state == "complete", t.accuracy.is_not(None))
        .where(c.profile_id == profile_id)
        .order_by(t.number)
    )
    rows = [(number, latency_ms, accuracy) for number, latency_ms, accuracy in s.execute(query) if accuracy is not None]
    best = pareto_front([(latency_ms, -accuracy) for _, latency_ms, accuracy in rows])
    return [FrontPoint(number=rows[i][0], latency_ms=rows[i][1], accuracy=rows[i][2]) for i in best]

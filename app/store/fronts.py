"""Fronts: stored per search and profile, and always what a recomputation from the trials would give."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, or_, select
from sqlalchemy.orm import Session

from app.search.front import pareto_front
from app.store import tables
from app.store.records import FleetRow, FrontPoint

_P = tables.FrontPoint


def update(s: Session, search_id: str, profile_ids: Sequence[str]) -> None:
    """Bring the stored fronts up to date; belongs into the transaction that recorded a trial.

    Who comes second waits here for the first to commit, and then sees its trial.
    """
    s.execute(select(tables.Search.id).where(tables.Search.id == search_id).with_for_update())
    for profile_id in profile_ids:
        wanted = {point.number: point for point in _front(_candidates(s, search_id, profile_id))}
        there = {point.number: point for point in get(s, search_id, profile_id)}
        if gone := [number for number, point in there.items() if wanted.get(number) != point]:
            place = (_P.search_id == search_id, _P.profile_id == profile_id)
            s.execute(delete(_P).where(*place, _P.number.in_(gone)))
        key = {"search_id": search_id, "profile_id": profile_id}
        if new := [{**key, **vars(point)} for number, point in wanted.items() if there.get(number) != point]:
            s.execute(insert(_P), new)


def get(s: Session, search_id: str, profile_id: str) -> list[FrontPoint]:
    """The stored front, fastest first; each next point is slower and better."""
    query = select(_P.number, _P.latency_ms, _P.quality)
    query = query.where(_P.search_id == search_id, _P.profile_id == profile_id).order_by(_P.latency_ms)
    return [FrontPoint(number=n, latency_ms=ms, quality=quality) for n, ms, quality in s.execute(query)]


def everywhere(s: Session, search_id: str) -> list[FleetRow]:
    """Every complete trial that was measured, by number, with its latency on every profile that it is priced on."""
    t, c = tables.Trial, tables.TrialCost
    query = (
        select(t.number, t.quality, c.profile_id, c.latency_ms)
        .join(c, c.trial_id == t.id)
        .where(t.search_id == search_id, t.state == "complete", t.quality.is_not(None))
    )
    found: dict[tuple[int, float], dict[str, float]] = {}
    for number, quality, profile_id, latency_ms in s.execute(query.order_by(t.number)):
        found.setdefault((number, float(quality or 0.0)), {})[profile_id] = latency_ms
    return [FleetRow(number=n, quality=quality, latency_ms=latency_ms) for (n, quality), latency_ms in found.items()]


def recomputed(s: Session, search_id: str, profile_id: str) -> list[FrontPoint]:
    """The front worked out from the complete trials, dense ones too; of equal points the first trial stands."""
    return _front(s.execute(_points(search_id, profile_id).order_by(tables.Trial.number)))


def _candidates(s: Session, search_id: str, profile_id: str) -> Iterable[Row[int, float, float]]:
    """The points better than every faster one: the database sifts a million in seconds, Python would not."""
    points = _points(search_id, profile_id).subquery()
    faster = (points.c.latency_ms, points.c.quality.desc(), points.c.number)
    best_before = func.max(points.c.quality).over(order_by=faster, rows=(None, -1)).label("best_before")
    sifted = select(points.c.number, points.c.latency_ms, points.c.quality, best_before).subquery()
    kept = or_(sifted.c.best_before.is_(None), sifted.c.quality > sifted.c.best_before)
    query = select(sifted.c.number, sifted.c.latency_ms, sifted.c.quality).where(kept)
    return s.execute(query.order_by(sifted.c.number))


def _points(search_id: str, profile_id: str) -> Select[int, float, float | None]:
    t, c = tables.Trial, tables.TrialCost
    return (
        select(t.number, c.latency_ms, t.quality)
        .join(c, c.trial_id == t.id)
        .where(t.search_id == search_id, t.state == "complete", t.quality.is_not(None))
        .where(c.profile_id == profile_id)
    )


def _front(rows: Iterable[Row[int, float, Any]]) -> list[FrontPoint]:
    points = [FrontPoint(number=n, latency_ms=latency_ms, quality=quality) for n, latency_ms, quality in rows]
    return [points[i] for i in pareto_front([(point.latency_ms, -point.quality) for point in points])]

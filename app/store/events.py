"""What happened, in order. The id is that of the server-sent event: a reader asks for what came after one."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.store.records import EventRecord
from app.store.rows import plain, record
from app.store.tables import Event

_LARGEST = 2**63 - 1  # a database refuses to compare a key with more


def add(s: Session, *, project_id: str, search_id: str | None = None, kind: str, payload: Mapping[str, Any]) -> int:
    """Note an event; its id.

    PostgreSQL hands out ids before the commit, so that a reader could see a later id first and then skip the
    earlier: writers of one project wait for each other there. SQLite has one writer at a time anyway.
    """
    if s.get_bind().dialect.name == "postgresql":
        s.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"events/{project_id}"))))
    row = Event(project_id=project_id, search_id=search_id, kind=kind, payload=plain(payload))
    s.add(row)
    s.flush()
    return row.id


def newest(s: Session, search_id: str, kind: str) -> EventRecord | None:
    """The last event of that kind in a search; None if there was none."""
    query = select(Event).where(Event.search_id == search_id, Event.kind == kind).order_by(Event.id.desc()).limit(1)
    row = s.scalars(query).one_or_none()
    return None if row is None else record(EventRecord, row)


def after(
    s: Session, project_id: str, *, search_id: str | None = None, after_id: int = 0, limit: int = 100
) -> list[EventRecord]:
    """The project's events, or one search's, behind an id, in order."""
    query = select(Event).where(Event.project_id == project_id, Event.id > min(after_id, _LARGEST))
    if search_id is not None:
        query = query.where(Event.search_id == search_id)
    return [record(EventRecord, row) for row in s.scalars(query.order_by(Event.id).limit(limit))]

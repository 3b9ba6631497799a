"""Events: what happened, to whom, in order. Written by the coordinator in the transaction of the thing itself."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.store import rows
from app.store.records import EventRecord
from app.store.tables import Event


def add(
    session: Session, *, project_id: str, kind: str, payload: Mapping[str, Any], search_id: str | None = None
) -> int:
    """Write one event; answers its id."""
    row = Event(project_id=project_id, search_id=search_id, kind=kind, payload=dict(payload))
    session.add(row)
    session.flush()
    return row.id


def after(
    session: Session, project_id: str, *, after_id: int, limit: int, search_id: str | None = None
) -> list[EventRecord]:
    """Events with a greater id, in order."""
    wanted = select(Event).where(Event.project_id == project_id, Event.id > after_id)
    if search_id is not None:
        wanted = wanted.where(Event.search_id == search_id)
    found = session.execute(wanted.order_by(Event.id).limit(limit)).scalars()
    return [_record(row) for row in found]


def newest_id(session: Session, project_id: str) -> int:
    """The id of the latest event, 0 if there is none."""
    return session.execute(select(func.max(Event.id)).where(Event.project_id == project_id)).scalar() or 0


def _record(row: Event) -> EventRecord:
    return EventRecord(
        id=row.id,
        project_id=row.project_id,
        search_id=row.search_id,
        kind=row.kind,
        payload=row.payload,
        at=rows.iso(row.at),
    )

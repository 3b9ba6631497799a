"""What the repositories have in common: rows to records, lookups inside a project, keyset pages."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import CursorResult, Insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.store.errors import NotFound
from app.store.tables import Base, Owned

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    R = TypeVar("R", bound=DataclassInstance)
else:
    R = TypeVar("R")


T = TypeVar("T", bound=Owned)


def record(kind: type[R], row: Base) -> R:
    """A row as a frozen record; times become ISO 8601 text of one width, which sorts."""
    return kind(**{field.name: shown(getattr(row, field.name)) for field in fields(kind)})


def shown(value: Any) -> Any:
    """A column's value as records carry it."""
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document as the database gives it back: dicts, lists, text keys.

    Raises:
        ValueError: it holds NaN or an infinity, which is not JSON.
        TypeError: it holds something else that is not JSON.
    """
    answer: dict[str, Any] = json.loads(json.dumps(document, default=_mapping, allow_nan=False))
    return answer


def plain_or_none(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`plain`, where nothing stays nothing."""
    return None if document is None else plain(document)


def _mapping(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def found(s: Session, table: type[T], kind: str, project_id: str, key: str) -> T:
    """The row with that key in the project, else NotFound."""
    row = s.scalars(select(table).where(table.id == key, table.project_id == project_id)).one_or_none()
    if row is None:
        raise NotFound(kind, key)
    return row


def by_id(s: Session, table: type[T], kind: str, key: str) -> T:
    """The row with that key, for the coordinator, who serves all projects; else NotFound."""
    row = s.get(table, key, with_for_update=True)
    if row is None:
        raise NotFound(kind, key)
    return row


def newest(s: Session, table: type[T], project_id: str, limit: int, after: str | None) -> Sequence[T]:
    """A page of the project's rows, newest first, that begins behind the key `after`."""
    query = select(table).where(table.project_id == project_id)
    if after is not None:
        query = query.where(table.id < after)
    return s.scalars(query.order_by(table.id.desc()).limit(limit)).all()


def insert_unless_there(s: Session, table: type[Base], values: Mapping[str, Any]) -> bool:
    """Insert a row unless one with its key stands there, or is just being written; whether it was inserted."""
    postgres = s.get_bind().dialect.name == "postgresql"
    insert: Insert = (postgresql.insert if postgres else sqlite.insert)(table).values(**values).on_conflict_do_nothing()
    result = s.execute(insert)
    assert isinstance(result, CursorResult)
    return bool(result.rowcount)

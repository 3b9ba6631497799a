"""What the repositories have in common: rows to records, lookups inside a project, keyset pages."""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import ColumnElement, false, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.store.errors import NotFound, NotJson
from app.store.tables import Base, Owned

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    R = TypeVar("R", bound=DataclassInstance)
else:
    R = TypeVar("R")


T = TypeVar("T", bound=Owned)
_KEY = re.compile(r"[0-9a-f-]{36}", re.ASCII)
_NAME_LENGTH = 200


def record(kind: type[R], row: Base) -> R:
    """A row as a frozen record; times become ISO 8601 text of one width, which sorts."""
    return kind(**{field.name: shown(getattr(row, field.name)) for field in fields(kind)})


def shown(value: Any) -> Any:
    """A column's value as records carry it."""
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document as the database gives it back: dicts, lists, text keys.

    Raises:
        NotJson: it holds NaN, an infinity, or something else that is not JSON.
    """
    try:
        answer: dict[str, Any] = json.loads(json.dumps(document, default=_mapping, allow_nan=False))
    except (ValueError, TypeError) as error:
        raise NotJson(f"What was to be stored is not JSON: {error}") from error
    return answer


def plain_or_none(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """`plain`, where nothing stays nothing."""
    return None if document is None else plain(document)


def _mapping(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def label(name: str) -> str:
    """A name as both databases take it: cut to its column, and nothing in it that PostgreSQL's text cannot hold."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in name)[:_NAME_LENGTH]


def is_key(text: str) -> bool:
    """Whether a text from outside looks like a key; what does not is never shown to the database."""
    return _KEY.fullmatch(text) is not None


def found(s: Session, table: type[T], kind: str, project_id: str, key: str) -> T:
    """The row with that key in the project, else NotFound."""
    query = select(table).where(table.id == key, table.project_id == project_id)
    row = s.scalars(query).one_or_none() if is_key(key) else None
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
    query = select(table).where(table.project_id == project_id, behind(table, after))
    return s.scalars(query.order_by(table.id.desc()).limit(limit)).all()


def behind(table: type[T], after: str | None) -> ColumnElement[bool]:
    """That a row, newest first, comes behind the key `after`; nothing comes behind what is no key."""
    if after is None:
        return true()
    return table.id < after if is_key(after) else false()


def insert_unless_there(s: Session, table: type[Base], values: Mapping[str, Any]) -> bool:
    """Insert a row unless one with its key stands there, or is just being written; whether it was inserted."""
    insert = insert_new(s, table).values(**values)
    # a row comes back if it was inserted; the count of rows is not told by every driver
    return s.execute(insert.returning(*table.__mapper__.primary_key)).first() is not None


def insert_new(s: Session, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An insert that passes over rows whose key is there already, or is just being written."""
    postgres = s.get_bind().dialect.name == "postgresql"
    return (postgresql.insert if postgres else sqlite.insert)(table).on_conflict_do_nothing()

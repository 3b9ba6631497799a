"""What every repository does: fetch one row of a project or say that there is none, page by key, show times."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.errors import NotFound
from app.store.tables import Owned

Row = TypeVar("Row", bound=Any)


def iso(moment: datetime) -> str:
    """A time as ISO 8601 in UTC; SQLite gives times back without their zone, which is UTC."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")


def iso_or_none(moment: datetime | None) -> str | None:
    """Likewise, for what may not have happened yet."""
    return None if moment is None else iso(moment)


def owned(session: Session, table: type[Row], project_id: str, row_id: str) -> Row:
    """The row of that project; the only way to fetch one for a user.

    Raises:
        NotFound: no such row, or another project's, which looks the same.
    """
    assert issubclass(table, Owned)
    found = session.execute(select(table).where(table.id == row_id, table.project_id == project_id))
    row = found.scalar_one_or_none()
    if row is None:
        raise NotFound(table.__name__.lower(), row_id)
    return row


def by_id(session: Session, table: type[Row], row_id: str) -> Row:
    """The row with that key, for a coordinator, which serves every project.

    Raises:
        NotFound: no such row.
    """
    row = session.get(table, row_id)
    if row is None:
        raise NotFound(table.__name__.lower(), row_id)
    return row


def newest(
    session: Session,
    table: type[Row],
    project_id: str,
    *,
    limit: int,
    after: str | None,
    state: str | None = None,
) -> Sequence[Row]:
    """A page of a project's rows, newest first; `after` is the last key of the page before."""
    wanted = select(table).where(table.project_id == project_id)
    if after is not None:
        wanted = wanted.where(table.id < after)
    if state is not None:
        wanted = wanted.where(table.state == state)
    return session.execute(wanted.order_by(table.id.desc()).limit(limit)).scalars().all()


def in_states(session: Session, table: type[Row], *states: str) -> Sequence[Row]:
    """The rows in one of these states, oldest first, whatever their project."""
    return session.execute(select(table).where(table.state.in_(states)).order_by(table.id)).scalars().all()

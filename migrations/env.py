"""Alembic's entry: runs revisions on the connection it is given, or on the database of the settings."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON, Connection

from app.store.database import Database
from app.store.schema import VERSION_TABLE
from app.store.tables import Base, Utc


def render(kind: str, item: Any, _: object) -> str | Literal[False]:
    """Types are written out as what the database sees of them, for a revision must not import us."""
    if kind == "type" and isinstance(item, Utc):
        return "sa.DateTime(timezone=True)"
    return "sa.JSON()" if kind == "type" and isinstance(item, JSON) else False


def run(connection: Connection) -> None:
    """Run what the command asks for; the caller's transaction, if there is one, holds all of it."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        render_as_batch=True,
        compare_server_default=True,
        transactional_ddl=True,
        render_item=render,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_from_command_line() -> None:
    """For `alembic revision --autogenerate` and the like: the database that the settings name."""
    from app.settings import Settings

    database = Database(Settings().resolved_database_url)
    try:
        with database.begin() as session:
            run(session.connection())
    finally:
        database.dispose()


if context.is_offline_mode():
    raise SystemExit("Espalier's migrations run on a database; they are not written out as SQL.")
given = context.config.attributes.get("connection")
if isinstance(given, Connection):
    run(given)
else:
    run_from_command_line()

"""Alembic's entry: runs the revisions on the connection it is given, or on the one the settings name."""

from typing import Any

from alembic import context
from sqlalchemy import Connection

from app.settings import Settings
from app.store.database import Database
from app.store.tables import Base


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite alters a table by copying it
        compare_type=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Any = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with Database(Settings().resolved_database_url).engine.connect() as own:
        _run(own)
        own.commit()

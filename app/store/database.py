"""The database: engine, sessions, migrations. SQLite in WAL mode by default, PostgreSQL for teams.

SQLite: WAL lets readers read while one writes; a writer begins IMMEDIATE, so that two writers queue at the start of
a transaction (up to `busy_timeout`) instead of failing in the middle of one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.store.errors import StoreError

# Sync endpoints run in a pool of 40 threads, each of which may hold a connection.
_POOL = {"pool_size": 10, "max_overflow": 40, "pool_pre_ping": True}
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "foreign_keys=ON")


class Database:
    """One database. Sessions are for one unit of work and end with the `with` block."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._writer = self.engine.execution_options(espalier_write=True)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A session that writes: committed at the end of the block, rolled back if it raises."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads, on one consistent view."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session
            session.rollback()

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to a revision (`head`, `base`, or an id).

        Raises:
            StoreError: the database cannot be reached.
        """
        try:
            with self._writer.connect() as connection:
                config = _config()
                config.attributes["connection"] = connection
                if revision == "base":
                    command.downgrade(config, revision)
                else:
                    command.upgrade(config, revision)
                connection.commit()
        except DBAPIError as error:
            raise StoreError(f"The database {self.shown} cannot be migrated: {error.orig}") from error

    def at_head(self) -> bool:
        """Whether the schema is at the newest migration."""
        newest = set(ScriptDirectory.from_config(_config()).get_heads())
        with self.engine.connect() as connection:
            return set(MigrationContext.configure(connection).get_current_heads()) == newest

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    def dispose(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    return config


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, **_POOL)
    engine = create_engine(url, connect_args={"check_same_thread": False}, **_POOL)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions behind our back
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("espalier_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

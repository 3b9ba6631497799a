"""`Database`: one URL, its connections, and the boundary of a transaction. SQLite and PostgreSQL."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session, sessionmaker

from app.store import schema
from app.store.errors import StoreError

_BUSY_MS = 30_000
_THREADS = 40  # the web server runs that many handlers at once, each with a connection
_WRITES = "espalier_writes"


class Database:
    """An open database. Nothing connects before the first use; safe to share between threads.

    Raises:
        StoreError: the URL is none of a database that Espalier can use.
    """

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self._engine = open_engine(self.url)
        readers = self._engine.execution_options(**{_WRITES: False})
        writers = self._engine.execution_options(**{_WRITES: True})
        if self.url.get_backend_name() == "postgresql":
            readers = readers.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._readers = sessionmaker(readers, expire_on_commit=False)
        self._writers = sessionmaker(writers, expire_on_commit=False)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A transaction that writes: committed at the end of the block, rolled back if an error leaves it.

        On SQLite it holds the one write lock from its start (BEGIN IMMEDIATE), so it never fails half-way.
        """
        with self._writers.begin() as session:
            session.connection()  # begins now, not with the first statement
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent view of the database; a write in it is an error on both databases."""
        with self._readers() as session:
            yield session

    def migrate(self) -> None:
        """Bring the tables to the newest revision; several processes may try at once.

        Raises:
            StoreError: the database cannot be reached, or is newer than this program.
        """
        schema.upgrade(self.url)

    def require_current(self) -> None:
        """Do nothing if the tables are at the newest revision.

        Raises:
            StoreError: they are not, or the database cannot be reached.
        """
        schema.require_current(self._engine)

    def dispose(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def parse_url(text: str) -> URL:
    """The URL of a database that Espalier can use.

    Raises:
        StoreError: it is none.
    """
    try:
        url = make_url(text.replace("postgres://", "postgresql://", 1) if text.startswith("postgres://") else text)
    except ArgumentError:
        raise StoreError("The database URL cannot be read; write sqlite:///path or postgresql://...") from None
    kind = url.get_backend_name()
    if kind == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise StoreError("An SQLite database needs a file: write sqlite:///path/to/espalier.db")
        return url.set(drivername="sqlite+pysqlite")
    if kind == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    raise StoreError(f"Espalier keeps its tables in SQLite or PostgreSQL, not in {kind!r}")


def open_engine(url: URL, **options: Any) -> Engine:
    """An engine with our settings of the database.

    Raises:
        StoreError: its driver is not installed.
    """
    as_json = partial(json.dumps, allow_nan=False, separators=(",", ":"))
    pool = {"pool_size": 10, "max_overflow": _THREADS - 10, **options}
    if "poolclass" in options:
        pool = options
    sqlite = url.get_backend_name() == "sqlite"
    connect = {"timeout": _BUSY_MS / 1000, "check_same_thread": False} if sqlite else {"connect_timeout": 10}
    try:
        engine = create_engine(url, json_serializer=as_json, connect_args=connect, pool_pre_ping=not sqlite, **pool)
    except ImportError:
        raise StoreError("PostgreSQL needs its driver: pip install 'espalier[postgres]'") from None
    if sqlite:
        Path(url.database or "").absolute().parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _settings)
        event.listen(engine, "begin", _begin)
    return engine


def _settings(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin` does
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={_BUSY_MS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, True)
    connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

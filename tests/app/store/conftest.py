"""An open, migrated, empty database: SQLite always, PostgreSQL where the marker `postgres` is asked for."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.store.database import Database
from app.store.tables import Base

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "espalier.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.dispose()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Callable[[], str]) -> Iterator[Database]:
    """A migrated PostgreSQL database, emptied between tests: a new one for each would take longer than the tests."""
    database = Database(postgres())
    database.migrate()
    yield database
    database.dispose()


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty database, open."""
    if request.param == "postgres":
        shared: Database = request.getfixturevalue("migrated_postgres")
        tables = ", ".join(table for table in Base.metadata.tables if table != "projects")
        with shared.begin() as s:
            s.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
            s.execute(text("DELETE FROM projects WHERE slug <> 'default'"))
        yield shared
        return
    path = tmp_path / "espalier.db"
    shutil.copyfile(request.getfixturevalue("template"), path)
    opened = Database(f"sqlite:///{path}")
    yield opened
    opened.dispose()

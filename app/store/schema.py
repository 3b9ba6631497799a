"""The revision of the tables: brought up to date with Alembic, from the package `migrations` beside this one."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, NullPool, event, text
from sqlalchemy.exc import DBAPIError

from app.store.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "espalier_version"  # a name of ours: Optuna's own tables call theirs alembic_version
_LOCK = 0x65737061  # any number, the same in every process


def upgrade(url: URL, revision: str = "head") -> None:
    """Bring the tables up to a revision, in one transaction.

    Raises:
        StoreError: the database cannot be reached, or is newer than this program.
    """
    from alembic import command

    with _migrating(url) as config:
        command.upgrade(config, revision)


def downgrade(url: URL, revision: str) -> None:
    """Take the tables back to a revision, in one transaction; `base` removes them all.

    Raises:
        StoreError: the database cannot be reached, or is newer than this program.
    """
    from alembic import command

    with _migrating(url) as config:
        command.downgrade(config, revision)


def require_current(engine: Engine) -> None:
    """Do nothing if the tables are at the newest revision.

    Raises:
        StoreError: they are not, or the database cannot be reached.
    """
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    newest = ScriptDirectory.from_config(configuration()).get_current_head()
    with _errors_for_people(engine.url), engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        current = context.get_current_revision()
    if current != newest:
        raise StoreError(
            f"The tables of {engine.url} are at revision {current or 'none'}, this program needs {newest}: "
            "run `espalier migrate`, or install the version of Espalier that wrote them."
        )


def configuration() -> "Config":
    """Alembic's configuration, without a file: the scripts are found wherever the package was installed."""
    from alembic.config import Config

    spec = importlib.util.find_spec("migrations")
    if spec is None or not spec.submodule_search_locations:
        raise StoreError("The package `migrations` is missing: install Espalier again")
    config = Config()
    # a % in the path would be read as interpolation
    config.set_main_option("script_location", spec.submodule_search_locations[0].replace("%", "%%"))
    return config


@contextmanager
def _migrating(url: URL) -> "Iterator[Config]":
    from alembic.util import CommandError

    from app.store.database import open_engine

    engine = open_engine(url, poolclass=NullPool)
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite:
        # a table is changed by copying it and dropping the old one, which its children must not notice; this
        # cannot be switched inside a transaction
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=OFF").close())
    config = configuration()
    try:
        with _errors_for_people(url), engine.begin() as connection:
            if not sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            config.attributes["connection"] = connection
            yield config
            if sqlite:
                _check_foreign_keys(connection)
    except CommandError as error:
        raise StoreError(
            f"The tables of {url} are at a revision that this program does not know ({error}): "
            "install the version of Espalier that wrote them, or a newer one."
        ) from error
    finally:
        engine.dispose()


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise StoreError(f"The migration would leave rows of {broken[0][0]!r} without their parent; it was undone")


@contextmanager
def _errors_for_people(url: URL) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        reason = (str(error.orig).strip().splitlines() or ["no reason given"])[0]
        raise StoreError(f"The database {url} cannot be used: {reason[:300]}") from error

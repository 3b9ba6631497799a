"""Transactions: all or nothing, one writer at a time, readers on one view."""

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError, StatementError

from app.store import events, models, projects, tables
from app.store.database import Database, parse_url
from app.store.errors import StoreError
from tests.app.store.made import project


def test_a_block_is_committed_whole_or_not_at_all(database: Database) -> None:
    with database.begin() as s:
        kept = models.add(s, project_id=project(s), name="kept", upload_digest="0" * 64)

    def fail() -> None:
        with database.begin() as s:
            models.add(s, project_id=project(s), name="lost", upload_digest="0" * 64)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.read() as s:
        assert models.page(s, project(s), limit=9) == [kept]


def test_writing_while_reading_is_an_error(database: Database) -> None:
    with database.read() as s:
        mine = project(s)
    with database.read() as s, pytest.raises(DBAPIError):
        models.add(s, project_id=mine, name="sneaked", upload_digest="0" * 64)
    with database.begin() as s:  # and the connection that comes back to the pool can write again
        models.add(s, project_id=mine, name="fine", upload_digest="0" * 64)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_writer_holds_the_lock_from_the_start_of_its_block(database: Database) -> None:
    other = sqlite3.connect(str(database.url.database), timeout=0, isolation_level=None)
    with database.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_reader_sees_one_state_of_things(database: Database) -> None:
    with database.read() as reader:
        mine = project(reader)
        assert models.page(reader, mine, limit=9) == []
        with database.begin() as s:
            models.add(s, project_id=mine, name="meanwhile", upload_digest="0" * 64)
        assert models.page(reader, mine, limit=9) == []
    with database.read() as reader:
        assert len(models.page(reader, mine, limit=9)) == 1


def test_many_writers_lose_nothing(database: Database) -> None:
    with database.read() as s:
        mine = project(s)
    failures: list[BaseException] = []

    def write(kind: str) -> None:
        try:
            for n in range(50):
                with database.begin() as s:
                    events.add(s, project_id=mine, kind=kind, payload={"n": n})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(f"writer{k}",)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with database.read() as s:
        seen = events.after(s, mine, after_id=0, limit=100)
    for k in range(2):
        assert [event.payload["n"] for event in seen if event.kind == f"writer{k}"] == list(range(50))


def test_who_reads_is_not_kept_waiting_by_who_writes(database: Database) -> None:
    with database.begin() as writer:
        mine = project(writer)
        models.add(writer, project_id=mine, name="unfinished", upload_digest="0" * 64)
        with database.read() as reader:
            assert models.page(reader, mine, limit=9) == []


def test_what_is_not_json_is_refused_on_both(database: Database) -> None:
    for wrong in (float("nan"), float("inf")):
        with database.begin() as s, pytest.raises(ValueError, match="JSON"):
            events.add(s, project_id=project(s), kind="k", payload={"loss": wrong})
    with pytest.raises((StatementError, ValueError)), database.begin() as s:
        s.add(tables.Score(key="k", document={"loss": float("nan")}))


def test_times_keep_their_zone_and_need_one(database: Database) -> None:
    from datetime import UTC, datetime, timedelta, timezone

    moment = datetime(2026, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    with database.begin() as s:
        s.add(tables.Lease(name="a", holder="h", epoch=1, expires_at=moment))
    with database.read() as s:
        found = s.get(tables.Lease, "a")
        assert found is not None and found.expires_at == moment and found.expires_at.tzinfo is UTC
    with pytest.raises(StatementError, match="zone"), database.begin() as s:
        s.add(tables.Lease(name="b", holder="h", epoch=1, expires_at=datetime(2026, 1, 1)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "cannot be read"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://me:secret@there/db", "not in 'mysql'"),
    ],
)
def test_other_urls_are_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        Database(text)
    assert "secret" not in str(caught.value)


def test_urls_as_providers_write_them() -> None:
    for text in ("postgres://me:pw@there/db", "postgresql://me:pw@there/db", "postgresql+psycopg2://me:pw@there/db"):
        assert parse_url(text).render_as_string(hide_password=False) == "postgresql+psycopg://me:pw@there/db"


def test_a_database_without_tables_says_what_to_do(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new folder' / 'espalier.db'}")
    with database.read() as s, pytest.raises(StoreError, match="espalier migrate"):
        projects.default(s)
    with pytest.raises(StoreError, match="espalier migrate"):
        database.require_current()
    database.migrate()
    database.require_current()
    with database.read() as s:
        assert projects.default(s).slug == "default"
    database.dispose()


def test_an_unreachable_server_is_an_error_for_people() -> None:
    pytest.importorskip("psycopg", reason="the driver comes with the postgres extra")
    database = Database("postgresql://me:secret@127.0.0.1:9/db")
    for action in (database.migrate, database.require_current):
        with pytest.raises(StoreError, match="cannot be used") as caught:
            action()
        assert "secret" not in str(caught.value)

"""The history of the tables: up, down and up again gives what the code says, on both databases."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from app.store import fronts, projects, schema, searches, trial_requests
from app.store.database import Database
from app.store.errors import StoreError
from app.store.tables import Base

ROOT = Path(__file__).parents[1]
MIGRATE = "from app.store.database import Database; Database(sys.argv[1]).migrate()"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database without tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'espalier.db'}"
    else:
        make: Callable[[], str] = request.getfixturevalue("postgres")
        url = make()
    opened = Database(url)
    yield opened
    opened.dispose()


def differences(database: Database) -> list[Any]:
    """What Alembic would change to bring the tables to the code."""
    engine = create_engine(database.url)
    with engine.connect() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    engine.dispose()
    return list(found)


def names(database: Database) -> dict[str, set[str | None]]:
    """Every table with the names of its constraints and indexes, as the database has them."""
    engine = create_engine(database.url)
    found = inspect(engine)
    answer = {}
    for table in found.get_table_names():
        keys: set[str | None] = {found.get_pk_constraint(table)["name"]}
        for listing in (found.get_foreign_keys, found.get_unique_constraints, found.get_indexes):
            keys |= {entry["name"] for entry in listing(table)}
        answer[table] = keys
    engine.dispose()
    return answer


def test_up_down_and_up_again_is_what_the_code_says(database: Database) -> None:
    database.migrate()
    assert differences(database) == []
    first = names(database)
    schema.downgrade(database.url, "base")
    assert set(names(database)) == {schema.VERSION_TABLE}
    database.migrate()
    assert differences(database) == [] and names(database) == first


def test_every_name_is_the_conventions(database: Database) -> None:
    database.migrate()
    migrated = names(database)
    del migrated[schema.VERSION_TABLE]
    schema.downgrade(database.url, "base")
    engine = create_engine(database.url)
    Base.metadata.create_all(engine)
    engine.dispose()
    made = names(database)
    made.pop(schema.VERSION_TABLE)
    assert migrated == made
    # SQLite writes a key that never repeats as part of its column, without a name
    nameless = {table for table, keys in made.items() if None in keys}
    assert nameless <= ({"events"} if database.url.get_backend_name() == "sqlite" else set())


def test_the_comparison_would_notice(database: Database) -> None:
    database.migrate()
    engine = create_engine(database.url)
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_trials_search_id_state_number"))
        connection.execute(text("ALTER TABLE scores ADD COLUMN stray INTEGER"))
    engine.dispose()
    assert {entry[0] for entry in differences(database)} == {"add_index", "remove_column"}


def test_the_default_project_is_there_and_rows_survive_a_second_migration(database: Database) -> None:
    from app.search.spec import SearchSpec

    database.migrate()
    with database.begin() as s:
        mine = projects.default(s)
        kept = searches.add(s, project_id=mine.id, spec=SearchSpec(model="m", dataset="d", profiles=("p",)))
    database.migrate()
    with database.read() as s:
        assert projects.default(s) == mine and searches.get(s, mine.id, kept.id) == kept


def test_rows_of_the_first_revision_keep_all_they_had(database: Database) -> None:
    """Up to 0002 and back: a price from before intervals were has none, and loses nothing on the way down."""
    schema.upgrade(database.url, "0001")
    values = {"t": "t" * 36, "s": "s" * 36, "at": "2026-01-01 00:00:00+00:00", "p": "p" * 36, "json": "{}"}
    with database.begin() as s:
        values["project"] = s.scalar(text("SELECT id FROM projects"))
        searches_row = "id, created_at, project_id, name, state, spec, desired, seed, epoch"
        s.execute(
            text(f"INSERT INTO searches ({searches_row}) VALUES (:s,:at,:project,'n','q',:json,'run',0,0)"), values
        )
        trial_row = (
            "id, created_at, search_id, number, role, state, plan, plan_digest, seed, recovery_steps, coordinates, "
            "sampler_attributes, report, files, attempts"
        )
        trial = ":t,:at,:s,0,'dense','complete',:json,'d',0,0,:json,:json,:json,:json,1"
        s.execute(text(f"INSERT INTO trials ({trial_row}) VALUES ({trial})"), values)
        cost_row = "trial_id, profile_id, position, latency_ms, sources, derivations"
        s.execute(text(f"INSERT INTO trial_costs ({cost_row}) VALUES (:t,:p,0,1.5,:json,:json)"), values)
    database.migrate()
    read = "SELECT latency_ms, low_ms, high_ms, energy_mj, weight_bytes FROM trial_costs"
    with database.read() as s:
        assert s.execute(text(read)).all() == [(1.5, None, None, None, None)]
    schema.downgrade(database.url, "0001")
    assert "calibrations" not in names(database)
    with database.read() as s:
        assert s.execute(text("SELECT * FROM trial_costs")).mappings().one()["latency_ms"] == 1.5
    database.migrate()
    assert differences(database) == []


def insert(s: Any, values: dict[str, Any], table: str, **columns: str) -> None:
    """A row whose columns are SQL."""
    s.execute(text(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"), values)


def test_rows_of_the_second_revision_survive_every_step_up_and_down(database: Database) -> None:
    schema.upgrade(database.url, "0002")
    values = {key: key * 36 for key in "tspmc"}
    values |= {"at": "2026-01-01 00:00:00+00:00", "json": "{}", "hash": "a" * 64}
    with database.begin() as s:
        values["project"] = s.scalar(text("SELECT id FROM projects"))
        common = {"created_at": ":at", "project_id": ":project"}
        named = {**common, "name": "'n'", "state": "'ready'"}
        insert(s, values, "models", id=":m", upload_digest=":hash", **named)
        insert(s, values, "profiles", id=":p", request=":json", **named)
        insert(s, values, "calibrations", id=":c", profile_id=":p", version="1", document=":json", **common)
        insert(s, values, "searches", id=":s", spec=":json", desired="'run'", seed="0", epoch="0", **named)
        documents = dict.fromkeys(("plan", "coordinates", "sampler_attributes", "report", "files"), ":json")
        numbers = {"number": "0", "seed": "0", "recovery_steps": "0", "attempts": "1", "accuracy": "0.75"}
        words = {"id": ":t", "created_at": ":at", "search_id": ":s", "role": "'dense'", "state": "'complete'"}
        insert(s, values, "trials", plan_digest=":hash", **words, **numbers, **documents)
        shares = {"sources": ":json", "derivations": ":json"}
        insert(s, values, "trial_costs", trial_id=":t", profile_id=":p", position="0", latency_ms="1.5", **shares)
        told = {"metric": "'accuracy'", "split": "'validation'", "value": "0.75", "standard_error": "0.1"}
        counted = dict.fromkeys(("position", "seed", "fidelity", "samples"), "0")
        insert(s, values, "measurements", trial_id=":t", **told, **counted)
        point = {"number": "0", "latency_ms": "1.5", "accuracy": "0.75"}
        insert(s, values, "front_points", search_id=":s", profile_id=":p", **point)
        insert(s, values, "events", project_id=":project", search_id=":s", kind="'x'", payload=":json", at=":at")
    tables = ("models", "profiles", "calibrations", "searches", "trials", "trial_costs", "measurements", "front_points")

    def rows() -> list[Any]:
        with database.read() as s:
            return [s.scalar(text(f"SELECT count(*) FROM {table}")) for table in (*tables, "events")]

    database.migrate()
    with database.begin() as s:
        assert fronts.get(s, values["s"], values["p"]) == fronts.recomputed(s, values["s"], values["p"])
        assert [point.quality for point in fronts.get(s, values["s"], values["p"])] == [0.75]
        s.execute(text("UPDATE trial_costs SET energy_mj = 2.5, weight_bytes = 1024"))
        for column in ("trials SET shipped", "measurements SET origin", "searches SET estimate", "searches SET actual"):
            s.execute(text(f"UPDATE {column} = :json"), values)
        common = {"project_id": values["project"], "search_id": values["s"]}
        trial_requests.add(s, **common, number=0, kind="verify", body={})
        insert(s, values, "repricings", search_id=":s", profile_id=":p", calibration_id=":c", created_at=":at")
    for revision in ("0008", "0007", "0006", "0005", "0004", "0003", "0002"):
        schema.downgrade(database.url, revision)
        assert rows() == [1] * 9, revision
    with database.read() as s:
        assert s.scalar(text("SELECT accuracy FROM trials")) == 0.75
    database.migrate()
    assert rows() == [1] * 9 and differences(database) == []


def test_processes_that_migrate_at_once_wait_for_each_other(database: Database) -> None:
    failures: list[BaseException] = []
    gate = threading.Barrier(2)

    def migrate() -> None:
        gate.wait()
        try:
            command = [
                sys.executable,
                "-c",
                f"import sys; {MIGRATE}",
                database.url.render_as_string(hide_password=False),
            ]
            subprocess.run(command, cwd=ROOT, check=True, timeout=120)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    database.require_current()


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    database.migrate()
    with database.begin() as s:
        s.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'"))
    for action in (database.migrate, database.require_current):
        with pytest.raises(StoreError, match="9999"):
            action()
    assert differences(database) == []


def test_a_migration_that_fails_changes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptDirectory.from_config(schema.configuration())
    first = script.get_revision("0001")
    assert first is not None
    from alembic import op

    real = op.create_table

    def fail(name: str, *rest: Any, **options: Any) -> Any:
        if name == "events":
            raise RuntimeError("power cut")
        return real(name, *rest, **options)

    monkeypatch.setattr(op, "create_table", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        database.migrate()
    monkeypatch.undo()
    assert names(database) == {}
    database.migrate()
    assert differences(database) == []


def test_there_is_one_history() -> None:
    script = ScriptDirectory.from_config(schema.configuration())
    assert len(script.get_heads()) == 1 and len(script.get_bases()) == 1


def test_installed_packages_bring_their_history_along(tmp_path: Path) -> None:
    """As from a wheel: packages in one folder, no pyproject, and the user's own `migrations` where he stands."""
    installed, here = tmp_path / "site packages 100%", tmp_path / "here"
    for package in ("app/store", "app/search", "pruning", "migrations"):
        shutil.copytree(ROOT / package, installed / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "app/__init__.py", installed / "app/__init__.py")
    (here / "migrations").mkdir(parents=True)
    (here / "migrations" / "env.py").write_text("raise SystemExit('not this one')")
    url = f"sqlite:///{here / 'espalier.db'}"
    # -S: an editable installation's import hook would find the checkout
    seen = [path for path in sys.path if path.endswith("site-packages")]
    code = f"import sys; sys.path += [*{seen!r}, sys.argv[2]]; {MIGRATE}"
    subprocess.run([sys.executable, "-S", "-c", code, url, str(installed)], cwd=here, check=True, timeout=120)
    database = Database(url)
    database.require_current()
    database.dispose()

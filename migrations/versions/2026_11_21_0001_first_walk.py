"""The tables of the first walk, and the one project that everything belongs to for now."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

_TABLES = (
    "projects models datasets profiles searches trials trial_costs measurements front_points artefacts events "
    "leases scores"
).split()
_DEFAULT_PROJECT = "01900000-0000-7000-8000-000000000001"
_GROWING = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, in an order in which each finds what it refers to."""
    _projects()
    _inputs()
    _searches()
    _trials()
    _results()
    _files_and_events()
    _coordination()


def downgrade() -> None:
    """Drop them; their indexes go with them."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _projects() -> None:
    projects = op.create_table(
        "projects",
        *_key("projects"),
        _text("slug", 80),
        _text("name"),
        sa.UniqueConstraint("slug", name="uq_projects_slug"),
    )
    first = {"id": _DEFAULT_PROJECT, "slug": "default", "name": "Default", "created_at": datetime.now(UTC)}
    op.bulk_insert(projects, [first])


def _inputs() -> None:
    op.create_table(
        "models",
        *_owned("models"),
        _text("upload_digest", 64),
        _text("graph_digest", 64, nullable=True),
        _text("weights_digest", 64, nullable=True),
        _json("spec", nullable=True),
    )
    op.create_table(
        "datasets",
        *_owned("datasets"),
        _text("kind", 20),
        _text("upload_digest", 64, nullable=True),
        _json("options"),
        _json("meta", nullable=True),
        _text("arrays_digest", 64, nullable=True),
    )
    op.create_table(
        "profiles",
        *_owned("profiles"),
        _json("request"),
        _json("document", nullable=True),
        _text("digest", 64, nullable=True),
    )
    for table in ("models", "datasets", "profiles"):
        _index(table, "project_id", "id")
        _index(table, "state")


def _searches() -> None:
    op.create_table(
        "searches",
        *_owned("searches"),
        _json("spec"),
        _text("phase", 20, nullable=True),
        _text("desired", 20),
        _whole("seed"),
        _text("idempotency_key", nullable=True),
        _json("space", nullable=True),
        _json("bound", nullable=True),
        _text("holder", nullable=True),
        _whole("epoch"),
        _time("started_at", nullable=True),
        _time("finished_at", nullable=True),
        sa.UniqueConstraint("project_id", "idempotency_key", name="uq_searches_project_id_idempotency_key"),
    )
    _index("searches", "project_id", "id")
    _index("searches", "project_id", "state", "id")
    _index("searches", "state", "id")


def _trials() -> None:
    op.create_table(
        "trials",
        *_key("trials"),
        *_parent("trials", "search_id", "searches"),
        _whole("number"),
        _text("role", 20),
        _text("state", 20),
        _json("plan"),
        _text("plan_digest", 64),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        _whole("recovery_steps"),
        _json("coordinates"),
        _json("sampler_attributes"),
        _json("report"),
        _json("files"),
        _json("failure", nullable=True),
        _real("accuracy", nullable=True),
        _whole("attempts"),
        _time("finished_at", nullable=True),
        sa.UniqueConstraint("search_id", "number", name="uq_trials_search_id_number"),
    )
    _index("trials", "search_id", "state", "number")
    _index("trials", "search_id", "state", "role", "accuracy", "number", "id")


def _results() -> None:
    op.create_table(
        "trial_costs",
        *_parent("trial_costs", "trial_id", "trials"),
        _text("profile_id", 64),
        _whole("position"),
        _real("latency_ms"),
        _json("sources"),
        _json("derivations"),
        sa.PrimaryKeyConstraint("trial_id", "profile_id", name="pk_trial_costs"),
    )
    op.create_table(
        "measurements",
        *_growing("measurements"),
        *_parent("measurements", "trial_id", "trials"),
        _whole("position"),
        _text("metric", 20),
        _text("split", 20, nullable=True),
        _text("profile_id", 64, nullable=True),
        _real("value"),
        _real("standard_error"),
        _whole("samples"),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        _whole("fidelity"),
    )
    _index("measurements", "trial_id")
    op.create_table(
        "front_points",
        *_parent("front_points", "search_id", "searches"),
        _text("profile_id", 64),
        _whole("number"),
        _real("latency_ms"),
        _real("accuracy"),
        sa.PrimaryKeyConstraint("search_id", "profile_id", "number", name="pk_front_points"),
    )


def _files_and_events() -> None:
    op.create_table(
        "artefacts",
        *_parent("artefacts", "project_id", "projects"),
        _text("digest", 64),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        _text("media_type"),
        _text("kind", 40),
        _time("created_at"),
        sa.PrimaryKeyConstraint("project_id", "digest", name="pk_artefacts"),
    )
    op.create_table(
        "events",
        *_growing("events"),
        *_parent("events", "project_id", "projects"),
        *_parent("events", "search_id", "searches", nullable=True),
        _text("kind", 40),
        _json("payload"),
        _time("at"),
        sqlite_autoincrement=True,
    )
    _index("events", "search_id", "id")
    _index("events", "project_id", "id")


def _coordination() -> None:
    op.create_table(
        "leases",
        _text("name", 80),
        _text("holder"),
        _whole("epoch"),
        _time("expires_at"),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "scores",
        _text("key", 64),
        _json("document"),
        _time("created_at"),
        sa.PrimaryKeyConstraint("key", name="pk_scores"),
    )


def _key(table: str) -> list[Any]:
    primary = sa.PrimaryKeyConstraint("id", name=f"pk_{table}")
    return [_text("id", 36), _time("created_at"), primary]


def _growing(table: str) -> list[Any]:
    primary = sa.PrimaryKeyConstraint("id", name=f"pk_{table}")
    return [sa.Column("id", _GROWING, autoincrement=True, nullable=False), primary]


def _owned(table: str) -> list[Any]:
    """What models, datasets, profiles and searches have in common."""
    mine = [_text("name"), _text("state", 20), _json("failure", nullable=True)]
    return [*_key(table), *_parent(table, "project_id", "projects"), *mine]


def _parent(table: str, column: str, parent: str, *, nullable: bool = False) -> list[Any]:
    reference = sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=f"fk_{table}_{column}")
    return [_text(column, 36, nullable=nullable), reference]


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _text(name: str, length: int = 200, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _whole(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _real(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Float(53), nullable=nullable)


def _json(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)

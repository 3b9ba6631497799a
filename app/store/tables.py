"""The tables. One set for SQLite and PostgreSQL; every row belongs to a project, directly or through its search."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.store.ids import new_id

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Root of the tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's protocol
        dict[str, Any]: JSON(none_as_null=True),
        datetime: DateTime(timezone=True),
        str: String(200),
    }


class Keyed:
    """A UUIDv7 key and the time of making."""

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Owned(Keyed):
    """A row of a project."""

    project_id: Mapped[str] = mapped_column(String(36), ForeignKey("projects.id"))


class Project(Keyed, Base):
    """Who shares what."""

    __tablename__ = "projects"
    slug: Mapped[str] = mapped_column(String(80), unique=True)
    name: Mapped[str]


class Model(Owned, Base):
    """An uploaded model."""

    __tablename__ = "models"
    __table_args__ = (Index(None, "project_id", "id"), Index(None, "state"))
    name: Mapped[str]
    state: Mapped[str] = mapped_column(String(20), default="uploaded")
    upload_digest: Mapped[str] = mapped_column(String(64))
    graph_digest: Mapped[str | None] = mapped_column(String(64))
    weights_digest: Mapped[str | None] = mapped_column(String(64))
    spec: Mapped[dict[str, Any] | None]
    failure: Mapped[dict[str, Any] | None]


class Dataset(Owned, Base):
    """A registered dataset."""

    __tablename__ = "datasets"
    __table_args__ = (Index(None, "project_id", "id"), Index(None, "state"))
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20), default="uploaded")
    upload_digest: Mapped[str | None] = mapped_column(String(64))
    options: Mapped[dict[str, Any]]
    meta: Mapped[dict[str, Any] | None]
    arrays_digest: Mapped[str | None] = mapped_column(String(64))
    failure: Mapped[dict[str, Any] | None]


class Profile(Owned, Base):
    """A device's cost profile; immutable once ready."""

    __tablename__ = "profiles"
    __table_args__ = (Index(None, "project_id", "id"), Index(None, "state"))
    name: Mapped[str]
    state: Mapped[str] = mapped_column(String(20))
    request: Mapped[dict[str, Any]]
    document: Mapped[dict[str, Any] | None]
    digest: Mapped[str | None] = mapped_column(String(64))
    failure: Mapped[dict[str, Any] | None]


class Search(Owned, Base):
    """A submitted search."""

    __tablename__ = "searches"
    __table_args__ = (
        Index(None, "project_id", "id"),
        Index(None, "state"),
        UniqueConstraint("project_id", "idempotency_key"),
    )
    name: Mapped[str]
    spec: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(20), default="queued")
    phase: Mapped[str | None] = mapped_column(String(20))
    desired: Mapped[str] = mapped_column(String(20), default="run")
    seed: Mapped[int]
    idempotency_key: Mapped[str | None]
    failure: Mapped[dict[str, Any] | None]
    space: Mapped[dict[str, Any] | None]
    bound: Mapped[dict[str, Any] | None]
    holder: Mapped[str | None]
    epoch: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Trial(Keyed, Base):
    """One plan of a search; its costs and measurements stand in tables of their own."""

    __tablename__ = "trials"
    __table_args__ = (UniqueConstraint("search_id", "number"), Index(None, "search_id", "state", "number"))
    search_id: Mapped[str] = mapped_column(String(36), ForeignKey("searches.id"))
    number: Mapped[int]
    role: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    plan: Mapped[dict[str, Any]]
    plan_digest: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int]
    recovery_steps: Mapped[int]
    coordinates: Mapped[dict[str, Any]]
    sampler_attributes: Mapped[dict[str, Any]]
    report: Mapped[dict[str, Any]]
    files: Mapped[dict[str, Any]]
    failure: Mapped[dict[str, Any] | None]
    attempts: Mapped[int] = mapped_column(default=0)
    finished_at: Mapped[datetime | None]


class TrialCost(Base):
    """A predicted latency of a trial on a profile."""

    __tablename__ = "trial_costs"
    trial_id: Mapped[str] = mapped_column(String(36), ForeignKey("trials.id"), primary_key=True)
    profile_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    latency_ms: Mapped[float] = mapped_column(Float(53))
    sources: Mapped[dict[str, Any]]
    derivations: Mapped[dict[str, Any]]


class Measurement(Base):
    """A number that came from running a trial."""

    __tablename__ = "measurements"
    __table_args__ = (Index(None, "trial_id"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    trial_id: Mapped[str] = mapped_column(String(36), ForeignKey("trials.id"))
    position: Mapped[int]
    metric: Mapped[str] = mapped_column(String(20))
    split: Mapped[str | None] = mapped_column(String(20))
    profile_id: Mapped[str | None] = mapped_column(String(64))
    value: Mapped[float] = mapped_column(Float(53))
    standard_error: Mapped[float] = mapped_column(Float(53))
    samples: Mapped[int]
    seed: Mapped[int]
    fidelity: Mapped[int]


class FrontPoint(Base):
    """A trial on a search's front for a profile; always equal to a recomputation from the trials."""

    __tablename__ = "front_points"
    search_id: Mapped[str] = mapped_column(String(36), ForeignKey("searches.id"), primary_key=True)
    profile_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    latency_ms: Mapped[float] = mapped_column(Float(53))
    accuracy: Mapped[float] = mapped_column(Float(53))


class Artefact(Base):
    """A file of a project in the artefact store."""

    __tablename__ = "artefacts"
    project_id: Mapped[str] = mapped_column(String(36), ForeignKey("projects.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    kind: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Event(Base):
    """Something that happened; the key grows and is the id of the server-sent event."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "search_id", "id"), Index(None, "project_id", "id"))
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    project_id: Mapped[str] = mapped_column(String(36), ForeignKey("projects.id"))
    search_id: Mapped[str | None] = mapped_column(String(36), ForeignKey("searches.id"))
    kind: Mapped[str] = mapped_column(String(40))
    payload: Mapped[dict[str, Any]]
    at: Mapped[datetime] = mapped_column(default=now)


class Lease(Base):
    """Who may act under a name, and since which epoch."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    holder: Mapped[str]
    epoch: Mapped[int]
    expires_at: Mapped[datetime]


class Score(Base):
    """A cached error table; the key names weights, mask rule, data and seed."""

    __tablename__ = "scores"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    document: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)

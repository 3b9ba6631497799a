"""The tables. One set for SQLite and PostgreSQL; every row belongs to a project, directly or through its search."""

from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.search.trial import Metric, Split, TrialRole, TrialState
from app.store.ids import new_id
from app.store.records import DatasetState, ModelState, ProfileState, RequestKind, RequestState, SearchState

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


class Utc(TypeDecorator[datetime]):
    """A time that goes in and comes out in UTC; SQLite by itself would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to UTC; a time without a zone is refused, for it would be guessed."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a time needs a zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Say that it is UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


GROWING = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only a column that is called INTEGER


class Base(DeclarativeBase):
    """Root of the tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's protocol
        dict[str, Any]: JSON(none_as_null=True),
        datetime: Utc,
        float: Float(53),
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
    state: Mapped[ModelState] = mapped_column(String(20), default="uploaded")
    upload_digest: Mapped[str] = mapped_column(String(64))
    request: Mapped[dict[str, Any] | None]  # how to read the upload: a graph's name, or architecture and config
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
    state: Mapped[DatasetState] = mapped_column(String(20), default="uploaded")
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
    state: Mapped[ProfileState] = mapped_column(String(20))
    request: Mapped[dict[str, Any]]
    document: Mapped[dict[str, Any] | None]
    digest: Mapped[str | None] = mapped_column(String(64))
    failure: Mapped[dict[str, Any] | None]


class Calibration(Owned, Base):
    """A version of how a profile's predictions become latencies; immutable."""

    __tablename__ = "calibrations"
    __table_args__ = (UniqueConstraint("profile_id", "version"),)
    profile_id: Mapped[str] = mapped_column(String(36), ForeignKey("profiles.id"))
    version: Mapped[int]
    document: Mapped[dict[str, Any]]


class Search(Owned, Base):
    """A submitted search."""

    __tablename__ = "searches"
    __table_args__ = (
        Index(None, "project_id", "id"),
        Index(None, "project_id", "state", "id"),
        Index(None, "state", "id"),
        UniqueConstraint("project_id", "idempotency_key"),
    )
    name: Mapped[str]
    spec: Mapped[dict[str, Any]]
    state: Mapped[SearchState] = mapped_column(String(20), default="queued")
    phase: Mapped[str | None] = mapped_column(String(20))
    desired: Mapped[Literal["run", "cancel"]] = mapped_column(String(20), default="run")
    seed: Mapped[int]
    idempotency_key: Mapped[str | None]
    failure: Mapped[dict[str, Any] | None]
    space: Mapped[dict[str, Any] | None]
    bound: Mapped[dict[str, Any] | None]
    estimate: Mapped[dict[str, Any] | None]  # what was predicted when it was submitted
    actual: Mapped[dict[str, Any] | None]  # what it really took, once it has ended
    holder: Mapped[str | None]
    epoch: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Trial(Keyed, Base):
    """One plan of a search; its costs and measurements stand in tables of their own."""

    __tablename__ = "trials"
    __table_args__ = (
        UniqueConstraint("search_id", "number"),
        Index(None, "search_id", "state", "number"),
        Index(None, "search_id", "state", "role", "quality", "number", "id"),  # answers progress and fronts alone
    )
    search_id: Mapped[str] = mapped_column(String(36), ForeignKey("searches.id"))
    number: Mapped[int]
    role: Mapped[TrialRole] = mapped_column(String(20))
    state: Mapped[TrialState] = mapped_column(String(20))
    plan: Mapped[dict[str, Any]]
    plan_digest: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int] = mapped_column(BigInteger)
    recovery_steps: Mapped[int]
    coordinates: Mapped[dict[str, Any]]
    sampler_attributes: Mapped[dict[str, Any]]
    report: Mapped[dict[str, Any]]
    files: Mapped[dict[str, Any]]
    failure: Mapped[dict[str, Any] | None]
    quality: Mapped[float | None]  # of complete trials, on validation data: the headline, higher is better
    attempts: Mapped[int] = mapped_column(default=0)
    finished_at: Mapped[datetime | None]
    shipped: Mapped[dict[str, Any] | None]  # when the team put it to use, and what it said of that


class TrialCost(Base):
    """What a trial is predicted to take on a profile: latency; energy and bytes of weights where that can be said."""

    __tablename__ = "trial_costs"
    trial_id: Mapped[str] = mapped_column(String(36), ForeignKey("trials.id"), primary_key=True)
    profile_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    latency_ms: Mapped[float]
    low_ms: Mapped[float | None]
    high_ms: Mapped[float | None]
    energy_mj: Mapped[float | None]
    weight_bytes: Mapped[float | None]
    sources: Mapped[dict[str, Any]]
    derivations: Mapped[dict[str, Any]]


class Measurement(Base):
    """A number that came from running a trial."""

    __tablename__ = "measurements"
    __table_args__ = (Index(None, "trial_id"),)
    id: Mapped[int] = mapped_column(GROWING, primary_key=True, autoincrement=True)
    trial_id: Mapped[str] = mapped_column(String(36), ForeignKey("trials.id"))
    position: Mapped[int]
    metric: Mapped[Metric] = mapped_column(String(20))
    split: Mapped[Split | None] = mapped_column(String(20))
    profile_id: Mapped[str | None] = mapped_column(String(64))
    value: Mapped[float]
    standard_error: Mapped[float]
    samples: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    fidelity: Mapped[int]
    origin: Mapped[dict[str, Any] | None]  # where it was measured, if not in the search itself


class FrontPoint(Base):
    """A trial on a search's front for a profile; always equal to a recomputation from the trials."""

    __tablename__ = "front_points"
    search_id: Mapped[str] = mapped_column(String(36), ForeignKey("searches.id"), primary_key=True)
    profile_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    latency_ms: Mapped[float]
    quality: Mapped[float]


class Repricing(Base):
    """A search's trials were priced on a profile that came after it, under this calibration."""

    __tablename__ = "repricings"
    search_id: Mapped[str] = mapped_column(String(36), ForeignKey("searches.id"), primary_key=True)
    profile_id: Mapped[str] = mapped_column(String(36), ForeignKey("profiles.id"), primary_key=True)
    calibration_id: Mapped[str | None] = mapped_column(String(36), ForeignKey("calibrations.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)


class TrialRequest(Owned, Base):
    """Work asked for one trial: a file format, its plan on other weights, a measurement."""

    __tablename__ = "trial_requests"
    __table_args__ = (Index(None, "search_id", "number", "id"), Index(None, "kind", "state"))
    search_id: Mapped[str] = mapped_column(String(36), ForeignKey("searches.id"))
    number: Mapped[int]
    kind: Mapped[RequestKind] = mapped_column(String(20))
    state: Mapped[RequestState] = mapped_column(String(20), default="queued")
    body: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    files: Mapped[dict[str, Any]]
    failure: Mapped[dict[str, Any] | None]
    finished_at: Mapped[datetime | None]


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
    __table_args__ = (
        Index(None, "search_id", "id"),
        Index(None, "project_id", "id"),
        {"sqlite_autoincrement": True},  # never the id of an event that was deleted
    )
    id: Mapped[int] = mapped_column(GROWING, primary_key=True, autoincrement=True)
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
    """The error table of a search, completed; the key names all that decides it."""

    __tablename__ = "scores"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    document: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class OptionError(Base):
    """The measured error of one option; the key names weights, mask rule, data, samples and seed."""

    __tablename__ = "option_errors"
    __table_args__ = (Index(None, "weights_digest", "how"),)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    option_digest: Mapped[str] = mapped_column(String(64), primary_key=True)  # of the option
    option: Mapped[str] = mapped_column(Text)  # as canonical JSON
    weights_digest: Mapped[str] = mapped_column(String(64))
    how: Mapped[str] = mapped_column(String(20))  # the search's `error_table`: each has a scale of its own
    error: Mapped[float]
    samples: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)

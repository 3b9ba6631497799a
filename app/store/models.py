"""Models: uploaded, inspected by a worker, then ready or refused."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy.orm import Session

from app.store import rows
from app.store.records import ModelRecord, ModelState
from app.store.tables import Model


def add(session: Session, *, project_id: str, name: str, upload_digest: str) -> ModelRecord:
    """A new model, waiting for inspection."""
    row = Model(project_id=project_id, name=name, upload_digest=upload_digest, state="uploaded")
    session.add(row)
    session.flush()
    return _record(row)


def get(session: Session, project_id: str, model_id: str) -> ModelRecord:
    """The model; raises NotFound."""
    return _record(rows.owned(session, Model, project_id, model_id))


def page(session: Session, project_id: str, *, limit: int, after: str | None = None) -> list[ModelRecord]:
    """A page of the project's models, newest first."""
    return [_record(row) for row in rows.newest(session, Model, project_id, limit=limit, after=after)]


def waiting(session: Session) -> Sequence[ModelRecord]:
    """What must be inspected, oldest first; an inspection that was cut off is among them."""
    return [_record(row) for row in rows.in_states(session, Model, "uploaded", "inspecting")]


def set_inspecting(session: Session, model_id: str) -> None:
    """A worker opens it."""
    rows.by_id(session, Model, model_id).state = "inspecting"


def set_ready(
    session: Session, model_id: str, *, graph_digest: str, weights_digest: str, spec: Mapping[str, Any]
) -> None:
    """It was read: this is what is stored and loaded from now on."""
    row = rows.by_id(session, Model, model_id)
    row.state, row.failure = "ready", None
    row.graph_digest, row.weights_digest, row.spec = graph_digest, weights_digest, dict(spec)


def set_refused(session: Session, model_id: str, failure: Mapping[str, Any]) -> None:
    """It was refused, and why."""
    row = rows.by_id(session, Model, model_id)
    row.state, row.failure = "refused", dict(failure)


def _record(row: Model) -> ModelRecord:
    return ModelRecord(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        state=cast(ModelState, row.state),
        upload_digest=row.upload_digest,
        graph_digest=row.graph_digest,
        weights_digest=row.weights_digest,
        spec=row.spec,
        failure=row.failure,
        created_at=rows.iso(row.created_at),
    )

"""Uploaded models. A worker reads each once; then it is ready or refused, and stays so."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.records import ModelRecord
from app.store.rows import by_id, found, label, newest, plain, plain_or_none, record
from app.store.tables import Model

_WAITING = ("uploaded", "inspecting")


def add(
    s: Session, *, project_id: str, name: str, upload_digest: str, request: Mapping[str, Any] | None = None
) -> ModelRecord:
    """A model whose upload lies in the artefact store; `request` says how to read it, where that is not plain."""
    row = Model(project_id=project_id, name=label(name), upload_digest=upload_digest, request=plain_or_none(request))
    s.add(row)
    s.flush()
    return record(ModelRecord, row)


def get(s: Session, project_id: str, model_id: str) -> ModelRecord:
    """One model of the project, else NotFound."""
    return record(ModelRecord, found(s, Model, "model", project_id, model_id))


def page(s: Session, project_id: str, *, limit: int, after: str | None = None) -> list[ModelRecord]:
    """The project's models, newest first, from behind the id `after`."""
    return [record(ModelRecord, row) for row in newest(s, Model, project_id, limit, after)]


def waiting(s: Session) -> Sequence[ModelRecord]:
    """Every model that a worker has still to read, oldest first."""
    query = select(Model).where(Model.state.in_(_WAITING)).order_by(Model.id)
    return [record(ModelRecord, row) for row in s.scalars(query)]


def set_inspecting(s: Session, model_id: str) -> None:
    """A worker reads it now."""
    row = by_id(s, Model, "model", model_id)
    if row.state in _WAITING:
        row.state = "inspecting"


def set_ready(s: Session, model_id: str, *, graph_digest: str, weights_digest: str, spec: Mapping[str, Any]) -> None:
    """It was read; `spec` is the JSON of its ModelSpec. Changes nothing if it is ready or refused already."""
    row = by_id(s, Model, "model", model_id)
    if row.state in _WAITING:
        row.state, row.graph_digest, row.weights_digest, row.spec = "ready", graph_digest, weights_digest, plain(spec)


def set_refused(s: Session, model_id: str, failure: Mapping[str, Any]) -> None:
    """It cannot be used, and why. Changes nothing if it is ready or refused already."""
    row = by_id(s, Model, "model", model_id)
    if row.state in _WAITING:
        row.state, row.failure = "refused", plain(failure)

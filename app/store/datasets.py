"""Datasets: registered, prepared by a worker, then ready or refused."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy.orm import Session

from app.store import rows
from app.store.records import DatasetRecord, DatasetState
from app.store.tables import Dataset


def add(
    session: Session,
    *,
    project_id: str,
    name: str,
    kind: str,
    upload_digest: str | None,
    options: Mapping[str, Any],
) -> DatasetRecord:
    """A new dataset, waiting for preparation."""
    row = Dataset(
        project_id=project_id,
        name=name,
        kind=kind,
        upload_digest=upload_digest,
        options=dict(options),
        state="uploaded",
    )
    session.add(row)
    session.flush()
    return _record(row)


def get(session: Session, project_id: str, dataset_id: str) -> DatasetRecord:
    """The dataset; raises NotFound."""
    return _record(rows.owned(session, Dataset, project_id, dataset_id))


def page(session: Session, project_id: str, *, limit: int, after: str | None = None) -> list[DatasetRecord]:
    """A page of the project's datasets, newest first."""
    return [_record(row) for row in rows.newest(session, Dataset, project_id, limit=limit, after=after)]


def waiting(session: Session) -> Sequence[DatasetRecord]:
    """What must be prepared, oldest first."""
    return [_record(row) for row in rows.in_states(session, Dataset, "uploaded", "preparing")]


def set_preparing(session: Session, dataset_id: str) -> None:
    """A worker opens it."""
    rows.by_id(session, Dataset, dataset_id).state = "preparing"


def set_ready(session: Session, dataset_id: str, *, meta: Mapping[str, Any], arrays_digest: str) -> None:
    """It is prepared: classes, splits and shapes are known."""
    row = rows.by_id(session, Dataset, dataset_id)
    row.state, row.failure, row.meta, row.arrays_digest = "ready", None, dict(meta), arrays_digest


def set_refused(session: Session, dataset_id: str, failure: Mapping[str, Any]) -> None:
    """It was refused, and why."""
    row = rows.by_id(session, Dataset, dataset_id)
    row.state, row.failure = "refused", dict(failure)


def _record(row: Dataset) -> DatasetRecord:
    return DatasetRecord(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        kind=row.kind,
        state=cast(DatasetState, row.state),
        upload_digest=row.upload_digest,
        options=row.options,
        meta=row.meta,
        arrays_digest=row.arrays_digest,
        failure=row.failure,
        created_at=rows.iso(row.created_at),
    )

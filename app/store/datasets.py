"""Registered datasets. A worker prepares each once; then it is ready or refused, and stays so."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.records import DatasetRecord
from app.store.rows import by_id, found, label, newest, plain, record
from app.store.tables import Dataset

_WAITING = ("uploaded", "preparing")


def add(
    s: Session,
    *,
    project_id: str,
    name: str,
    kind: str,
    upload_digest: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> DatasetRecord:
    """A dataset to prepare; built-in kinds have no upload."""
    row = Dataset(
        project_id=project_id, name=label(name), kind=kind, upload_digest=upload_digest, options=plain(options or {})
    )
    s.add(row)
    s.flush()
    return record(DatasetRecord, row)


def get(s: Session, project_id: str, dataset_id: str) -> DatasetRecord:
    """One dataset of the project, else NotFound."""
    return record(DatasetRecord, found(s, Dataset, "dataset", project_id, dataset_id))


def page(s: Session, project_id: str, *, limit: int, after: str | None = None) -> list[DatasetRecord]:
    """The project's datasets, newest first, from behind the id `after`."""
    return [record(DatasetRecord, row) for row in newest(s, Dataset, project_id, limit, after)]


def waiting(s: Session) -> Sequence[DatasetRecord]:
    """Every dataset that a worker has still to prepare, oldest first."""
    query = select(Dataset).where(Dataset.state.in_(_WAITING)).order_by(Dataset.id)
    return [record(DatasetRecord, row) for row in s.scalars(query)]


def set_preparing(s: Session, dataset_id: str) -> None:
    """A worker prepares it now."""
    row = by_id(s, Dataset, "dataset", dataset_id)
    if row.state in _WAITING:
        row.state = "preparing"


def set_ready(s: Session, dataset_id: str, *, meta: Mapping[str, Any], arrays_digest: str) -> None:
    """It was prepared. Changes nothing if it is ready or refused already."""
    row = by_id(s, Dataset, "dataset", dataset_id)
    if row.state in _WAITING:
        row.state, row.meta, row.arrays_digest = "ready", plain(meta), arrays_digest


def set_refused(s: Session, dataset_id: str, failure: Mapping[str, Any]) -> None:
    """It cannot be used, and why. Changes nothing if it is ready or refused already."""
    row = by_id(s, Dataset, "dataset", dataset_id)
    if row.state in _WAITING:
        row.state, row.failure = "refused", plain(failure)

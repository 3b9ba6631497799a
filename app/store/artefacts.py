"""Which files a project has in the artefact store. The store itself is shared; what a project may read is here."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.errors import NotFound
from app.store.records import ArtefactRecord
from app.store.rows import insert_unless_there, record
from app.store.tables import Artefact


def add(s: Session, *, project_id: str, digest: str, bytes: int, media_type: str, kind: str) -> None:
    """Note a file of the project. A digest that is noted already stays as it is."""
    values = {"project_id": project_id, "digest": digest, "bytes": bytes, "media_type": media_type, "kind": kind}
    insert_unless_there(s, Artefact, values)


def known(s: Session, project_id: str, digests: Sequence[str]) -> set[str]:
    """Which of these files the project has."""
    query = select(Artefact.digest).where(Artefact.project_id == project_id, Artefact.digest.in_(digests))
    return set(s.scalars(query))


def get(s: Session, project_id: str, digest: str) -> ArtefactRecord:
    """One file of the project, else NotFound."""
    query = select(Artefact).where(Artefact.project_id == project_id, Artefact.digest == digest)
    row = s.scalars(query).one_or_none()
    if row is None:
        raise NotFound("artefact", digest)
    return record(ArtefactRecord, row)

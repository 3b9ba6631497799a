"""Artefacts: which files a project has. The bytes lie in the artefact store, under their digest."""

from sqlalchemy.orm import Session

from app.store.errors import NotFound
from app.store.records import ArtefactRecord
from app.store.tables import Artefact


def add(session: Session, *, project_id: str, digest: str, bytes: int, media_type: str, kind: str) -> None:
    """Note a file; the same content again is the same artefact."""
    if session.get(Artefact, (project_id, digest)) is None:
        row = Artefact(project_id=project_id, digest=digest, bytes=bytes, media_type=media_type, kind=kind)
        session.add(row)
        session.flush()


def get(session: Session, project_id: str, digest: str) -> ArtefactRecord:
    """The artefact; raises NotFound."""
    row = session.get(Artefact, (project_id, digest))
    if row is None:
        raise NotFound("artefact", digest)
    return ArtefactRecord(digest=row.digest, bytes=row.bytes, media_type=row.media_type, kind=row.kind)

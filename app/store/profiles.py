"""Profiles: uploaded ready, or requested and measured by a worker. Immutable once ready."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy.orm import Session

from app.store import rows
from app.store.errors import Conflict
from app.store.records import ProfileRecord, ProfileState
from app.store.tables import Profile


def add(
    session: Session,
    *,
    project_id: str,
    name: str,
    request: Mapping[str, Any] | None = None,
    document: Mapping[str, Any] | None = None,
    digest: str | None = None,
) -> ProfileRecord:
    """A new profile: ready if its document is given, else waiting to be measured as `request` says."""
    row = Profile(
        project_id=project_id,
        name=name,
        request=dict(request or {}),
        document=dict(document) if document is not None else None,
        digest=digest,
        state="requested" if document is None else "ready",
    )
    session.add(row)
    session.flush()
    return _record(row)


def get(session: Session, project_id: str, profile_id: str) -> ProfileRecord:
    """The profile; raises NotFound."""
    return _record(rows.owned(session, Profile, project_id, profile_id))


def page(session: Session, project_id: str, *, limit: int, after: str | None = None) -> list[ProfileRecord]:
    """A page of the project's profiles, newest first."""
    return [_record(row) for row in rows.newest(session, Profile, project_id, limit=limit, after=after)]


def waiting(session: Session) -> Sequence[ProfileRecord]:
    """What must be measured, oldest first."""
    return [_record(row) for row in rows.in_states(session, Profile, "requested", "measuring")]


def set_measuring(session: Session, profile_id: str) -> None:
    """A worker measures it."""
    _unready(session, profile_id).state = "measuring"


def set_ready(session: Session, profile_id: str, *, document: Mapping[str, Any], digest: str) -> None:
    """It is measured; raises Conflict if it has a document already."""
    row = _unready(session, profile_id)
    row.state, row.failure, row.document, row.digest = "ready", None, dict(document), digest


def set_refused(session: Session, profile_id: str, failure: Mapping[str, Any]) -> None:
    """It cannot be had, and why."""
    row = _unready(session, profile_id)
    row.state, row.failure = "refused", dict(failure)


def _unready(session: Session, profile_id: str) -> Profile:
    row = rows.by_id(session, Profile, profile_id)
    if row.state == "ready":
        raise Conflict(f"Profile {profile_id!r} is ready and cannot change: make a new one.")
    return row


def _record(row: Profile) -> ProfileRecord:
    return ProfileRecord(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        state=cast(ProfileState, row.state),
        request=row.request,
        document=row.document,
        digest=row.digest,
        failure=row.failure,
        created_at=rows.iso(row.created_at),
    )

"""Cost profiles: given as a document, and ready at once, or measured by a worker. Immutable once ready."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.records import ProfileRecord
from app.store.rows import by_id, found, label, newest, plain, plain_or_none, record
from app.store.tables import Profile

_WAITING = ("requested", "measuring")


def add(
    s: Session,
    *,
    project_id: str,
    name: str,
    request: Mapping[str, Any] | None = None,
    document: Mapping[str, Any] | None = None,
    digest: str | None = None,
) -> ProfileRecord:
    """A profile: ready if its document is given, to be measured as `request` says otherwise."""
    row = Profile(
        project_id=project_id,
        name=label(name),
        state="requested" if document is None else "ready",
        request=plain(request or {}),
        document=plain_or_none(document),
        digest=digest,
    )
    s.add(row)
    s.flush()
    return record(ProfileRecord, row)


def get(s: Session, project_id: str, profile_id: str) -> ProfileRecord:
    """One profile of the project, else NotFound."""
    return record(ProfileRecord, found(s, Profile, "profile", project_id, profile_id))


def page(s: Session, project_id: str, *, limit: int, after: str | None = None) -> list[ProfileRecord]:
    """The project's profiles, newest first, from behind the id `after`."""
    return [record(ProfileRecord, row) for row in newest(s, Profile, project_id, limit, after)]


def waiting(s: Session) -> Sequence[ProfileRecord]:
    """Every profile that a worker has still to measure, oldest first."""
    query = select(Profile).where(Profile.state.in_(_WAITING)).order_by(Profile.id)
    return [record(ProfileRecord, row) for row in s.scalars(query)]


def set_measuring(s: Session, profile_id: str) -> None:
    """A worker measures it now."""
    row = by_id(s, Profile, "profile", profile_id)
    if row.state in _WAITING:
        row.state = "measuring"


def set_ready(s: Session, profile_id: str, *, document: Mapping[str, Any], digest: str) -> None:
    """It was measured. Changes nothing if it is ready or refused already."""
    row = by_id(s, Profile, "profile", profile_id)
    if row.state in _WAITING:
        row.state, row.document, row.digest = "ready", plain(document), digest


def set_refused(s: Session, profile_id: str, failure: Mapping[str, Any]) -> None:
    """It cannot be had, and why. Changes nothing if it is ready or refused already."""
    row = by_id(s, Profile, "profile", profile_id)
    if row.state in _WAITING:
        row.state, row.failure = "refused", plain(failure)

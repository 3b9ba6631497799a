"""Calibrations: versions of how a profile's predictions become latencies. A version is never written again."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.store.errors import Conflict, NotFound
from app.store.records import CalibrationRecord, Document
from app.store.rows import behind, found, is_key, plain, record
from app.store.tables import Calibration


def add(
    s: Session, *, project_id: str, profile_id: str, version: int, document: Mapping[str, Any]
) -> CalibrationRecord:
    """The next version of a profile's calibration.

    Raises:
        Conflict: somebody else wrote that version meanwhile.
    """
    row = Calibration(project_id=project_id, profile_id=profile_id, version=version, document=plain(document))
    try:
        with s.begin_nested():
            s.add(row)
    except IntegrityError as error:
        raise Conflict(f"Version {version} of the calibration was written meanwhile: send the points again.") from error
    return record(CalibrationRecord, row)


def get(s: Session, project_id: str, calibration_id: str) -> CalibrationRecord:
    """One calibration of the project, else NotFound."""
    return record(CalibrationRecord, found(s, Calibration, "calibration", project_id, calibration_id))


def of_version(s: Session, project_id: str, profile_id: str, version: int) -> CalibrationRecord:
    """One version of a profile, else NotFound."""
    c = Calibration
    query = select(c).where(c.project_id == project_id, c.profile_id == profile_id, c.version == version)
    row = s.scalars(query).one_or_none()
    if row is None:
        raise NotFound("version of the calibration", version)
    return record(CalibrationRecord, row)


def page(
    s: Session, project_id: str, profile_id: str, *, limit: int, after: str | None = None
) -> list[CalibrationRecord]:
    """The versions of a profile, the newest first, from behind the id `after`."""
    mine = (Calibration.project_id == project_id, Calibration.profile_id == profile_id, behind(Calibration, after))
    query = select(Calibration).where(*mine).order_by(Calibration.id.desc()).limit(limit)
    return [record(CalibrationRecord, row) for row in s.scalars(query)]


def latest(s: Session, project_id: str, profile_ids: Sequence[str]) -> dict[str, CalibrationRecord]:
    """The newest version of each of these profiles that has any."""
    c = Calibration
    newest = (
        select(c.profile_id, func.max(c.version).label("version"))
        .where(c.project_id == project_id, c.profile_id.in_([key for key in profile_ids if is_key(key)]))
        .group_by(c.profile_id)
        .subquery()
    )
    query = select(c).join(newest, (c.profile_id == newest.c.profile_id) & (c.version == newest.c.version))
    return {row.profile_id: record(CalibrationRecord, row) for row in s.scalars(query)}


def pinned(s: Session, project_id: str, spec: Document) -> dict[str, CalibrationRecord]:
    """By profile the calibration that a search's spec names, else NotFound; profiles without one are left out."""
    chosen = spec.get("calibrations", {})
    return {profile: get(s, project_id, key) for profile, key in chosen.items() if key is not None}

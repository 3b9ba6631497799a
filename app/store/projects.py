"""Projects. The first migration brings one, `default`."""

from sqlalchemy import select
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from app.store.errors import NotFound, StoreError
from app.store.records import ProjectRecord
from app.store.rows import record
from app.store.tables import Project

DEFAULT = "default"


def default(s: Session) -> ProjectRecord:
    """The project of whoever names none.

    Raises:
        StoreError: the database cannot be read, or was never migrated.
    """
    try:
        row = s.scalars(select(Project).where(Project.slug == DEFAULT)).one_or_none()
    except (OperationalError, ProgrammingError) as error:
        raise StoreError(
            "The database cannot be read or was never set up: check ESPALIER_DATABASE_URL, then run "
            f"`espalier migrate`. It says: {str(error.orig).splitlines()[0][:200]}"
        ) from error
    if row is None:
        raise NotFound("project", DEFAULT)
    return record(ProjectRecord, row)

"""Projects. For now there is one, made by the first migration."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.errors import NotFound
from app.store.records import ProjectRecord
from app.store.tables import Project

DEFAULT = "default"


def default(session: Session) -> ProjectRecord:
    """The one project.

    Raises:
        NotFound: the database was never migrated to a state that has it.
    """
    row = session.execute(select(Project).where(Project.slug == DEFAULT)).scalar_one_or_none()
    if row is None:
        raise NotFound("project", DEFAULT)
    return ProjectRecord(id=row.id, slug=row.slug, name=row.name)

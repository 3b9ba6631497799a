"""What every handler has at hand: settings, database, artefacts, the project, and whether we are leaving."""

import threading
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from app.settings import Settings
from app.store import projects
from app.store.blobs import ArtefactStore
from app.store.database import Database

API = "/api/v1"


@dataclass(frozen=True, kw_only=True)
class Service:
    """The open service; made once by the lifespan and handed to handlers as `Here`."""

    settings: Settings
    database: Database
    artefacts: ArtefactStore
    project_id: str
    stopping: threading.Event


def open_service(settings: Settings, stopping: threading.Event) -> Service:
    """Open database and artefact store; an embedded SQLite database is migrated on the way.

    Raises:
        StoreError: the database cannot be reached, or a shared one is not at the newest migration.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.resolved_database_url)
    if settings.database_is_embedded:
        database.migrate()
    else:
        database.require_current()
    with database.read() as session:
        project_id = projects.default(session).id
    artefacts = ArtefactStore(settings.resolved_artefact_url)
    return Service(settings=settings, database=database, artefacts=artefacts, project_id=project_id, stopping=stopping)


def _here(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(_here)]
Limit = Annotated[int, Query(ge=1, le=200, description="items on a page")]
_PLAIN = r"^[!-~]+$"  # no control characters: PostgreSQL takes no NUL in a text
After = Annotated[str | None, Query(max_length=64, pattern=_PLAIN, description="the `next` of the page before")]
Id = Annotated[str, Path(max_length=64, pattern=_PLAIN)]
Number = Annotated[int, Path(ge=0, le=2**31 - 1)]

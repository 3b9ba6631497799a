"""Is anybody there?"""

from importlib.metadata import version

from fastapi import APIRouter

from app.api.schemas import HealthOut
from app.api.service import Here
from app.store import projects

router = APIRouter(tags=["health"])


@router.get("/healthz")
def health(here: Here) -> HealthOut:
    """200 while the service answers and its database can be read; the only path open to everyone."""
    with here.database.read() as session:
        projects.default(session)
    return HealthOut(version=version("espalier"))

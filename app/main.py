"""`create_app`: the web service. Importing this loads neither torch nor optuna; nothing opens before the lifespan."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import anyio
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.types import Lifespan

from app import errors
from app.api import (
    accelerators,
    architectures,
    calibrations,
    datasets,
    docs_page,
    estimates,
    events,
    exports,
    fleet,
    fronts,
    health,
    measurements,
    models,
    openapi,
    profile_matches,
    profiles,
    repricing,
    searches,
    trials,
)
from app.api.guard import BodyLimit, Guard, SecurityHeaders
from app.api.service import API, open_service
from app.pages import fleet_views, material_views, new_search_views, passport_views, profile_views, trial_views
from app.pages import views as pages
from app.settings import Settings

_NOUNS = (
    models,
    architectures,
    datasets,
    accelerators,
    profiles,
    profile_matches,
    calibrations,
    searches,
    trials,
    exports,
    measurements,
    fronts,
    estimates,
    fleet,
    repricing,
    events,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application. Settings come from the environment (`ESPALIER_...`) unless given.

    The database is opened, and an embedded one migrated, when the application starts; set `app.state.stopping`
    to end live event streams before the server waits for its connections.
    """
    settings = settings or Settings()
    stopping = threading.Event()
    app = FastAPI(
        title="Espalier",
        version=version("espalier"),
        summary="The best accuracy a pruned PyTorch model can keep at every latency.",
        lifespan=_lifespan(settings, stopping),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(errors.Incidents),
            Middleware(Guard, settings=settings),
            Middleware(BodyLimit, settings=settings),
        ],
    )
    app.state.stopping = stopping
    errors.install(app)
    _add_routes(app)
    openapi.describe(app)
    return app


def _lifespan(settings: Settings, stopping: threading.Event) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service = await anyio.to_thread.run_sync(open_service, settings, stopping)
        try:
            yield
        finally:
            stopping.set()
            await anyio.to_thread.run_sync(service.database.dispose)

    return lifespan


def _add_routes(app: FastAPI) -> None:
    nouns = APIRouter(prefix=API)
    for module in _NOUNS:
        nouns.include_router(module.router)
    app.include_router(nouns)
    app.include_router(health.router)
    app.include_router(docs_page.router, include_in_schema=False)
    app.include_router(new_search_views.router)  # before /searches/{id}
    app.include_router(pages.router)
    app.include_router(trial_views.router)
    app.include_router(fleet_views.router)
    app.include_router(material_views.router)
    app.include_router(profile_views.router)
    app.include_router(passport_views.router)
    app.mount("/static", pages.STATIC, name="static")


def _operation_id(route: APIRoute) -> str:
    return route.name

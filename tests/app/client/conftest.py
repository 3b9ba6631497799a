"""A client that talks to the application in this process."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.client import Client
from app.settings import Settings
from tests.app.api.world import BASE, World, open_world


class InProcess(httpx2.BaseTransport):
    """Hands requests to starlette's test client."""

    def __init__(self, world: World) -> None:
        self.http = world.http

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        answer = self.http.request(
            request.method, str(request.url), content=request.content, headers=dict(request.headers)
        )
        headers = {k: v for k, v in answer.headers.items() if k not in ("content-length", "content-encoding")}
        return httpx2.Response(answer.status_code, headers=headers, content=answer.content, request=request)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = open_world(Settings(data_dir=tmp_path / "data", database_url=None, artefact_url=None, token=None))
    yield made
    made.close()


@pytest.fixture
def client(world: World) -> Client:
    return Client(BASE, transport=InProcess(world))

"""A client that talks to the application in this process."""

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from world import BASE, World, open_world  # noqa: E402

from app.client import Client  # noqa: E402
from app.settings import Settings  # noqa: E402


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
    made.http.__exit__(None, None, None)


@pytest.fixture
def client(world: World) -> Client:
    return Client(BASE, transport=InProcess(world))

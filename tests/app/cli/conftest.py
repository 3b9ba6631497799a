"""The command line against an application in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.client import client as client_module
from app.settings import Settings
from tests.app.api.world import World, open_world


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TOKEN", "URL", "DATABASE_URL", "ARTEFACT_URL", "HOST", "PORT"):
        monkeypatch.delenv(f"ESPALIER_{name}", raising=False)
    monkeypatch.setenv("ESPALIER_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = open_world(Settings(data_dir=tmp_path / "data"))
    import httpx2

    class InProcess(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            request.read()
            headers = dict(request.headers)
            answer = made.http.request(request.method, str(request.url), content=request.content, headers=headers)
            kept = {k: v for k, v in answer.headers.items() if k != "content-length"}
            return httpx2.Response(answer.status_code, headers=kept, content=answer.content, request=request)

    connection = client_module.Connection

    def connect(url: str, token: str | None = None, **_: object) -> client_module.Connection:
        return connection(url, token, transport=InProcess())

    monkeypatch.setattr(client_module, "Connection", connect)
    yield made
    made.close()


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()

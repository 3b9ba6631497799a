"""One application a test, on an SQLite database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World, open_world

from app.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("ESPALIER_TOKEN", "ESPALIER_DATABASE_URL", "ESPALIER_ARTEFACT_URL"):
        monkeypatch.delenv(name, raising=False)
    return Settings(data_dir=tmp_path / "data", max_upload_bytes=1_000_000)


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    made = open_world(settings)
    yield made
    made.http.__exit__(None, None, None)

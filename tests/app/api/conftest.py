"""One application a test, on an SQLite database of its own; `calm` is shared by tests that change nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from tests.app.api.world import World, open_world


def made_for(folder: Path, **changes: object) -> World:
    return open_world(Settings(data_dir=folder / "data", max_upload_bytes=1_000_000, **changes))  # type: ignore[arg-type]


@pytest.fixture(autouse=True, scope="session")
def _own_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TOKEN", "DATABASE_URL", "ARTEFACT_URL"):
            patch.delenv(f"ESPALIER_{name}", raising=False)
        yield


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = made_for(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = made_for(tmp_path_factory.mktemp("calm"))
    yield made
    made.close()

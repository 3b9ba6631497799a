"""The world of the API's tests, with a second device; pages need nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.pages.made import Pages, open_pages


@pytest.fixture(autouse=True, scope="session")
def _own_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TOKEN", "DATABASE_URL", "ARTEFACT_URL"):
            patch.delenv(f"ESPALIER_{name}", raising=False)
        yield


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Shared by the tests of a module: each makes searches of its own."""
    made = open_pages(tmp_path_factory.mktemp("pages") / "data")
    yield made
    made.world.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Pages]:
    """With no search in it."""
    made = open_pages(tmp_path / "data")
    yield made
    made.world.close()

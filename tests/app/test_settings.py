"""Settings: from the environment, never from a module; each has its line in the documentation."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings
from app.store.blobs import ArtefactStore
from app.store.database import parse_url


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("ESPALIER_")]:
        monkeypatch.delenv(name)


def test_defaults_are_one_machine_on_loopback() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.token) == ("127.0.0.1", 8765, None)
    assert settings.database_is_embedded
    assert settings.max_upload_bytes == 2 * 2**30


def test_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPALIER_DATABASE_URL", "postgresql://there/espalier")
    monkeypatch.setenv("ESPALIER_ARTEFACT_URL", "s3://bucket/espalier")
    monkeypatch.setenv("ESPALIER_SLOTS", "3")
    settings = Settings()
    assert settings.slots == 3 and not settings.database_is_embedded
    assert settings.resolved_database_url == "postgresql://there/espalier"
    assert settings.resolved_artefact_url == "s3://bucket/espalier"


def test_everything_lies_in_the_data_directory_whatever_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "my 100% data"
    settings = Settings(data_dir=folder)
    assert parse_url(settings.resolved_database_url).database == str(folder / "espalier.db")
    digest, _ = ArtefactStore(settings.resolved_artefact_url).put_bytes(b"x")
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [digest]


@pytest.mark.parametrize(("name", "value"), [("PORT", "0"), ("SLOTS", "0"), ("TOKEN", "short"), ("LEASE_S", "0")])
def test_wrong_values_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"ESPALIER_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_secrets_are_not_shown() -> None:
    shown = repr(
        Settings(
            token="a-long-random-text", database_url="postgresql://me:secret@there/db", artefact_url="ftp://me:pw@there"
        )
    )
    assert "127.0.0.1" in shown and not any(word in shown for word in ("a-long-random-text", "secret", "pw@"))


def documented() -> dict[str, str]:
    """Variable -> default, from the table of the documentation."""
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `(ESPALIER_\w+)` \| (.+?) \| .+ \|$", page, re.MULTILINE))


def test_the_documentation_has_a_line_for_each_setting_and_no_other() -> None:
    assert list(documented()) == [f"ESPALIER_{name.upper()}" for name in Settings.model_fields]


def test_the_documentation_states_the_defaults() -> None:
    for name, field in Settings.model_fields.items():
        said = documented()[f"ESPALIER_{name.upper()}"]
        if field.default is None:
            assert "`" not in said.removeprefix("`artefacts`"), name
        else:
            assert type(field.default)(said.strip("`")) == field.default, name


def test_every_setting_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = {
        "data_dir": tmp_path, "database_url": "postgresql://there/db", "artefact_url": "memory://x", "host": "::1",
        "port": 1, "token": "0123456789abcdef", "slots": 2, "max_upload_bytes": 1024, "lease_s": 0.5, "poll_s": 0.25,
    }  # fmt: skip
    for name, value in wanted.items():
        monkeypatch.setenv(f"ESPALIER_{name.upper()}", str(value))
    assert Settings().model_dump() == wanted

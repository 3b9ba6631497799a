"""Settings: environment variables `ESPALIER_*`, read once where a process starts and handed down from there."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything a process of the service needs to know about where it is. Documented in `docs/settings.md`."""

    model_config = SettingsConfigDict(env_prefix="ESPALIER_", frozen=True, extra="ignore")

    data_dir: Path = Path("data")
    database_url: str | None = Field(
        default=None, repr=False, description="SQLAlchemy URL; SQLite in data_dir if unset"
    )
    artefact_url: str | None = Field(default=None, repr=False, description="fsspec URL; data_dir/artefacts if unset")
    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=1, le=65535)
    token: str | None = Field(
        default=None, repr=False, min_length=16, description="what every client must send; needed off loopback"
    )
    slots: int | None = Field(default=None, ge=1, description="tasks at once; as many as cores allow if unset")
    max_upload_bytes: int = Field(default=2 * 2**30, ge=1024)
    lease_s: float = Field(default=15.0, gt=0)
    poll_s: float = Field(default=0.5, gt=0)

    @property
    def resolved_database_url(self) -> str:
        """The database to use."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'espalier.db'}"

    @property
    def resolved_artefact_url(self) -> str:
        """Where artefacts lie."""
        return self.artefact_url or f"file://{self.data_dir.absolute() / 'artefacts'}"

    @property
    def database_is_embedded(self) -> bool:
        """Whether the database is a file of this machine's own, which the service migrates by itself."""
        return self.resolved_database_url.startswith("sqlite")

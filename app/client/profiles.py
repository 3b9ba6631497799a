"""The client's half about profiles: bringing them, matching them to a model, what pays, calibration."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from app.client.http import Connection, download

Json = dict[str, Any]
_V1 = "/api/v1"


class Profiles:
    """Operations on profiles; `Client` has them all."""

    connection: Connection

    def add_profile(self, profile: Mapping[str, Any] | str | Path, *more: str | Path, **given: Any) -> Json:
        """Bring a profile: a document, `{"accelerator": ...}` or `{"measure": {...}}`, or the files of a tool.

        `given` says what the files leave out: device, batch, precision, name, runtime, clock_hz,
        network_latency_ms, layer; and `tool` where the files could be those of several.
        """
        if isinstance(profile, Mapping):
            return dict(self.connection.send("POST", f"{_V1}/profiles", json={**profile, **given}).json())
        data = {key: str(value) for key, value in given.items() if value not in (None, "")}
        with ExitStack() as stack:
            paths = [Path(path) for path in (profile, *more)]
            files = [("file", (path.name, stack.enter_context(path.open("rb")))) for path in paths]
            return dict(self.connection.send("POST", f"{_V1}/profiles", data=data, files=files).json())

    def list_profiles(self, *, limit: int = 50, after: str | None = None) -> Json:
        """A page of profiles, newest first."""
        return self._get("profiles", limit=limit, after=after)

    def get_profile(self, profile_id: str) -> Json:
        """One profile with its document and its warnings."""
        return self._get(f"profiles/{profile_id}")

    def get_profile_csv(self, profile_id: str) -> str:
        """A profile as a spreadsheet."""
        return self._text(f"profiles/{profile_id}.csv")

    def download_profile_file(self, profile_id: str, digest: str, path: str | Path) -> Path:
        """Download a file that a profile was made from to `path`; it appears there only when it is whole."""
        return download(self.connection, f"{_V1}/profiles/{profile_id}/files/{digest}", Path(path))

    def get_profile_match(self, profile_id: str, model: str) -> Json:
        """How a profile's layers were paired with a model's, and whether that is enough for a search."""
        return self._get(f"profiles/{profile_id}/match", model=model)

    def add_profile_aliases(self, profile_id: str, aliases: Mapping[str, str], name: str = "") -> Json:
        """Say which layer of the profile is which of the model; the answer is a new profile."""
        body = {"aliases": dict(aliases), "name": name}
        return dict(self.connection.send("POST", f"{_V1}/profiles/{profile_id}/aliases", json=body).json())

    def get_profile_pays(self, profile_id: str, model: str) -> Json:
        """Does it pay: each layer of a model under each kind of zeros on this device."""
        return self._get(f"profiles/{profile_id}/pays", model=model)

    def get_profile_pays_csv(self, profile_id: str, model: str) -> str:
        """The same as a spreadsheet."""
        return self._text(f"profiles/{profile_id}/pays.csv", model=model)

    def get_model_pays(self, model_id: str, profiles: Sequence[str]) -> Json:
        """Does it pay, on several devices side by side."""
        return self._get(f"models/{model_id}/pays", profiles=",".join(profiles))

    def get_model_pays_csv(self, model_id: str, profiles: Sequence[str]) -> str:
        """The same as a spreadsheet."""
        return self._text(f"models/{model_id}/pays.csv", profiles=",".join(profiles))

    def add_calibration(
        self, profile_id: str, points: Sequence[Mapping[str, Any]], *, start_over: bool = False
    ) -> Json:
        """Add measured latencies: `{"predicted_ms", "measured_ms"}` or `{"search", "trial", "measured_ms"}` each."""
        body = {"points": [dict(point) for point in points], "start_over": start_over}
        return dict(self.connection.send("POST", f"{_V1}/profiles/{profile_id}/calibrations", json=body).json())

    def list_calibrations(self, profile_id: str, *, limit: int = 50, after: str | None = None) -> Json:
        """A page of the versions of a profile's calibration, newest first."""
        return self._get(f"profiles/{profile_id}/calibrations", limit=limit, after=after)

    def get_calibration(self, profile_id: str, version: int) -> Json:
        """One version of a profile's calibration."""
        return self._get(f"profiles/{profile_id}/calibrations/{version}")

    def _get(self, path: str, **query: Any) -> Json:
        return dict(self.connection.get(f"{_V1}/{path}", **query))

    def _text(self, path: str, **query: str) -> str:
        return self.connection.send("GET", f"{_V1}/{path}", params=query).text

"""The client's half about a trial's files: exports with their passport, and plans applied to other weights."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.client.fleets import Fleets
from app.client.http import download

Json = dict[str, Any]
_V1 = "/api/v1"
_ENDED = ("ready", "failed")


class Exports(Fleets):
    """Work on single trials; `Client` has it all."""

    def export_trial(self, search_id: str, number: int, formats: Sequence[str]) -> Json:
        """Ask for files of a complete trial ("pt2", "onnx", "int8", "state"); answers at once with the request."""
        return self._post(f"searches/{search_id}/trials/{number}/exports", {"formats": list(formats)})

    def apply_trial(self, search_id: str, number: int, model_id: str) -> Json:
        """Ask for a trial's plan on newly trained weights of the same model; answers at once with the request."""
        return self._post(f"searches/{search_id}/trials/{number}/apply", {"model": model_id})

    def list_trial_requests(self, search_id: str, number: int) -> Json:
        """What was asked for one trial, newest first."""
        return self._get(f"searches/{search_id}/trials/{number}/requests")

    def get_trial_request(self, search_id: str, number: int, request_id: str) -> Json:
        """One request."""
        return self._get(f"searches/{search_id}/trials/{number}/requests/{request_id}")

    def wait_for_request(self, request: Json, *, timeout_s: float | None = None, every_s: float = 1.0) -> Json:
        """The request once it is ready or failed, or as it stands when the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while request["state"] not in _ENDED and (deadline is None or time.monotonic() < deadline):
            time.sleep(every_s)
            request = self.get_trial_request(request["search"], request["number"], request["id"])
        return request

    def get_passport(self, search_id: str, number: int) -> Json:
        """The passport of a trial's files."""
        return self._get(f"searches/{search_id}/trials/{number}/passport")

    def export(self, search_id: str, number: int, formats: Sequence[str], folder: str | Path) -> dict[str, Path]:
        """Ask for files, wait, and download them with their passport into a folder; the paths by kind.

        Raises:
            ApiError: the service said no. A format that could not be written is left out; the passport says why.
        """
        request = self.wait_for_request(self.export_trial(search_id, number, formats))
        return self.download_request(request, folder) if request["state"] == "ready" else {}

    def download_request_file(self, search_id: str, number: int, request_id: str, kind: str, path: str | Path) -> Path:
        """Download "weights" or "model" that a plan made of other weights to `path`, whole or not at all."""
        place = f"{_V1}/searches/{search_id}/trials/{number}/requests/{request_id}/files/{kind}"
        return download(self.connection, place, Path(path))

    def download_request(self, request: Json, folder: str | Path) -> dict[str, Path]:
        """Download the files of a request that is ready into a folder; the paths by kind."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        base = f"{_V1}/searches/{request['search']}/trials/{request['number']}"
        place = base if request["kind"] == "export" else f"{base}/requests/{request['id']}"
        stem = f"trial-{request['number']}" + ("" if request["kind"] == "export" else f"-applied-{request['id']}")
        return {
            kind: download(self.connection, f"{place}/files/{kind}", target / f"{stem}.{ENDINGS[kind]}")
            for kind in request["files"]
        }


ENDINGS = {
    "weights": "safetensors",
    "model": "pt2",
    "onnx": "onnx",
    "int8": "int8.onnx",
    "state": "zip",
    "passport": "json",
}

"""`Client`: one method an operation, under the operation's name; and what people do with several of them."""

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

from app.client.handles import Search
from app.client.http import DEFAULT_URL, ApiError, Connection, checked, download
from app.client.measurements import Measurements
from app.client.sse import Event, parse

Json = dict[str, Any]
_V1 = "/api/v1"


class Client(Measurements):
    """Talks to a service. Everything it answers is plain lists and dicts, as in the OpenAPI document (`/docs`).

    Usage:
        client = Client()
        search = client.submit_search({"model": ..., "dataset": ..., "profiles": [...]})
        search.wait()                # a progress bar; Ctrl-C stops waiting, not the search
        search.front()["points"]
    """

    def __init__(
        self, url: str = DEFAULT_URL, token: str | None = None, *, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self.connection = Connection(url, token, transport=transport)
        self.url = self.connection.url

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def health(self) -> Json:
        """Who is there. Raises ApiError or httpx2.TransportError if nobody is."""
        return dict(self.connection.get("/healthz"))

    def upload_model(
        self,
        path: str | Path,
        name: str = "",
        *,
        architecture: str = "",
        config: Mapping[str, Any] | None = None,
        graph: str = "",
    ) -> Json:
        """Upload an exported program (`.pt2`; `graph` names one of several in it), or weights (`.safetensors`) of an
        architecture by name.
        """
        said = json.dumps(dict(config)) if config else ""
        fields = {"name": name, "architecture": architecture, "config": said, "graph": graph}
        return self._upload("/models", Path(path), fields)

    def list_architectures(self) -> Json:
        """What can be uploaded by name, and what may be said of each."""
        return self._get("architectures")

    def list_models(self, *, limit: int = 50, after: str | None = None) -> Json:
        """A page of models, newest first: {"items": [...], "next": ...}."""
        return self._get("models", limit=limit, after=after)

    def get_model(self, model_id: str) -> Json:
        """One model with its spec."""
        return self._get(f"models/{model_id}")

    def add_dataset(
        self, kind: str, path: str | Path | None = None, *, name: str = "", options: Mapping[str, Any] | None = None
    ) -> Json:
        """Register a dataset: "digits", or of another kind with a file: "npz", "images", "text", "table", "hf"."""
        fields = {"kind": kind, "name": name, "options": json.dumps(dict(options or {}))}
        return self._upload("/datasets", Path(path) if path is not None else None, fields)

    def list_datasets(self, *, limit: int = 50, after: str | None = None) -> Json:
        """A page of datasets, newest first."""
        return self._get("datasets", limit=limit, after=after)

    def get_dataset(self, dataset_id: str) -> Json:
        """One dataset."""
        return self._get(f"datasets/{dataset_id}")

    def list_accelerators(self) -> Json:
        """The catalogue of accelerators."""
        return self._get("accelerators")

    def get_accelerator(self, name: str) -> Json:
        """One accelerator."""
        return self._get(f"accelerators/{name}")

    def submit_search(self, spec: Mapping[str, Any], *, key: str | None = None) -> Search:
        """Submit a search and return at once. A lost answer is asked for again under the same idempotency key."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        answer = self.connection.send("POST", f"{_V1}/searches", repeatable=True, json=dict(spec), headers=headers)
        return Search(self, answer.json())

    def search(self, search_id: str) -> Search:
        """A handle on a search that was submitted before."""
        return Search(self, self.get_search(search_id))

    def list_searches(self, *, limit: int = 50, after: str | None = None, state: str | None = None) -> Json:
        """A page of searches, newest first."""
        return self._get("searches", limit=limit, after=after, state=state)

    def get_search(self, search_id: str) -> Json:
        """One search."""
        return self._get(f"searches/{search_id}")

    def cancel_search(self, search_id: str) -> Json:
        """Ask for the end of a search."""
        path = f"{_V1}/searches/{search_id}/cancel"
        return dict(self.connection.send("POST", path, repeatable=True).json())

    def extend_search(self, search_id: str, trials: int) -> Json:
        """Ask for more trials of a search."""
        path = f"{_V1}/searches/{search_id}/extend"
        return dict(self.connection.send("POST", path, json={"trials": trials}).json())

    def list_trials(
        self, search_id: str, *, limit: int = 50, after: int | str | None = None, state: str | None = None
    ) -> Json:
        """A page of trials by number."""
        return self._get(f"searches/{search_id}/trials", limit=limit, after=after, state=state)

    def get_trial(self, search_id: str, number: int) -> Json:
        """One trial with its per-layer table."""
        return self._get(f"searches/{search_id}/trials/{number}")

    def download_trial_file(self, search_id: str, number: int, kind: str, path: str | Path) -> Path:
        """Download a file of a trial ("weights", "model", or what was exported) to `path`, whole or not at all."""
        return download(self.connection, f"{_V1}/searches/{search_id}/trials/{number}/files/{kind}", Path(path))

    def get_front(self, search_id: str, profile: str | None = None) -> Json:
        """The front on one profile (the search's first if left out)."""
        return self._get(f"searches/{search_id}/front", profile=profile)

    def get_front_csv(self, search_id: str, profile: str | None = None) -> str:
        """The front as a spreadsheet."""
        query = {"profile": profile} if profile else {}
        return self.connection.send("GET", f"{_V1}/searches/{search_id}/front.csv", params=query).text

    def stream_events(self, search_id: str, *, last_event_id: int = 0) -> Iterator[Event]:
        """What happens in a search, live, until it ends or the service closes the stream (ten minutes)."""
        headers = {"Last-Event-ID": str(last_event_id)}
        with self.connection.http.stream("GET", f"{_V1}/searches/{search_id}/events", headers=headers) as response:
            if response.status_code >= 400:
                response.read()
            yield from parse(checked(response).iter_lines())

    def pages(self, noun: str) -> Iterator[Json]:
        """Every item of a list ("models", "datasets", "profiles", "searches"), page after page."""
        after: str | None = None
        while True:
            found = self._get(noun, limit=200, after=after)
            yield from found["items"]
            after = found["next"]
            if after is None:
                return

    def _upload(self, path: str, file: Path | None, fields: Mapping[str, str]) -> Json:
        with ExitStack() as stack:
            files = {"file": (file.name, stack.enter_context(file.open("rb")))} if file else None
            data = {key: value for key, value in fields.items() if value}
            return dict(self.connection.send("POST", f"{_V1}{path}", data=data, files=files).json())


__all__ = ["ApiError", "Client"]

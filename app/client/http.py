"""One HTTP connection to a service: token, errors as exceptions, retries of what is safe to repeat."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

DEFAULT_URL = "http://127.0.0.1:8765"
ATTEMPTS = 3
_AGAIN = (502, 503, 504)


class ApiError(Exception):
    """The service said no: `status`, a stable `code`, the sentence, and `errors` with pointers into the request."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", "http"))
        self.detail = str(problem.get("detail", f"the service answered {status}"))
        self.errors = list(problem.get("errors", []))
        self.problem = dict(problem)
        super().__init__(self.detail)


class Connection:
    """Sends requests below one address. A transport can be given, for tests and for unusual networks."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        transport: httpx2.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = httpx2.Timeout(30.0, read=300.0)
        self.http = httpx2.Client(base_url=self.url, headers=headers, timeout=timeout, transport=transport)
        self._pause = pause

    def get(self, path: str, **query: Any) -> Any:
        """GET as JSON; query values that are None are left out."""
        return self.send("GET", path, params=_given(query)).json()

    def send(self, method: str, path: str, *, repeatable: bool | None = None, **arguments: Any) -> httpx2.Response:
        """One request; a broken connection is tried again where repeating does no harm.

        Raises:
            ApiError: any answer of 400 and above.
            httpx2.TransportError: nobody answers.
        """
        tries = ATTEMPTS if (repeatable if repeatable is not None else method == "GET") else 1
        for attempt in range(1, tries + 1):
            try:
                response = self.http.request(method, path, **arguments)
            except httpx2.TransportError:
                if attempt == tries:
                    raise
            else:
                if response.status_code not in _AGAIN or attempt == tries:
                    return checked(response)
            self._pause(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close the connection."""
        self.http.close()


def checked(response: httpx2.Response) -> httpx2.Response:
    """The response, or ApiError if it is an error."""
    if response.status_code < 400:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    raise ApiError(response.status_code, problem if isinstance(problem, dict) else {})


def download(connection: Connection, address: str, target: Path) -> Path:
    """Stream an answer into a file, which appears only when it is whole.

    Raises:
        ApiError: any answer of 400 and above.
    """
    partial = target.with_name(target.name + ".partial")
    with connection.http.stream("GET", address) as response:
        if response.status_code >= 400:
            response.read()
        checked(response)
        with partial.open("wb") as out:
            for chunk in response.iter_bytes():
                out.write(chunk)
    return partial.replace(target)


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in query.items() if value is not None}

"""`Search`: a handle on a submitted search. Waiting is yours to stop; the search goes on."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from app.client.client import Client

FINISHED = frozenset({"succeeded", "failed", "cancelled"})


class Search:
    """A submitted search: `id`, `url` of its page, and its state as last seen."""

    def __init__(self, client: "Client", document: Mapping[str, Any]) -> None:
        self._client = client
        self.document = dict(document)
        self.id = str(document["id"])
        self.url = client.url + str(document["links"]["page"])

    def __repr__(self) -> str:
        return f"Search({self.id!r}, {self.state!r}, {self.url!r})"

    @property
    def state(self) -> str:
        """The state as last seen."""
        return str(self.document["state"])

    @property
    def finished(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self.state in FINISHED

    def refresh(self) -> "Search":
        """Ask the service how it stands."""
        self.document = self._client.get_search(self.id)
        return self

    def wait(
        self, timeout_s: float | None = None, *, show: bool = True, on_change: Callable[["Search"], None] | None = None
    ) -> "Search":
        """Wait for the end, with a progress bar. Ctrl-C and the timeout stop the waiting, never the search.

        `on_change` is called with the handle about once a second instead of the progress bar. Connections that
        break are made again for as long as the waiting lasts.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if show and on_change is None:
            from app.client.progress import bar

            with bar(self) as update:
                self._poll(deadline, update)
        else:
            self._poll(deadline, on_change or (lambda _: None))
        return self

    def _poll(self, deadline: float | None, report: Callable[["Search"], None]) -> None:
        try:
            while True:
                try:
                    self.refresh()
                except httpx2.TransportError:
                    pass  # the service is restarting, or the network is away; the search does not mind
                report(self)
                left = 1.0 if deadline is None else deadline - time.monotonic()
                if self.finished or left <= 0:
                    return
                time.sleep(min(1.0, left))
        except KeyboardInterrupt:
            return

    def front(self, profile: str | None = None) -> dict[str, Any]:
        """The front on a profile (the search's first if left out), as plain lists and dicts."""
        return self._client.get_front(self.id, profile)

    def fronts(self) -> dict[str, dict[str, Any]]:
        """The front on every profile of the search, by profile id."""
        return {profile: self.front(profile) for profile in self.document["profiles"]}

    def trial(self, number: int) -> dict[str, Any]:
        """One trial with its per-layer table."""
        return self._client.get_trial(self.id, number)

    def extend(self, trials: int) -> "Search":
        """Ask for so many trials more; `wait` waits for them too."""
        self.document = self._client.extend_search(self.id, trials)
        return self

    def cancel(self) -> "Search":
        """Ask for its end."""
        self.document = self._client.cancel_search(self.id)
        return self

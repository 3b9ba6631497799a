"""The client's half about what a search will take, about later profiles, and about several devices at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.client.profiles import Profiles

Json = dict[str, Any]
_V1 = "/api/v1"
_NEWEST = object()


class Fleets(Profiles):
    """Estimates, re-pricing and fleets; `Client` has them all."""

    def estimate_search(self, spec: Mapping[str, Any]) -> Json:
        """What a search would take and reach, and which of its limits it cannot; nothing is submitted."""
        return self._post("searches/estimate", dict(spec))

    def list_estimates(self, *, limit: int = 50, after: str | None = None) -> Json:
        """Estimates of searches that have ended beside what they took, newest first."""
        return self._get("estimates", limit=limit, after=after)

    def reprice_model(
        self,
        model_id: str,
        profile: str,
        *,
        against: str | None = None,
        calibration: Any = _NEWEST,
        acknowledge: Sequence[str] = (),
    ) -> Json:
        """Price all trials of a model on another profile, without training; how each front changes.

        `calibration` is an id, or None for none; left out it is the newest of the profile.
        """
        body: Json = {"profile": profile, "against": against, "acknowledge": list(acknowledge)}
        chosen = {} if calibration is _NEWEST else {"calibration": calibration}
        return self._post(f"models/{model_id}/reprice", body | chosen)

    def get_fleet(self, search_id: str, *, profiles: Sequence[str] = (), by: str = "dense") -> Json:
        """The front of the worst device: share of the dense latency (or, by="limit", of the limit) against quality."""
        return self._get(f"searches/{search_id}/fleet", profiles=",".join(profiles) or None, by=by)

    def cover_fleet(
        self,
        search_id: str,
        limits: Sequence[Mapping[str, Any]],
        *,
        k: int | None = None,
        objective: str = "mean",
    ) -> Json:
        """The fewest trials, or the best `k`, that meet limits: `{"profile", "latency_ms" or "share"}` each."""
        body = {"limits": [dict(limit) for limit in limits], "k": k, "objective": objective}
        return self._post(f"searches/{search_id}/fleet", body)

    def _post(self, path: str, body: Mapping[str, Any]) -> Json:
        return dict(self.connection.send("POST", f"{_V1}/{path}", repeatable=True, json=dict(body)).json())

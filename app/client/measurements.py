"""The client's half about what trials really take: verifications, a team's own numbers, and what was shipped."""

from collections.abc import Sequence
from typing import Any

from app.client.exports import Exports

Json = dict[str, Any]
_V1 = "/api/v1"


class Measurements(Exports):
    """Measurements of single trials; `Client` has them all."""

    def verify_trial(self, search_id: str, number: int, backends: Sequence[str] = ("onnxruntime",), **how: Any) -> Json:
        """Ask for a trial's model to be timed beside the dense one; answers at once with the request.

        `how` may say `batch`, `threads`, `device`, `precision` and `budget_s`.
        """
        return self._post(f"searches/{search_id}/trials/{number}/verify", {"backends": list(backends), **how})

    def post_measurement(self, search_id: str, number: int, metric: str, value: float, **told: Any) -> Json:
        """Add a number of your own to a trial: `split`, `samples`, `standard_error`, `profile`, `device`, `note`, ...

        It is sent once: where the connection breaks, look whether it is there before you send it again.
        """
        path = f"{_V1}/searches/{search_id}/trials/{number}/measurements"
        return dict(self.connection.send("POST", path, json={"metric": metric, "value": value, **told}).json())

    def ship_trial(self, search_id: str, number: int, note: str = "") -> Json:
        """Mark a trial as the one that went out."""
        path = f"{_V1}/searches/{search_id}/trials/{number}/shipped"
        return dict(self.connection.send("PUT", path, repeatable=True, json={"note": note}).json())

    def unship_trial(self, search_id: str, number: int) -> Json:
        """Take the mark away."""
        path = f"{_V1}/searches/{search_id}/trials/{number}/shipped"
        return dict(self.connection.send("DELETE", path, repeatable=True).json())

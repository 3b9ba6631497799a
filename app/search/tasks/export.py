"""A trial's files on request, with their passport. Torch is imported where it is used."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.search.tasks.base import Answer, Report
from app.search.tasks.base import setting as setting_of


def export(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Write the formats that were asked for from the trial's stored weights, prove them, and write the passport."""
    from app.search.exports.exporting import Request
    from app.search.exports.exporting import export as exported
    from app.search.trial import Trial

    request = Request(
        trial=Trial.from_json(payload["trial"]),
        stored={kind: Path(path) for kind, path in payload["stored"].items()},
        formats=tuple(payload["formats"]),
        provenance=payload.get("provenance", {}),
    )
    found = exported(setting_of(payload), request, folder, report)
    passport = folder / "passport.json"
    document = found.passport.to_json()
    passport.write_text(json.dumps(document, indent=1, sort_keys=True, allow_nan=False), "utf-8")
    hops = {hop.name: hop.failure.reason if hop.failure else hop.state for hop in found.passport.hops}
    files = {kind: str(path) for kind, path in found.files.items()}
    return {"hops": hops}, {**files, "passport": str(passport)}

"""Datasets: an upload brought into the one form. Torch is imported where it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.search.tasks.base import Answer, Report


def prepare(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Bring a dataset into the one form."""
    from app.search import sources

    upload = Path(payload["upload"]) if payload.get("upload") else None
    prepared = sources.prepare(payload["kind"], upload, payload.get("options", {}), report, folder)
    arrays = folder / "arrays.zip"
    prepared.write(arrays)
    return {"meta": prepared.meta()}, {"arrays": str(arrays)}

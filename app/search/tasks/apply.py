"""A trial's plan applied again, to other weights of the same model. Torch is imported where it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.search.tasks.base import Answer, Report
from app.search.tasks.trial import trial


def apply(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Run the trial's plan with its recovery and seed; the payload's files are the other model's."""
    return trial(payload, folder, report)

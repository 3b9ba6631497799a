"""Profiles: a model measured on this machine. Torch is imported where it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.search.tasks.base import Answer, Report


def profile(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:  # noqa: ARG001 - makes no files
    """Measure a model's layers on this machine."""
    from costmodels.measure.campaign import measure
    from costmodels.measure.options import MeasureOptions
    from pruning.graphnet import load_files
    from pruning.layers import ModelSpec

    net = load_files(payload["graph"], payload["weights"])
    spec = ModelSpec.from_json(payload["spec"])
    keys = ("batch", "threads", "backend", "device", "precision")
    options = MeasureOptions(**{key: payload[key] for key in keys if key in payload})
    found = measure(net, spec, options, report)
    return {"profile": found.profile.to_json()}, {}

"""Models: an upload read, traced, described. Torch is imported where it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.search.tasks.base import Answer, Report


def inspect(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Read an uploaded model file with our own reader, describe it, and count its MACs a second way."""
    from dataclasses import replace

    from pruning.graphnet import load
    from pruning.intake.reader import read_exported_program, write_model
    from pruning.trace import trace

    report(0.1, "reading the file")
    document, tensors = read_exported_program(Path(payload["upload"]))
    write_model(document, tensors, folder)
    report(0.5, "tracing the graph")
    net = load(folder)
    spec = trace(net)
    report(0.7, "counting multiply-adds")
    spec = replace(spec, notes=(*spec.notes, _counted(net, spec)))
    files = {"graph": str(folder / "graph.json"), "weights": str(folder / "weights.safetensors")}
    return {"spec": spec.to_json()}, files


def _counted(net: Any, spec: Any) -> str:
    """What fvcore counts, beside what the layers' shapes say."""
    import torch

    from costmodels.macs import count_macs, disagreement
    from pruning.calls import DTYPES
    from pruning.trace import single_shape

    example = tuple(torch.zeros(2, *single_shape(i), dtype=DTYPES[i.dtype]) for i in net.document.inputs)
    count = count_macs(net, example)
    return disagreement(count, spec) or f"{spec.macs} multiply-adds a sample in the prunable layers, as fvcore counts"

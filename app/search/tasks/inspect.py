"""Models: an upload read, traced, described. Torch is imported where it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.search.tasks.base import Answer, Report


def inspect(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Read an upload with our own reader, describe it, and count its MACs a second way.

    `upload` is an exported program, of which `graph` names one graph where it has several; or, beside an
    `architecture` and its `config`, a safetensors file.
    """
    from dataclasses import replace

    from pruning.describe import describe
    from pruning.graphnet import load
    from pruning.intake.reader import write_model

    report(0.1, "reading the file")
    read = _named if "architecture" in payload else _exported
    document, tensors, notes = read(payload, folder)
    write_model(document, tensors, folder)
    report(0.5, "tracing the graph")
    net = load(folder)
    _check_weights(net)
    spec = describe(net)
    report(0.7, "counting multiply-adds")
    spec = replace(spec, notes=(*notes, *spec.notes, _counted(net, spec)))
    files = {"graph": str(folder / "graph.json"), "weights": str(folder / "weights.safetensors")}
    return {"spec": spec.to_json()}, files


def _exported(payload: Mapping[str, Any], _: Path) -> tuple[Any, Any, tuple[str, ...]]:
    """The graph of an exported program, its tensors, and nothing to say beyond what the graph says."""
    from pruning.intake.reader import read_exported_program

    document, tensors = read_exported_program(Path(payload["upload"]), graph=payload.get("graph", ""))
    return document, tensors, ()


def _named(payload: Mapping[str, Any], folder: Path) -> tuple[Any, Any, tuple[str, ...]]:
    """The same of an architecture of the table with the uploaded weights, exported here and now."""
    from tempfile import TemporaryDirectory

    from pruning.architectures import example
    from pruning.architectures.named import build_named, named_config
    from pruning.convert import convert
    from pruning.intake.reader import read_exported_program

    name, config = payload["architecture"], payload.get("config", {})
    inputs = example(named_config(name, config).inputs)
    module = build_named(name, config, Path(payload["upload"]))
    notes = [f"built by name as {name}; the weights fit in names and shapes"]
    with TemporaryDirectory(dir=folder) as inside:
        done = convert(module, inputs, Path(inside) / "exported.pt2")
        document, tensors = read_exported_program(done.path)
    if done.fallback:
        notes.append(f"exported in eval mode, for in train mode {done.fallback}")
    return document, tensors, tuple(notes)


def _check_weights(net: Any) -> None:
    """Refuse parameters that are no numbers, by name; buffers and constants may hold infinities, as masks do."""
    from pruning.errors import IntakeError
    from pruning.graphnet import tensors_of

    tensors = tensors_of(net)
    for entry in net.document.parameters:
        bad = 0 if entry.kind != "parameter" else int((~tensors[entry.id].isfinite()).sum())
        if bad:
            raise IntakeError(
                f"{bad} of the {tensors[entry.id].numel()} values of {entry.name[:80]!r} are no finite numbers: "
                "its training diverged; upload weights from before that"
            )


def _counted(net: Any, spec: Any) -> str:
    """What fvcore counts, beside what the layers' shapes say."""
    import torch

    from costmodels.macs import count_macs, disagreement
    from pruning.calls import DTYPES
    from pruning.trace import single_shape

    example = tuple(torch.zeros(2, *single_shape(i), dtype=DTYPES[i.dtype]) for i in net.document.inputs)
    count = count_macs(net, example)
    return disagreement(count, spec) or f"{spec.macs} multiply-adds a sample in the prunable layers, as fvcore counts"

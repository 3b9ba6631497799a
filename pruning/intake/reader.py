"""Reads `.pt2` exported programs with our own parser: nothing of the file is unpickled, evaluated or run.

`torch.export.load` runs code hidden in a file in at least five ways (pickled sample inputs, pickled weights,
guard strings, symbolic expressions, names pasted into generated source). This reader takes an archive within
limits, parses the graph's JSON itself, admits operators from a table, and copies raw tensor bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pruning.errors import IntakeError
from pruning.intake import fields
from pruning.intake.archive import Archive, Limits
from pruning.intake.document import GraphDocument
from pruning.intake.translate import Translation
from pruning.intake.weights import RawTensor, StoredTensor, read_tensors, write_safetensors

__all__ = ["Limits", "RawTensor", "read_document", "read_exported_program", "write_model"]

_SCHEMA_MAJOR = 8
_AGAIN = "export the model again with torch 2.13 or newer, or use `espalier convert`"
_SHOWN = 8  # names of graphs in a message
# Layouts that hold no graph of the current form, told by what their members are called.
_OLD = (
    ("serialized_exported_program.json", "it is of torch 2.7 or older, whose weights are pickled"),
    ("data/aotinductor/", "it holds compiled code (AOTInductor) and no graph"),
    ("data/executorch/", "it holds an ExecuTorch program and no graph"),
    ("data.pkl", "it is a pickle (torch.save) or TorchScript"),
    ("code/", "it is TorchScript, which is code"),
)


def read_exported_program(
    path: Path, limits: Limits | None = None, graph: str = ""
) -> tuple[GraphDocument, dict[str, RawTensor]]:
    """The graph of a `.pt2` file and its tensors, keyed by the graph's parameter identifiers.

    Args:
        path: the file, as `torch.export.save` or `torch.export.pt2_archive`'s `package_pt2` writes it.
        limits: how much it may ask of us.
        graph: which of its graphs, where it holds several.

    Raises:
        IntakeError: the file is refused; the message says what is wrong with it and what would do.
    """
    limits = limits or Limits()
    with Archive(path, limits) as archive:
        name, others = _chosen(archive, graph)
        where = f"models/{name}.json"
        program = fields.parse_json(archive.read(where, limits.json_bytes), where)
        version = fields.member(fields.member(program, "schema_version", where), "major", where)
        if version != _SCHEMA_MAJOR:
            raise IntakeError(f"the program has schema {fields.shown(version)}, not {_SCHEMA_MAJOR}: {_AGAIN}")
        stored: dict[str, StoredTensor] = {}
        for folder, kind in (("data/constants", "constants"), ("data/weights", "weights")):
            config = f"{folder}/{name}_{kind}_config.json"
            if config not in archive.names and f"{folder}/{name}.pt" in archive.names:
                raise IntakeError(f"the {kind} are pickled, as an older torch wrote them, and unread: {_AGAIN}")
            stored |= read_tensors(archive, folder, config, limits)
    translation = Translation(program, stored, limits)
    document = translation.document()
    if others:
        document = replace(document, notes=(f"of {others + 1} graphs in the file, {graph} was read", *document.notes))
    return document, translation.tensors


def _chosen(archive: Archive, graph: str) -> tuple[str, int]:
    """The name of the graph to read, and how many others there are."""
    if "byteorder" in archive.names and archive.read("byteorder", 64).strip() != b"little":
        raise IntakeError("the file's numbers are not little-endian: export the model on an ordinary machine")
    members = sorted(name for name in archive.names if name.startswith("models/") and name.endswith(".json"))
    names = [name.removeprefix("models/").removesuffix(".json") for name in members]
    listed = ", ".join(map(fields.shown, names[:_SHOWN])) + (" and more" if len(names) > _SHOWN else "")
    if not names:
        raise IntakeError(f"the archive holds no exported program of the current form{_kind(archive)}: {_AGAIN}")
    if graph and graph not in names:
        raise IntakeError(f"the archive holds no graph {fields.shown(graph)}; it holds {listed}")
    if len(names) > 1 and not graph:
        raise IntakeError(f"the archive holds {len(names)} graphs: {listed}; say which, as graph=NAME of the upload")
    return graph or names[0], len(names) - 1


def _kind(archive: Archive) -> str:
    known = (why for start, why in _OLD if any(name.startswith(start) for name in archive.names))
    return next((f"; {why}" for why in known), "")


def write_model(document: GraphDocument, tensors: Mapping[str, RawTensor], folder: Path) -> None:
    """Write `graph.json` and `weights.safetensors` (keys: parameter identifiers) into `folder`."""
    text = json.dumps(document.to_json(), allow_nan=False, separators=(",", ":"))
    (folder / "graph.json").write_text(text, encoding="utf-8")
    write_safetensors(tensors, folder / "weights.safetensors")


def read_document(path: Path) -> GraphDocument:
    """The document that `write_model` wrote.

    Raises:
        IntakeError: another schema number, or not such a file.
    """
    limits = Limits()
    if path.stat().st_size > limits.json_bytes:
        raise IntakeError(f"{path.name} has more than {limits.json_bytes} bytes")
    document: Any = fields.mapping(fields.parse_json(path.read_bytes(), path.name), path.name)
    try:
        return GraphDocument.from_json(document)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, IntakeError):
            raise
        raise IntakeError(f"{path.name} is not a graph document: upload the model again") from error

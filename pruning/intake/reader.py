"""Reads `.pt2` exported programs with our own parser: nothing of the file is unpickled, evaluated or run.

`torch.export.load` runs code hidden in a file in at least five ways (pickled sample inputs, pickled weights,
guard strings, symbolic expressions, names pasted into generated source). This reader takes an archive within
limits, parses the graph's JSON itself, admits operators from a table, and copies raw tensor bytes.
"""

import json
from collections.abc import Mapping
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


def read_exported_program(path: Path, limits: Limits | None = None) -> tuple[GraphDocument, dict[str, RawTensor]]:
    """The graph of a `.pt2` file and its tensors, keyed by the graph's parameter identifiers.

    Raises:
        IntakeError: the file is refused; the message says what is wrong with it and what would do.
    """
    limits = limits or Limits()
    with Archive(path, limits) as archive:
        name = _model_name(archive)
        where = f"models/{name}.json"
        program = fields.parse_json(archive.read(where, limits.json_bytes), where)
        version = fields.member(fields.member(program, "schema_version", where), "major", where)
        if version != _SCHEMA_MAJOR:
            raise IntakeError(f"the program has schema {fields.shown(version)}, not {_SCHEMA_MAJOR}: {_AGAIN}")
        stored: dict[str, StoredTensor] = {}
        for folder, kind in (("data/constants", "constants"), ("data/weights", "weights")):
            stored |= read_tensors(archive, folder, f"{folder}/{name}_{kind}_config.json", limits)
    translation = Translation(program, stored, limits)
    return translation.document(), translation.tensors


def _model_name(archive: Archive) -> str:
    if "byteorder" in archive.names and archive.read("byteorder", 64).strip() != b"little":
        raise IntakeError("the file's numbers are not little-endian: export the model on an ordinary machine")
    models = sorted(n for n in archive.names if n.startswith("models/") and n.endswith(".json"))
    if not models:
        raise IntakeError(f"the archive holds no exported program of the current form: {_AGAIN}")
    if len(models) > 1:
        raise IntakeError(f"the archive holds {len(models)} models; upload them one by one")
    return models[0].removeprefix("models/").removesuffix(".json")


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

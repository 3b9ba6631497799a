"""TensorRT: `trtexec --exportProfile` (the times), with `--exportLayerInfo` (the shapes) and TREX metadata beside it.

The times are those of single layers under the profiler, which keeps CUDA graphs and overlapping streams off: their sum
exceeds the latency of the engine by up to a third, so the latency without the profiler (TREX writes it into
`*.profile.metadata.json`) belongs to the profile. Layers of zero time, which the engine removed, are only described.
The layer information has shapes only for engines built with `--profilingVerbosity=detailed`.
"""

from collections.abc import Mapping
from typing import Any

from costmodels.importers.base import Files, Given, Importer, Timed, build, printable, tabulated
from costmodels.importers.cells import listed, mapping, number, only, quoted, refuse
from costmodels.importers.engine_layers import batch_of, described, precision_of
from costmodels.importers.files import SourceFile
from costmodels.profile import Profile, ProfileLayer

_MEDIAN = 3  # TREX: minimum, maximum, mean, median, then percentiles


def _role(file: SourceFile) -> str | None:
    document = file.json_or_none
    if isinstance(document, list) and document and isinstance(document[0], dict):
        first = document[0]
        if first.keys() == {"count"} or first.keys() >= {"name", "averageMs"}:
            return "profile"
        return "device" if {"Name", "ComputeCapability"} <= first.keys() else None
    if isinstance(document, dict):
        if isinstance(document.get("Layers"), list) and "Bindings" in document:
            return "graph"
        if "performance_summary" in document and "device_information" in document:
            return "times"
        return "build" if {"model_options", "build_options"} <= document.keys() else None
    return None


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "profile", "profiles of TensorRT")
    times_ms = _times(file)
    known = _layers(files)
    if known and not any(name in known for name, _ in times_ms):
        raise file.refusal(f"and {files['graph'][0].name[:80]!r} are of different engines: no layer has the same name")
    timed = [
        Timed(layer=known.get(name) or described(name, {}), latency_ms=latency_ms) for name, latency_ms in times_ms
    ]
    layers, rows = tabulated(timed)
    metadata = mapping(_document(files, "times").get("device_information"))
    return build(
        files,
        given,
        layers,
        rows,
        source="measured",
        runtime="TensorRT",
        tool="trtexec",
        device=_device(files, metadata),
        batch=batch_of(_graph(files)) or _stated_batch(files),
        precision=precision_of(_graph(files)),
        clock_hz=_clock_hz(metadata),
        statistic="mean",
        runs=_runs(file),
        original_unit="ms",
        network_latency_ms=_network_ms(files),
        note=_note(layers, len(layers) - len(rows), detailed=any(layer.weights for layer in layers)),
    )


def _times(file: SourceFile) -> list[tuple[str, float]]:
    """Name and mean time of every layer; means, because the mean of a sum is the sum of the means."""
    problems: list[str] = []
    found = []
    for at, entry in enumerate(listed(file, file.json, "layers"), start=1):
        if at == 1 and isinstance(entry, dict) and "name" not in entry:
            continue  # the count of runs
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
            problems.append(f"entry {at}: it has no name")
            continue
        latency_ms = number(entry.get("averageMs")) if not isinstance(entry.get("averageMs"), str) else None
        if latency_ms is None or latency_ms < 0.0:
            what = quoted(entry["averageMs"]) if "averageMs" in entry else "missing"
            problems.append(f"entry {at} ({quoted(entry['name'])}): averageMs is {what}, not zero or a positive number")
            continue
        found.append((entry["name"], latency_ms))
    if not found and not problems:
        problems.append("there are no layers: export the profile again with --exportProfile")
    refuse(file, problems)
    return found


def _runs(file: SourceFile) -> int | None:
    count = file.json[0].get("count")
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 2**40 else None


def _layers(files: Files) -> dict[str, ProfileLayer]:
    """The described layers of the engine by name; bare names, of an engine without details, say nothing."""
    entries = _graph(files).get("Layers", ())
    named = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("Name"), str)]
    return {entry["Name"]: described(entry["Name"], entry) for entry in named}


def _graph(files: Files) -> Mapping[str, Any]:
    return _document(files, "graph")


def _document(files: Files, role: str) -> Mapping[str, Any]:
    found = only(files, role, f"files of TensorRT's {role}").json if role in files else {}
    return found[0] if isinstance(found, list) else found


def _device(files: Files, metadata: Mapping[str, Any]) -> str | None:
    name = metadata.get("Selected Device") or _document(files, "device").get("Name")
    return printable(name) or None if isinstance(name, str) else None


def _clock_hz(metadata: Mapping[str, Any]) -> float | None:
    """TREX gives the clock in GHz."""
    clock_ghz = number(metadata.get("Compute Clock Rate"))
    return clock_ghz * 1e9 if clock_ghz and 0.0 < clock_ghz < 1e3 else None


def _stated_batch(files: Files) -> int | None:
    """What TREX says: the first size of "input=32x3x224x224", or a plain number."""
    options = mapping(_document(files, "times").get("inference_options"))
    shape, plain = str(options.get("Input inference shape", "")), str(options.get("Batch", ""))
    first = shape.rpartition("=")[2].partition("x")[0] or plain
    return int(first) if first.isascii() and first.isdecimal() and len(first) < 6 else None


def _network_ms(files: Files) -> float | None:
    """Median latency of the engine without the profiler."""
    if "times" not in files:
        return None
    latencies = mapping(_document(files, "times").get("performance_summary")).get("Latency")
    found = [number(one) for one in latencies[: _MEDIAN + 1]] if isinstance(latencies, list) else []
    if len(found) <= _MEDIAN or None in found or not 0.0 < (found[0] or 0.0) <= (found[_MEDIAN] or 0.0):
        raise files["times"][0].refusal(
            "has no performance_summary.Latency of minimum, maximum, mean and median: leave the file out "
            "and state network_latency_ms"
        )
    return found[_MEDIAN]


def _note(layers: list[ProfileLayer], zero: int, *, detailed: bool) -> str:
    said = [f"{zero} of {len(layers)} layers took no time and are described without a row"] if zero else []
    if not detailed:
        said.append("no shapes: give --exportLayerInfo of an engine built with --profilingVerbosity=detailed")
    return "; ".join(said)


TENSORRT = Importer(
    name="tensorrt",
    title="TensorRT",
    roles={
        "profile": "the JSON of trtexec --exportProfile",
        "graph": "the JSON of trtexec --exportLayerInfo",
        "times": "TREX's profile.metadata.json with the latency of the engine",
        "device": "TREX's metadata.json of the device",
        "build": "TREX's build.metadata.json",
    },
    required=("profile",),
    recognise=_role,
    read=_read,
)

"""Qualcomm AI Hub: the profile of a job as JSON (`download_profile`), and why perf.yaml is not enough.

`execution_summary` holds the network's times in microseconds, `execution_detail` one entry a layer: name, type,
compute_unit, execution_time in microseconds, execution_cycles. Layouts are known from the documentation and from
programs that read them; no whole real file was at hand. Runtimes that fuse give most entries no time: these stay as
layers without a row. Where no entry has a time, cycles are read, and the clock must be stated.

perf.yaml holds one latency of the whole network a device: nothing in it prices a layer, so it is refused.
"""

import re
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from costmodels.importers.base import Files, Given, Importer, build, unique
from costmodels.importers.cells import HEAD, listed, number, only, positive, quoted, refuse
from costmodels.importers.files import SourceFile
from costmodels.profile import Profile, ProfileLayer, ProfileRow

_DETAIL, _SUMMARY = "execution_detail", "execution_summary"
_OF_NETWORKS = ("performance_metrics:", "inference_time_milliseconds:")
_MULTIPLIES = re.compile(
    r"(?:depthwise|transposed?|grouped)?(?:conv(?!ert)|fullyconnected|gemm|matmul|linear|dense)", re.IGNORECASE
)
_SAME = 1e-6


def _role(file: SourceFile) -> str | None:
    head = file.text[:HEAD]
    if f'"{_DETAIL}"' in head or f'"{_SUMMARY}"' in head:
        document = file.json
        return "profile" if isinstance(document, dict) and isinstance(document.get(_DETAIL), list) else None
    return "network" if all(word in head for word in _OF_NETWORKS) else None


def _read(files: Files, given: Given) -> Profile:
    if "network" in files:
        raise files["network"][0].refusal(
            "holds the latency of whole networks, none of a layer, so no plan can be priced from it: "
            "download the profile of the job as JSON and give that alone"
        )
    file = only(files, "profile", "profiles of AI Hub")
    problems: list[str] = []
    entries = _entries(file, problems)
    column = "execution_time" if any(positive(entry.get("execution_time")) for entry in entries) else "execution_cycles"
    scale = _milliseconds_of(column, file, given)
    times = [_time(entry, column, at, problems) for at, entry in enumerate(entries, start=1)]
    summary = file.json.get(_SUMMARY)
    network_us = _network_us(summary if isinstance(summary, dict) else {}, problems)
    refuse(file, problems)
    layers = unique([_layer(entry) for entry in entries])
    runs = _runs(summary)
    return build(
        files,
        given,
        layers,
        [ProfileRow(layer=la.name, latency_ms=t * scale) for la, t in zip(layers, times, strict=True) if t > 0.0],
        source="measured",
        tool="qualcomm ai hub",
        original_unit="us" if column == "execution_time" else "cycles",
        runs=len(runs) or None,
        network_latency_ms=None if network_us is None else network_us / 1e3,
        note=_note(entries, times, network_us, runs),
    )


def _entries(file: SourceFile, problems: list[str]) -> list[dict[str, Any]]:
    found = []
    for at, entry in enumerate(listed(file, file.json[_DETAIL], "layers"), start=1):
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and entry["name"].strip():
            found.append(entry)
        else:
            problems.append(f"{_DETAIL} {at}: it is no object with a name")
    return found


def _milliseconds_of(column: str, file: SourceFile, given: Given) -> float:
    """Milliseconds of one unit of the column."""
    if column == "execution_time":
        return 1e-3
    if positive(given.clock_hz) is None:
        raise file.refusal("gives cycles and no times: state clock_hz, the clock of the device, with the upload")
    assert given.clock_hz is not None
    return 1e3 / given.clock_hz


def _time(entry: dict[str, Any], column: str, at: int, problems: list[str]) -> float:
    """0 where the runtime gives none: the layer is fused into another, or runs in no time."""
    value = entry.get(column)
    found = 0.0 if value is None else number(value)
    if found is None or found < 0.0:
        problems.append(f"{_DETAIL} {at} ({quoted(entry['name'])}): {column} {quoted(value)} is no time")
        return 0.0
    return found


def _layer(entry: dict[str, Any]) -> ProfileLayer:
    kind = entry.get("type")
    op = kind.strip() if isinstance(kind, str) else ""
    multiplies = _MULTIPLIES.match(re.sub(r"[_\s-]", "", op)) is not None
    return ProfileLayer(name=" ".join(entry["name"].split()), role="layer" if multiplies else "other", op=op)


def _network_us(summary: dict[str, Any], problems: list[str]) -> float | None:
    value = summary.get("estimated_inference_time")
    if value is not None and positive(value) is None:
        problems.append(
            f"{_SUMMARY}: estimated_inference_time {quoted(value)} is not a positive number of microseconds"
        )
    return positive(value)


def _runs(summary: Any) -> list[float]:
    times = summary.get("all_inference_times") if isinstance(summary, dict) else None
    found = [positive(time) for time in times] if isinstance(times, list) else []
    return [time for time in found if time is not None]


def _note(entries: list[dict[str, Any]], times: list[float], network_us: float | None, runs: list[float]) -> str:
    units = Counter(quoted(entry.get("compute_unit")) for entry in entries)
    told = ["compute units: " + ", ".join(f"{unit} {count}" for unit, count in units.most_common(6))]
    if untimed := sum(time == 0.0 for time in times):
        told.append(f"{untimed} of {len(times)} layers have no time: left without a row")
    if network_us is not None and runs:
        told.append(f"the network's time is {_which(network_us, runs)} of {len(runs)} runs")
    return "; ".join(told)


def _which(time: float, runs: Sequence[float]) -> str:
    """What the tool calls its estimate, told by the runs themselves."""
    words = {"the least": min(runs), "the median": median(runs), "the mean": fmean(runs)}
    return next(
        (word for word, value in words.items() if abs(value - time) <= _SAME * value), "neither least nor middle"
    )


AIHUB = Importer(
    name="aihub",
    title="Qualcomm AI Hub",
    roles={"profile": "the profile of a job, as JSON", "network": "perf.yaml, the latencies of whole networks"},
    required=(),  # `_read` says why perf.yaml alone is not enough
    recognise=_role,
    read=_read,
)

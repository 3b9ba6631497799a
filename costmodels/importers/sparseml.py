"""SparseML's sensitivity files: the latency of each layer by sparsity, in seconds, and the loss by sparsity.

The performance file is the profile; it names what the runtime executes ("convolution_1") and the output of each
("325"). The loss file says nothing about time, but it holds the weight's name of the same outputs: given beside the
performance file it lends them. A kernel that stands twice with the same times covers two nodes: it is one layer. A
runtime measures its baseline on weights as they are, so a baseline of a few zeros is the dense time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from costmodels.errors import ProfileError
from costmodels.importers.base import Files, Given, Importer, build, unique
from costmodels.importers.cells import HEAD, listed, number, only, positive, quoted, refuse, sparse, whole
from costmodels.importers.files import SourceFile
from costmodels.profile import Profile, ProfileLayer, ProfileRow

_MARK = '"sparse_measurements"'
_MOST_ZEROS_OF_DENSE = 0.05
_MULTIPLIES = re.compile(r"(?:\w*_)?(?:conv|gemm|gevm|matmul|linear)", re.IGNORECASE)


@dataclass(frozen=True)
class _Point:
    """The mean over the runs at one share of zeros, and the spread of single runs."""

    pattern: str
    mean_s: float
    std_s: float | None


@dataclass(frozen=True)
class _Entry:
    """One kernel: the outputs it computes, and its points, dense first; no dense point where none was measured."""

    layer: ProfileLayer
    points: tuple[_Point, ...]


def _role(file: SourceFile) -> str | None:
    if _MARK not in file.text[:HEAD]:
        return None
    document = file.json
    if not (isinstance(document, dict) and isinstance(document.get("results"), list)):
        return None
    return "performance" if "results_model" in document else "loss"


def _read(files: Files, given: Given) -> Profile:
    if "performance" not in files:
        name = files["loss"][0].name[:80]
        raise ProfileError(
            f"file {name!r} is a loss table: it says how the loss grows with the zeros of each layer, not how long the "
            "layer takes. Give it beside the performance file, whose layers it names; losses are scored on your data"
        )
    file = only(files, "performance", "performance files of SparseML")
    weights = _weight_names(files)
    problems: list[str] = []
    network = _points(file.json["results_model"], "results_model", problems)
    items = listed(file, file.json["results"], "layers")
    found = [_entry(item, at, weights, problems) for at, item in enumerate(items, start=1)]
    entries = _merged([entry for entry in found if entry is not None])
    refuse(file, problems)
    layers = unique([entry.layer for entry in entries])
    rows = [row for layer, entry in zip(layers, entries, strict=True) for row in _rows(layer, entry.points)]
    return build(
        files,
        given,
        layers,
        rows,
        source="measured",
        tool="sparseml",
        original_unit="s",
        statistic="mean",
        batch=whole(file.json.get("batch_size")),
        network_latency_ms=network[0].mean_s * 1e3 if network and network[0].pattern == "dense" else None,
        network_latency_std_ms=_milliseconds(network[0].std_s) if network and network[0].pattern == "dense" else None,
        dispatch="forced",  # 40 % of zeros is slower than dense: this runtime does not choose
        note=_note(file.json.get("num_cores"), [entry.layer.name for entry in entries if not _dense(entry.points)]),
    )


def _weight_names(files: Files) -> dict[str, str]:
    """Output -> name of its weight, from the loss files."""
    names: dict[str, str] = {}
    for file in files.get("loss", ()):
        for item in file.json["results"]:
            if isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("name"), str):
                names[item["id"]] = item["name"]
    return names


def _entry(item: Any, at: int, weights: dict[str, str], problems: list[str]) -> _Entry | None:
    if not (isinstance(item, dict) and isinstance(item.get("name"), str)):
        problems.append(f"result {at}: it is no object with a name")
        return None
    name, output = item["name"], item.get("id")
    outputs = (output,) if isinstance(output, str) else ()
    members = tuple(dict.fromkeys([*(weights[one] for one in outputs if one in weights), *outputs]))
    multiplies = _MULTIPLIES.match(name) is not None or any(one in weights for one in outputs)
    layer = ProfileLayer(name=name, role="layer" if multiplies else "other", members=members)
    points = _points(item, f"result {at} ({quoted(name)})", problems)
    if multiplies and not _dense(points):
        problems.append(f"result {at}: {quoted(name)} has no measurement without zeros: measure its baseline as well")
    return _Entry(layer, points)


def _points(item: Any, where: str, problems: list[str]) -> tuple[_Point, ...]:
    """The measurements of an entry, the baseline as the dense one and first."""
    measured = item.get("sparse_measurements") if isinstance(item, dict) else None
    if not isinstance(measured, list):
        problems.append(f"{where}: sparse_measurements is no list")
        return ()
    baseline = item.get("baseline_measurement_index") if item.get("has_baseline") is True else None
    found = [_point(one, at == baseline, where, problems) for at, one in enumerate(measured)]
    return tuple(sorted((point for point in found if point is not None), key=lambda point: point.pattern != "dense"))


def _point(one: Any, baseline: bool, where: str, problems: list[str]) -> _Point | None:
    share, times = one if isinstance(one, list) and len(one) == 2 else (None, None)
    zeros = number(share)
    pattern = "dense" if baseline and zeros is not None and 0.0 <= zeros <= _MOST_ZEROS_OF_DENSE else sparse(share)
    if pattern is None:
        problems.append(f"{where}: {quoted(share)} is no share of zeros: give 0 or 0.0001 ... 0.9999")
    seconds = [positive(time) for time in times] if isinstance(times, list) else []
    good = [time for time in seconds if time is not None]
    if not good or len(good) < len(seconds):
        problems.append(f"{where}: the times at {quoted(share)} are not all positive numbers of seconds")
    if pattern is None or not good:
        return None
    return _Point(pattern, fmean(good), stdev(good) if len(good) > 1 else None)


def _merged(entries: list[_Entry]) -> list[_Entry]:
    """A kernel that covers several nodes stands once for each of them, with the same times: it is one layer."""
    found: dict[object, _Entry] = {}
    for entry in entries:
        key = (entry.layer.name, entry.points)
        first = found.setdefault(key, entry)
        if first is not entry:
            members = tuple(dict.fromkeys([*first.layer.members, *entry.layer.members]))
            found[key] = replace(first, layer=replace(first.layer, members=members))
    return list(found.values())


def _rows(layer: ProfileLayer, points: tuple[_Point, ...]) -> Iterator[ProfileRow]:
    """What multiplies no weights gets its dense time alone: no zeros of a plan are its own."""
    for point in points:
        if point.pattern == "dense" or layer.role == "layer":
            yield ProfileRow(
                layer=layer.name,
                pattern=point.pattern,
                latency_ms=point.mean_s * 1e3,
                latency_std_ms=_milliseconds(point.std_s),
            )


def _dense(points: tuple[_Point, ...]) -> bool:
    return bool(points) and points[0].pattern == "dense"


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


def _note(cores: Any, without_dense: list[str]) -> str:
    told = [f"{cores} cores"] if whole(cores) else []
    told += [f"{quoted(name)} has no dense time: left without a row" for name in without_dense[:5]]
    return "; ".join(told)


SPARSEML = Importer(
    name="sparseml",
    title="SparseML sensitivity",
    roles={
        "performance": "the performance file (latency by sparsity)",
        "loss": "the loss file (loss by sparsity), for the names of the weights",
    },
    required=(),  # `_read` says what a loss file alone is for
    recognise=_role,
    read=_read,
)

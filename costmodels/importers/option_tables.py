"""Tables of options a layer, as collections of published look-up tables bring them to one JSON shape.

`{"device", "unit", "layers": [{"name", "options": [{"sparsity": 0.5, "latency": 1.2}, ...], "dense_latency"?}]}`, and
`source`, `licence`, `kind` beside them. Two kinds of options say something about pruning and are read: `sparsity`,
zeros anywhere in the layer, and `bits`, one dense time a number format, of which the stated precision picks one. Other
options (paths of a search space, inner widths of whole blocks, bits of weights and activations, V:N:M formats) are
refused: they price no layer of a model under a pattern that can be asked for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from costmodels.importers.base import Files, Given, Importer, build, printable
from costmodels.importers.cells import HEAD, listed, only, positive, quoted, refuse, sparse, whole
from costmodels.importers.files import SourceFile
from costmodels.profile import Profile, ProfileLayer, ProfileRow

_UNITS = {"s": 1e3, "ms": 1.0, "us": 1e-3}
_BATCH = re.compile(r"\bbatch (\d{1,5})\b")
_READ = (("sparsity",), ("bits",))
_TIMES = ("latency", "latency_std", "count")
_OUTCOMES = ("loss_increase", "loss_approx", "loss_proxy", "accuracy")  # results of an option, no part of it
_DENSE = ("0", "0.0")  # keys of the totals
_TOLD = ("device", "source", "licence", "kind")


@dataclass(frozen=True)
class _Option:
    """One option of a layer, and where in the file it stands."""

    where: str
    layer: str
    choice: dict[str, Any]  # what the option is: its fields without times and outcomes
    latency: object


def _role(file: SourceFile) -> str | None:
    head = file.text[:HEAD]
    if '"layers"' not in head or '"options"' not in head:
        return None
    document = file.json
    layers = document.get("layers") if isinstance(document, dict) else None
    return "table" if isinstance(layers, list) and "unit" in document else None


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "table", "tables of options")
    document = file.json
    problems: list[str] = []
    unit = document["unit"] if isinstance(document["unit"], str) else ""
    scale = _UNITS.get(unit, 0.0)
    if not scale:
        problems.append(
            f"unit {quoted(document['unit'])} is not one of {', '.join(_UNITS)}: state what the times are in"
        )
    layers = _layers(listed(file, document["layers"], "layers"), problems)
    options = listed(file, [option for layer in layers for option in _options(layer, problems)], "options")
    problems += [*_kind_problems(options), *_bad_times(options)]
    refuse(file, problems)
    if options and "bits" in options[0].choice:
        options = _of_precision(file, options, given)
    rows = [row for option in options if (row := _row(option, scale, problems)) is not None]
    rows = [*_stated_dense(layers, scale, problems), *rows]
    problems += _without_dense(layers, rows)
    refuse(file, problems)
    return build(
        files,
        given,
        [ProfileLayer(name=layer["name"]) for layer in layers],
        sorted(rows, key=lambda row: row.pattern != "dense"),
        source="published",
        original_unit=unit,
        dispatch="forced",  # a table of one kernel: nothing in it chooses
        **_header(document, scale),
    )


def _layers(found: list[Any], problems: list[str]) -> list[dict[str, Any]]:
    good = []
    for at, layer in enumerate(found, start=1):
        if isinstance(layer, dict) and isinstance(layer.get("name"), str) and isinstance(layer.get("options"), list):
            good.append(layer)
        else:
            problems.append(f"layer {at}: it is no object with a name and a list of options")
    return good


def _options(layer: dict[str, Any], problems: list[str]) -> Iterator[_Option]:
    for at, option in enumerate(layer["options"], start=1):
        where = f"layer {quoted(layer['name'])}, option {at}"
        if not isinstance(option, dict):
            problems.append(f"{where}: it is no object")
            continue
        choice = {key: value for key, value in option.items() if key not in (*_TIMES, *_OUTCOMES)}
        yield _Option(where=where, layer=layer["name"], choice=choice, latency=option.get("latency"))


def _bad_times(options: list[_Option]) -> Iterator[str]:
    for option in options:
        if positive(option.latency) is None:
            yield f"{option.where}: latency {quoted(option.latency)} is not a positive finite number: measure it again"


def _kind_problems(options: list[_Option]) -> Iterator[str]:
    kinds = sorted({tuple(sorted(option.choice)) for option in options})
    for kind in kinds:
        if kind not in _READ:
            told = ", ".join(printable(word)[:20] for word in kind[:6]) or "nothing"
            yield f"an option is chosen by {told}, which is no pattern of a layer's zeros: sparsity or bits are read"
    if len(kinds) > 1:
        yield "options of several kinds stand in one table: give one kind at a time"


def _of_precision(file: SourceFile, options: list[_Option], given: Given) -> list[_Option]:
    """The options of the stated number format: "int8" is 8 bits."""
    held = sorted({bits for option in options if (bits := whole(option.choice["bits"])) is not None})
    wanted = re.search(r"\d{1,3}$", given.precision or "")
    if wanted is None or int(wanted[0]) not in held:
        shown = ", ".join(f"int{bits}" for bits in held[:8])
        raise file.refusal(f"holds times at several number formats: state one of them as the precision: {shown}")
    return [option for option in options if whole(option.choice["bits"]) == int(wanted[0])]


def _row(option: _Option, scale: float, problems: list[str]) -> ProfileRow | None:
    latency = positive(option.latency)
    pattern = "dense" if "bits" in option.choice else sparse(option.choice["sparsity"])
    if pattern is None:
        problems.append(f"{option.where}: sparsity {quoted(option.choice['sparsity'])} is no share: give 0 ... 0.9999")
    if pattern is None or latency is None:
        return None
    return ProfileRow(layer=option.layer, pattern=pattern, latency_ms=latency * scale)


def _stated_dense(layers: list[dict[str, Any]], scale: float, problems: list[str]) -> Iterator[ProfileRow]:
    for layer in layers:
        if "dense_latency" in layer:
            latency = positive(layer["dense_latency"])
            if latency is None:
                problems.append(
                    f"layer {quoted(layer['name'])}: dense_latency {quoted(layer['dense_latency'])} is no time"
                )
            else:
                yield ProfileRow(layer=layer["name"], latency_ms=latency * scale)


def _without_dense(layers: list[dict[str, Any]], rows: list[ProfileRow]) -> Iterator[str]:
    dense = {row.layer for row in rows if row.pattern == "dense"}
    for layer in layers:
        if layer["name"] not in dense:
            yield f"layer {quoted(layer['name'])} has no dense time: add its option of sparsity 0 from the same run"


def _header(document: dict[str, Any], scale: float) -> dict[str, Any]:
    """What the table says of itself; the device text often names the batch."""
    told = {key: printable(document[key]) for key in _TOLD if isinstance(document.get(key), str)}
    device = told.pop("device", "")
    batch = _BATCH.search(device)
    totals = document.get("model_total_by_uniform_sparsity")
    total = next((positive(totals[key]) for key in _DENSE if key in totals), None) if isinstance(totals, dict) else None
    return {
        "device": device or None,
        "batch": int(batch[1]) if batch else None,
        "network_latency_ms": None if total is None else total * scale,
        "note": "; ".join(f"{key}: {text}" for key, text in told.items()) or None,
    }


OPTION_TABLES = Importer(
    name="option_tables",
    title="table of options a layer",
    roles={"table": "the JSON table of each layer's options and latencies"},
    required=("table",),
    recognise=_role,
    read=_read,
)

"""Answers as tables. Names come from uploaded files, so they are shown as text, never as markup."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from app.pages.words import reading

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "models": ("id", "name", "state", "layers", "parameters", "macs", "created_at"),
    "datasets": ("id", "name", "kind", "state", "created_at"),
    "profiles": ("id", "name", "state", "device", "source", "batch", "precision", "rows"),
    "searches": ("id", "name", "state", "phase", "progress", "created_at"),
}


def listing(noun: str, items: Sequence[Mapping[str, Any]]) -> Table:
    """A list of models, datasets, profiles or searches."""
    table = Table(title=noun, title_justify="left")
    for column in _COLUMNS[noun]:
        table.add_column(column.replace("_", " "), no_wrap=column == "id")
    for item in items:
        table.add_row(*(Text(_shown(item[column])) for column in _COLUMNS[noun]))
    return table


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        best = value.get("best")
        done = f"{value['done']}/{value['total']}"
        return done if best is None else f"{done}, best {reading(best, value['metric'])}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def front_table(front: Mapping[str, Any]) -> Table:
    """One device's front, slowest first, under the two dense models."""
    title = f"{front['profile_name']} · predicted latency at batch {front['batch']}, {front['source']}"
    table = Table(title=Text(title), title_justify="left", caption="chosen on validation, scored on test")
    for column in ("trial", "latency", "of dense", "validation", "test", "pruner", "patterns"):
        table.add_column(column, justify="left" if column in ("trial", "pruner", "patterns") else "right")
    for key, name in (("dense", "dense, as uploaded"), ("dense_recovered", "dense, same recovery")):
        if front[key] is not None:
            table.add_row(*_cells(front[key], name))
    table.add_section()
    for point in sorted(front["points"], key=lambda p: -float(p["latency_ms"])):
        table.add_row(*_cells(point, str(point["number"])))
    return table


def _cells(point: Mapping[str, Any], name: str) -> list[Text]:
    pruned = point["role"] == "searched"
    cells = (
        name,
        f"{point['latency_ms']:.4g} ms{_interval(point)}",
        _share(point["latency_share"]),
        reading(point["value"], point["metric"], point["standard_error"] or 0.0),
        reading(point["test_value"], point["metric"], point["test_standard_error"] or 0.0),
        point["pruner"] if pruned else "",
        ", ".join(f"{count} {kind}" for kind, count in point["patterns"].items()),
    )
    return [Text(cell) for cell in cells]


def _interval(point: Mapping[str, Any]) -> str:
    ends = (point["low_ms"], point["high_ms"])
    return "" if None in ends else " ({}–{})".format(*(f"{e:.3g}" if e < 1000 else f"{e:.0f}" for e in ends))


def _share(value: float) -> str:
    return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"

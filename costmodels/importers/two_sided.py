"""Two-sided channel tables: the time of a convolution at every pair of input and output channels.

Pruning one layer narrows the input of the next, so HALP and MDP (arXiv 2210.06659, 2504.02168) key both sides:
`batch_cin_cout_fmap_kernel_stride_groups` -> milliseconds, fmap being the side of the input map and groups that of a
depthwise layer following its channels. Their files are pickles, which are never opened; exported as JSON they are read:

- one object of such keys; or one object a layer, by name, each holding such keys;
- a CSV, or a JSON list of objects, with the columns cin, cout and latency_ms (or _us, _s), and layer, batch, fmap,
  kernel, stride, groups where known.

Without names, keys of one kind (fmap, kernel, stride, groups) belong together, and every pair of widths that no other
of its kind contains is taken for the full width of a layer. A named layer must hold its full width.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from costmodels.importers.base import Files, Given, Importer, build
from costmodels.importers.cells import HEAD, only, positive, quoted, refuse, whole
from costmodels.importers.files import SourceFile
from costmodels.profile import MAX_ROWS, Profile, ProfileLayer, ProfileRow

_KEY = re.compile(r"\d{1,8}(?:_\d{1,8}){6}")
_KEY_AS_JSON = re.compile(rf'"{_KEY.pattern}"\s{{0,8}}:')
_KEY_PARTS = ("batch", "cin", "cout", "fmap", "kernel", "stride", "groups")
_SAME = {"bs": "batch", "feat_size": "fmap", "k": "kernel", "kernel_size": "kernel", "group": "groups"}
_UNITS = {"latency_ms": 1.0, "latency_us": 1e-3, "latency_s": 1e3}

_MOST_CORNERS = 64
Cells = Mapping[str, object]
Widths = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What the entries of one layer have in common; None where the file does not say."""

    layer: str
    fmap: int | None
    kernel: int | None
    stride: int | None
    groups: int | None  # 0 for depthwise: as many as input channels

    def name(self, full: Widths) -> str:
        """The layer's name, or one made of its shape."""
        if self.layer:
            return self.layer
        groups = "depthwise, " if self.groups == 0 else "" if self.groups in (None, 1) else f"{self.groups} groups, "
        shape = f"{self.kernel or '?'}x{self.kernel or '?'} stride {self.stride or '?'} on {self.fmap or '?'}"
        return f"conv {shape}, {groups}{full[0]} to {full[1]}"


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One measurement, and where in the file it stands."""

    where: str
    kind: _Kind
    batch: int | None
    widths: Widths
    latency_ms: float
    unit: str


def _role(file: SourceFile) -> str | None:
    head = file.text[:HEAD].lstrip()
    if head.startswith("{"):
        return "table" if _KEY_AS_JSON.search(head) else None
    if head.startswith("["):
        return "table" if '"cin"' in head and '"cout"' in head else None
    header = {cell.strip().lower() for cell in head.split("\n", 1)[0].split(",")}
    return "table" if {"cin", "cout"} <= header else None


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "table", "two-sided tables")
    problems: list[str] = []
    entries = [entry for where, cells in _cells(file) if (entry := _entry(where, cells, problems)) is not None]
    refuse(file, problems)
    batch = _batch(file, entries, given)
    kinds: dict[_Kind, dict[Widths, _Entry]] = {}
    for entry in entries:
        if entry.batch == batch:
            first = kinds.setdefault(entry.kind, {}).setdefault(entry.widths, entry)
            if first is not entry:
                problems.append(f"{entry.where}: repeats {first.where}: the same layer at the same channels")
    problems += _several_shapes(kinds)
    layers: list[ProfileLayer] = []
    rows: list[ProfileRow] = []
    for kind, table in kinds.items():
        for full in _corners(kind, table, problems):
            layers.append(_layer(kind, full))
            rows += _rows(layers[-1].name, full, table)
            if len(rows) > MAX_ROWS:
                raise file.refusal(f"gives more than {MAX_ROWS} rows: give the layers of one model")
    refuse(file, problems)
    units = {entry.unit for entry in entries}
    unit = units.pop() if len(units) == 1 else None
    return build(files, given, layers, rows, source="measured", original_unit=unit, batch=batch)


def _cells(file: SourceFile) -> Iterator[tuple[str, Cells]]:
    """Each measurement as named cells, and where it stands."""
    if not file.text[:HEAD].lstrip().startswith(("{", "[")):
        yield from _csv_cells(file)
        return
    document = file.json
    if isinstance(document, list):
        for at, item in enumerate(document, start=1):
            cells: dict[str, object] = item if isinstance(item, dict) else {}
            yield f"entry {at}", {_SAME.get(key, key): value for key, value in cells.items()}
        return
    for key, value in document.items():
        if isinstance(value, dict):
            yield from ((f"{key[:60]!r}, {inner[:60]!r}", _keyed(key, inner, ms)) for inner, ms in value.items())
        else:
            yield f"{key[:60]!r}", _keyed("", key, value)


def _keyed(layer: str, key: str, latency_ms: object) -> Cells:
    parts = key.split("_") if _KEY.fullmatch(key) else []
    return {"key": key, "layer": layer, "latency_ms": latency_ms, **dict(zip(_KEY_PARTS, parts, strict=False))}


def _csv_cells(file: SourceFile) -> Iterator[tuple[str, Cells]]:
    lines = file.rows()
    at, header = next(lines)
    columns = [_SAME.get(cell.lower(), cell.lower()) for cell in header]
    column, times = Counter(columns).most_common(1)[0]
    if times > 1:
        raise file.refusal(f"line {at}: the column {quoted(column)} stands twice")
    for line, cells in lines:
        yield f"line {line}", dict(zip(columns, cells, strict=False))


def _entry(where: str, cells: Cells, problems: list[str]) -> _Entry | None:
    if "key" in cells and "cin" not in cells:
        problems.append(f"{where}: the key is not of the form {'_'.join(_KEY_PARTS)}, seven whole numbers")
        return None
    sizes = {part: whole(cells.get(part)) for part in _KEY_PARTS}
    stated = [part for part in _KEY_PARTS if cells.get(part) not in (None, "")]
    found = [
        f"{where}: {part} {quoted(cells.get(part))} is not a positive whole number"
        for part in _KEY_PARTS
        if sizes[part] is None and (part in stated or part in ("cin", "cout"))
    ]
    column = _latency_column(where, cells, found)
    latency = positive(cells.get(column))
    problems += found
    cin, cout, groups = sizes["cin"], sizes["cout"], sizes["groups"]
    if found or cin is None or cout is None or latency is None:
        return None
    layer = cells.get("layer")
    kind = _Kind(
        layer=layer if isinstance(layer, str) else "",
        fmap=sizes["fmap"],
        kernel=sizes["kernel"],
        stride=sizes["stride"],
        groups=0 if groups == cin and cin > 1 else groups,
    )
    return _Entry(
        where=where,
        kind=kind,
        batch=sizes["batch"],
        widths=(cin, cout),
        latency_ms=latency * _UNITS[column],
        unit=column.removeprefix("latency_"),
    )


def _latency_column(where: str, cells: Cells, found: list[str]) -> str:
    columns = [column for column in _UNITS if column in cells]
    if len(columns) != 1:
        found.append(f"{where}: one latency is needed and its unit: latency_ms, latency_us or latency_s")
    elif positive(cells[columns[0]]) is None:
        found.append(f"{where}: {columns[0]} {quoted(cells[columns[0]])} is not a positive finite number")
    return columns[0] if columns else ""


def _batch(file: SourceFile, entries: list[_Entry], given: Given) -> int | None:
    """The batch to read; None where the file names none."""
    held = {entry.batch for entry in entries}
    if held == {None} or given.batch in held:
        return given.batch if held != {None} else None
    if given.batch is None and len(held) == 1:
        return held.pop()
    shown = ", ".join(str(batch) for batch in sorted(batch or 0 for batch in held)[:8])
    raise file.refusal(f"holds the batch sizes {shown or 'of no entry'}: state one of them as the batch")


def _several_shapes(kinds: Mapping[_Kind, Any]) -> Iterator[str]:
    seen: set[str] = set()
    for kind in kinds:
        if kind.layer and kind.layer in seen:
            yield f"layer {quoted(kind.layer)} has entries of several shapes: a layer has one fmap, kernel and stride"
        seen.add(kind.layer)


def _corners(kind: _Kind, table: Mapping[Widths, _Entry], problems: list[str]) -> list[Widths]:
    """The full widths: every pair that no other contains, the widest input first."""
    corners: list[Widths] = []
    for widths in sorted(table, reverse=True):
        if not corners or widths[1] > corners[-1][1]:
            corners.append(widths)
    if kind.layer and len(corners) > 1:
        full = (corners[0][0], corners[-1][1])
        problems.append(f"layer {quoted(kind.layer)} has no time at its full width, {full[0]} x {full[1]} channels")
    elif len(corners) > _MOST_CORNERS:
        problems.append(f"{kind.name(corners[0])}: {len(corners)} widths contain no other: name the layers")
    return corners[:_MOST_CORNERS]


def _layer(kind: _Kind, full: Widths) -> ProfileLayer:
    return ProfileLayer(
        name=kind.name(full),
        op="conv2d" if kind.kernel else "",
        in_channels=full[0],
        out_channels=full[1],
        kernel=(kind.kernel,) * 2 if kind.kernel else (),
        stride=(kind.stride,) * 2 if kind.stride else (),
        groups=full[0] if kind.groups == 0 else kind.groups,
        input_size=(kind.fmap,) * 2 if kind.fmap else (),
    )


def _rows(name: str, full: Widths, table: Mapping[Widths, _Entry]) -> Iterator[ProfileRow]:
    for (cin, cout), entry in table.items():
        if cin <= full[0] and cout <= full[1]:
            yield ProfileRow(layer=name, in_channels=cin, out_channels=cout, latency_ms=entry.latency_ms)


TWO_SIDED = Importer(
    name="two_sided",
    title="two-sided channel table",
    roles={"table": "the table of latency by input and output channels, as CSV or JSON"},
    required=("table",),
    recognise=_role,
    read=_read,
)

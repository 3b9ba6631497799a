"""SPDY's text tables of latency against sparsity, as its repository keeps them (arXiv 2201.13096).

`base`, the seconds of the network; `prunable`, the seconds of its layers; then the name of each layer on a line of its
own, and under it one line `seconds sparsity` for each level, sparsity 0 first. The file does not say whether its zeros
fall anywhere or in blocks; they are read as unstructured. Names without lines were not timed: a note says which.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from costmodels.importers.base import Files, Given, Importer, build
from costmodels.importers.cells import number, only, positive, quoted, refuse, sparse
from costmodels.importers.files import MAX_LINES, SourceFile
from costmodels.profile import Profile, ProfileLayer, ProfileRow

_SUM_TOLERANCE = 0.02  # the published files agree to 1e-5; beyond this, lines are missing
_SHOWN = 5


@dataclass(frozen=True)
class _Table:
    """The two totals, in seconds, and each layer's points (line number, seconds, sparsity) in the order of the file."""

    base: object = None
    prunable: object = None
    layers: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)


def _role(file: SourceFile) -> str | None:
    words = file.text[:1024].split(maxsplit=4)
    return "timings" if len(words) >= 3 and words[0] == "base" and words[2] == "prunable" else None


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "timings", "tables of SPDY")
    problems: list[str] = []
    table = _parse(file, problems)
    refuse(file, problems)
    timed = {name: points for name, points in table.layers.items() if points}
    rows = [row for name, points in timed.items() for row in _rows(name, points, problems)]
    problems += _total_problems(table, rows)
    problems += _cut_off(timed)
    refuse(file, problems)
    base = positive(table.base) or 0.0
    prunable = positive(table.prunable) or 0.0
    return build(
        files,
        given,
        [ProfileLayer(name=name) for name in timed],
        rows,
        source="measured",
        tool="spdy",
        original_unit="s",
        network_latency_ms=base * 1e3,
        overhead_ms=(base - prunable) * 1e3,
        dispatch="forced",  # the points below 50 % are slower than dense: this runtime does not choose
        note=_note([name for name in table.layers if name not in timed]),
    )


def _parse(file: SourceFile, problems: list[str]) -> _Table:
    lines = _lines(file)
    (_, _), (_, base), (_, _), (_, prunable) = (next(lines, (0, "")) for _ in range(4))
    table = _Table(base=base, prunable=prunable)
    points: list[tuple[int, str, str]] | None = None
    for at, line in lines:
        first, _, second = line.partition(" ")
        pair = second.strip()
        if pair and number(first) is not None and number(pair) is not None:
            if points is None:
                problems.append(f"line {at}: {quoted(line)} stands before the name of any layer")
                return table
            points.append((at, first, pair))
        elif line in table.layers:
            problems.append(f"line {at}: layer {quoted(line)} stands twice")
        else:
            points = table.layers[line] = []
    return table


def _lines(file: SourceFile) -> Iterator[tuple[int, str]]:
    lines = file.text.splitlines()
    if len(lines) > MAX_LINES:
        raise file.refusal(f"has more than {MAX_LINES} lines")
    return ((at, " ".join(line.split())) for at, line in enumerate(lines, start=1) if line.strip())


def _rows(name: str, points: list[tuple[int, str, str]], problems: list[str]) -> Iterator[ProfileRow]:
    for at, seconds, sparsity in points:
        pattern, latency_s = sparse(sparsity), positive(seconds)
        if pattern is None:
            problems.append(f"line {at}: sparsity {quoted(sparsity)} is no share of zeros: give 0 or 0.0001 ... 0.9999")
        if latency_s is None:
            problems.append(f"line {at}: {quoted(seconds)} is not a positive number of seconds")
        if pattern is not None and latency_s is not None:
            yield ProfileRow(layer=name, pattern=pattern, latency_ms=latency_s * 1e3)
    if all(number(sparsity) for _, _, sparsity in points):
        problems.append(f"layer {quoted(name)} has no line of sparsity 0: add its dense time from the same run")


def _total_problems(table: _Table, rows: list[ProfileRow]) -> Iterator[str]:
    base, prunable = positive(table.base), positive(table.prunable)
    for key, value, text in (("base", base, table.base), ("prunable", prunable, table.prunable)):
        if value is None:
            yield f"{key} {quoted(text)} is not a positive number of seconds"
    if base is None or prunable is None:
        return
    if base < prunable:
        yield f"base, {base:g} s, is less than prunable, {prunable:g} s: the network cannot take less than its layers"
    total = sum(row.latency_ms for row in rows if row.pattern == "dense") / 1e3
    if abs(total - prunable) > _SUM_TOLERANCE * prunable:
        yield f"the dense times add up to {total:g} s but prunable is {prunable:g} s: lines are missing or changed"


def _cut_off(timed: dict[str, list[tuple[int, str, str]]]) -> Iterator[str]:
    counts = {name: len(points) for name, points in timed.items()}
    *before, last = counts or [""]
    if before and len({counts[name] for name in before}) == 1 and counts[last] < counts[before[0]]:
        yield f"layer {quoted(last)} has {counts[last]} lines but all others {counts[before[0]]}: the file is cut off"


def _note(untimed: list[str]) -> str:
    shown = ", ".join(quoted(name) for name in untimed[:_SHOWN])
    more = f" and {len(untimed) - _SHOWN} more" if len(untimed) > _SHOWN else ""
    untold = f"; named without times: {shown}{more}" if untimed else ""
    return f"the file does not say where its zeros fall: read as unstructured{untold}"


SPDY = Importer(
    name="spdy",
    title="SPDY timings",
    roles={"timings": "the text file that starts with base and prunable"},
    required=("timings",),
    recognise=_role,
    read=_read,
)

"""TFLite and LiteRT `benchmark_model --enable_op_profiling`: the table of the console, or the CSV.

Only `Run Order` of the regular benchmark runs is read: the same nodes stand again sorted by time and by type, and the
initialisation has tables of its own. Percentages are not read; published samples have them wrong by a factor of 50.
`avg_ms` is of one call, so a node costs it `times called` times (0 in old builds: a division that rounds down).
Under a delegate the nodes are its kernels, without names of the model. `start` is a column of older builds.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from costmodels.importers.base import Files, Given, Importer, Timed, build, printable, tabulated
from costmodels.importers.cells import HEAD, number, only, quoted, refuse
from costmodels.importers.files import MAX_LINES, SourceFile
from costmodels.importers.tables import MAX_LAYERS
from costmodels.profile import Profile, ProfileLayer

_MAX_MEMBERS = 64
_HEADER = re.compile(r"^[ \t]*(?:\[node type\]\s|node type,)", re.MULTILINE)
_WEIGHTED = re.compile(r"conv(?!ert)|fully.?connected|mat(?:rix)?[ _]?mul|gemm", re.IGNORECASE)
_OBSERVED = re.compile(r"^(\d{1,9}) nodes observed", re.MULTILINE)
_TIMINGS = re.compile(r"^Timings \(microseconds\): (.*)$", re.MULTILINE)
_INFERENCE = re.compile(r"Inference(?: \(avg\))?: ([0-9.e+]{1,20})")
_THREADS = re.compile(r"(?:Num threads|#threads used for CPU inference): \[(\d{1,4})\]")
_GRAPH = re.compile(r"^.{0,20}Graph: \[(.{1,300}?)\]", re.MULTILINE)
_HEXAGON = re.compile(r"Use Hexagon: \[(?:1|true)\]|delegate for Hexagon|TfLiteHexagonDelegate", re.IGNORECASE)


@dataclass
class _Table:
    """One `Run Order` table: of the graph, of one of its subgraphs, or of what a delegate did inside one node."""

    of: str
    columns: tuple[str, ...] = ()
    nodes: list[tuple[str, str, float]] = field(default_factory=list)  # type, name, milliseconds of all calls


def _role(file: SourceFile) -> str | None:
    return "report" if _HEADER.search(file.text[:HEAD]) else None


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "report", "reports of benchmark_model")
    problems: list[str] = []
    tables = _tables(file, problems)
    if _HEXAGON.search(file.text) or any("cycle" in column for table in tables for column in table.columns):
        raise file.refusal("counts cycles of a Hexagon, whose clock changes as it runs: profile in milliseconds")
    refuse(file, problems)
    nodes = _nodes(file, tables)
    layers, rows = tabulated(Timed(layer=_layer(kind, name), latency_ms=ms) for kind, name, ms in nodes)
    timings = _timings(file.text)
    graph = _GRAPH.search(file.text)
    return build(
        files,
        given,
        layers,
        rows,
        name=(printable(graph[1]) or None) if graph else None,
        source="measured",
        tool="benchmark_model",
        runtime=_runtime(file.text),
        statistic="mean",
        runs=int(timings["count"]) if timings.get("count", 0.0) >= 1.0 else None,
        original_unit="ms",
        network_latency_ms=timings["avg"] * 1e-3 if timings.get("avg", 0.0) > 0.0 else _inference_ms(file.text),
        network_latency_std_ms=timings["std"] * 1e-3 if "std" in timings else None,
        note=_note(file.text, len(nodes), len(nodes) - len(rows)),
    )


def _tables(file: SourceFile, problems: list[str]) -> list[_Table]:
    """The `Run Order` tables of the regular runs."""
    tables: list[_Table] = []
    of, regular, is_open = "graph", True, False
    for at, line in enumerate(_lines(file), start=1):
        if "Profiling Info for" in line:
            regular, of, is_open = "Initialization" not in line, "graph", False
            if tables:
                problems.append(f"line {at}: a second benchmark begins: give one report at a time")
        elif line.startswith("====="):
            is_open = regular and line.strip("= \r\t") == "Run Order"
            tables += [_Table(of)] if is_open else []
        elif line.startswith(("Primary graph", "Subgraph (index", "Delegate internal")):
            of, is_open = line.split(maxsplit=1)[0].lower(), False
        elif not line.strip():
            is_open = is_open and not tables[-1].nodes
        elif is_open and not tables[-1].columns:
            tables[-1].columns = tuple(cell.strip(" []").lower().replace(" ", "_") for cell in _cells(line))
            if missing := {"avg_ms", "times_called"} - {*tables[-1].columns}:
                problems.append(f"line {at}: the table has no column {' and '.join(sorted(missing))}")
        elif is_open:
            _add(tables[-1], at, line, problems)
    return tables


def _lines(file: SourceFile) -> Iterator[str]:
    for at, line in enumerate(file.text.split("\n")):
        if at >= MAX_LINES:
            raise file.refusal(f"has more than {MAX_LINES} lines: keep those of the profile")
        yield line


def _cells(line: str) -> list[str]:
    """The console puts tabs between its cells; the CSV commas, and tabs only where a name had commas."""
    return [cell.strip() for cell in (line.lstrip().split("\t") if line.startswith("\t") else line.split(","))]


def _add(table: _Table, at: int, line: str, problems: list[str]) -> None:
    """Types of kernels hold commas too, so the numbers in the middle are looked for."""
    cells, middle = _cells(line), len(table.columns) - 2
    starts = range(1, len(cells) - middle)
    start = next((i for i in starts if all(map(_numeric, cells[i : i + middle]))), None)
    if start is None:
        problems.append(f"line {at}: {quoted(line.strip())} is no row of {middle + 2} cells: is the file cut off?")
        return
    values = dict(zip(table.columns[1:-1], cells[start : start + middle], strict=True))
    once, calls = number(values.get("avg_ms", "")), number(values.get("times_called", ""))
    if once is None or calls is None or once < 0.0 or not 0.0 <= calls < 1e9 or calls != int(calls):
        problems.append(f"line {at}: {quoted(line.strip())}: a time or a count is not a number from 0")
        return
    name = ",".join(cells[start + middle :]).replace("\t", ",")  # as the CSV's writer found it
    table.nodes.append((", ".join(cells[:start]), name, once * max(calls, 1.0)))


def _numeric(cell: str) -> bool:
    """Shares of nothing are "-nan%"; they are not read, but they are cells."""
    return number(cell.removesuffix("%")) is not None or cell in ("nan%", "-nan%")


def _nodes(file: SourceFile, tables: list[_Table]) -> list[tuple[str, str, float]]:
    """Those of the graph; where a delegate ran as one node and tells what it did, its kernels in that node's place."""
    graph = next((table for table in tables if table.of in ("graph", "primary")), None)
    if graph is None or not graph.nodes:
        raise file.refusal("holds no Run Order table of regular benchmark runs: run it with --enable_op_profiling=true")
    nodes = graph.nodes
    inside = next((table.nodes for table in tables if table.of == "delegate"), [])
    delegates = [index for index, node in enumerate(nodes) if "delegate" in node[0].lower()]
    if len(nodes) + len(inside) > MAX_LAYERS:
        raise file.refusal(f"has more than {MAX_LAYERS} nodes: keep those of one network")
    if inside and len(delegates) == 1:
        nodes = [*nodes[: delegates[0]], *inside, *nodes[delegates[0] + 1 :]]
    if not any(_WEIGHTED.search(kind) for kind, _, _ in nodes):
        raise file.refusal("has no node that multiplies weights: a delegate ran all of it as one; profile without it")
    return nodes


def _layer(kind: str, name: str) -> ProfileLayer:
    inner = re.sub(r"^\[(.*)\](?::\d+)?$", r"\1", name)
    names = (
        [found for part in re.split(r"[;,]", inner, maxsplit=_MAX_MEMBERS) if (found := printable(part))]
        if inner != name
        else []
    )
    return ProfileLayer(
        name=printable(inner) or printable(kind) or "node",
        role="layer" if _WEIGHTED.search(kind) else "other",
        op=_op(kind),
        members=tuple(dict.fromkeys(names)) if len(names) > 1 else (),
    )


def _op(kind: str) -> str:
    word = kind.lower().replace("_", " ")
    if re.match(r"(?:depthwise )?conv 2d|convolution \(", word):
        return "conv2d"
    if word.startswith("fully connected"):
        return "linear"
    return "matmul" if word.startswith(("batch matmul", "batch matrix multiply")) else printable(kind)


def _timings(text: str) -> dict[str, float]:
    """Of the sum over the nodes, in microseconds."""
    found = _TIMINGS.search(text, max(text.find("Regular Benchmark Runs"), 0))
    pairs: Iterable[str] = found[1].split() if found else ()
    values = ((key, number(value)) for key, _, value in (pair.partition("=") for pair in pairs))
    return {key: value for key, value in values if value is not None and value >= 0.0}


def _inference_ms(text: str) -> float | None:
    found = _INFERENCE.search(text)
    value = number(found[1]) if found else None
    return value * 1e-3 if value else None


def _runtime(text: str) -> str:
    threads = _THREADS.search(text)
    parts = ["TFLite", "XNNPACK delegate" if "XNNPACK delegate" in text else ""]
    return ", ".join(part for part in (*parts, f"{threads[1]} threads" if threads else "") if part)


def _note(text: str, nodes: int, without_time: int) -> str:
    observed = _OBSERVED.search(text, max(text.find("Regular Benchmark Runs"), 0))
    parts = []
    if observed is None:
        parts.append("The report does not end with its count of nodes: it may be cut off.")
    elif int(observed[1]) > nodes:
        parts.append(f"The table holds {nodes} of {observed[1]} nodes.")
    if without_time:
        parts.append(f"{without_time} nodes took no measurable time and have no row.")
    if (inference_ms := _inference_ms(text)) is not None:
        parts.append(f"The whole inference took {inference_ms:g} ms; the profiler slows it down.")
    return " ".join(parts)


TFLITE = Importer(
    name="tflite",
    title="TFLite benchmark_model",
    roles={"report": "the output of benchmark_model with --enable_op_profiling"},
    required=("report",),
    recognise=_role,
    read=_read,
)

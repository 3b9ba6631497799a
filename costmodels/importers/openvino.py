"""OpenVINO's benchmark_app: counters (CSV, or JSON where it is whole), execution graph (XML), benchmark report.

The counters give times in ms, the mean over the runs; `-exec_graph_path` gives which layers were fused into which, and
the shapes, and times of its own in whole microseconds that are used where there are no counters. `-pcsort` writes
commas instead of semicolons. With several requests the detailed report repeats the list; the mean is taken. With
several streams the sum of the layers exceeds the latency. Nodes that did not run (fused, constant) are only described.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from costmodels.importers.base import Files, Given, Importer, Timed, build, tabulated
from costmodels.importers.cells import number, only, quoted, refuse
from costmodels.importers.files import SourceFile
from costmodels.importers.openvino_graph import GraphLayer, batch_of, graph_layers, precision_of
from costmodels.profile import Profile, ProfileLayer

_NAME, _STATUS, _TYPE, _EXECUTION, _TIME = "layerName", "execStatus", "layerType", "execType", "realTime (ms)"
_WEIGHTED = ("Convolution", "GroupConvolution", "FullyConnected", "Deconvolution")
_JSON_KEYS = {_NAME: "name", _STATUS: "status", _TYPE: "node_type", _EXECUTION: "exec_type", _TIME: "real_time"}


@dataclass(frozen=True)
class _Counter:
    """One line of the counters."""

    name: str
    kind: str
    execution: str
    latency_ms: float


def _role(file: SourceFile) -> str | None:
    head = file.text[:4096].lstrip()
    if head.startswith((f"{_NAME};", f"{_NAME},", f'"{_NAME}"')):
        return "counters"
    if head.startswith("<"):
        return "graph" if "<net " in head and "execTimeMcs=" in file.text else None
    if head.startswith("{"):
        document = file.json_or_none
        keys = document.keys() if isinstance(document, dict) else ()
        return "counters" if "avg_performance" in keys else "report" if "execution_results" in keys else None
    return "report" if head.startswith("Command line parameters") and "Execution results" in file.text else None


def _read(files: Files, given: Given) -> Profile:
    report = _report(files)
    drawn = only(files, "graph", "execution graphs") if "graph" in files else None
    batch = given.batch or (batch_of(drawn) if drawn else None) or _stated_batch(report)
    graph = graph_layers(drawn, batch) if drawn else {}
    counters = _counters(files)
    source = files.get("counters", files.get("graph", ()))
    if not source:
        raise files["report"][0].refusal(
            "holds the latency of the network only: give the counters (-report_type average_counters) "
            "or the execution graph (-exec_graph_path) with it"
        )
    if counters and graph and not any(one.name in graph for one in counters):
        raise source[0].refusal("and the execution graph are of different models: no layer has the same name")
    timed = _from_counters(counters, graph) if counters else [layer.timed for layer in graph.values()]
    layers, rows = tabulated(timed)
    return build(
        files,
        given,
        layers,
        rows,
        source="measured",
        runtime="OpenVINO",
        tool="benchmark_app",
        batch=batch,
        precision=precision_of([layer.precision for layer in graph.values() if layer.timed.layer.weights])
        or precision_of([one.execution for one in counters if one.kind in _WEIGHTED]),
        statistic="mean",
        original_unit="ms" if counters else "us",
        network_latency_ms=_network_ms(files, report),
        note=_note(report, layers, len(layers) - len(rows)),
    )


def _from_counters(counters: Sequence[_Counter], graph: Mapping[str, GraphLayer]) -> list[Timed]:
    """The times of the counters on the layers of the graph, in its order of execution where it is given."""
    order = {name: at for at, name in enumerate(graph)}
    found = []
    for counter in sorted(counters, key=lambda one: order.get(one.name, len(order))):  # stable: else as they stand
        if counter.name in graph:
            layer = graph[counter.name].timed.layer
        else:
            layer = ProfileLayer(
                name=counter.name, role="layer" if counter.kind in _WEIGHTED else "other", op=counter.kind
            )
        found.append(Timed(layer=layer, latency_ms=counter.latency_ms))
    return found


def _counters(files: Files) -> list[_Counter]:
    """Every node once; of several lists, one a request, the mean."""
    if "counters" not in files:
        return []
    file = only(files, "counters", "lists of counters")
    problems: list[str] = []
    read = _json_lists if file.text.lstrip()[:1] == "{" else _csv_lists
    lists = [one for one in read(file, problems) if one]
    refuse(file, problems)
    if not lists:
        raise file.refusal("lists no nodes: run benchmark_app again with -report_type average_counters")
    if any([one.name for one in other] != [one.name for one in lists[0]] for other in lists):
        raise file.refusal("holds lists of different nodes: give the report of one run")
    return [replace(same[0], latency_ms=mean(one.latency_ms for one in same)) for same in zip(*lists, strict=True)]


def _csv_lists(file: SourceFile, problems: list[str]) -> Iterator[list[_Counter]]:
    """The counters of every request. Each list ends with its total, so that one that was cut off is noticed."""
    delimiter = ";" if ";" in file.text.lstrip()[:20] else ","
    columns: list[str] = []
    found: list[_Counter] = []
    line = 0
    for line, cells in file.rows(delimiter):
        if cells[0] == _NAME:
            columns = cells
            if missing := {_STATUS, _TIME} - set(columns):
                raise file.refusal(f"line {line}: column {' and '.join(sorted(missing))} is missing")
        elif cells[0] == "Total" or cells[0].startswith("Total time:"):
            total = cells[columns.index(_TIME)] if len(cells) == len(columns) else cells[0][len("Total time:") :]
            _check_total(found, number(total.removesuffix("milliseconds").strip()), f"line {line}", problems)
            yield found
            found = []
        elif not cells[0].startswith("Total "):
            counter = _counter(dict(zip(columns, cells, strict=False)), f"line {line}", problems)
            found += [counter] if counter else []
    if found:
        problems.append(f"line {line}: the total behind the last node is missing: the file is cut off")


def _check_total(found: Sequence[_Counter], total_ms: float | None, where: str, problems: list[str]) -> None:
    """Times are rounded to the microsecond, totals to ten of them at worst."""
    sum_ms = sum(one.latency_ms for one in found)
    if total_ms is None or abs(sum_ms - total_ms) > 0.0006 * len(found) + 0.006:
        said = "no number" if total_ms is None else f"{total_ms:g} ms"
        problems.append(
            f"{where}: the times add up to {sum_ms:g} ms, the total is {said}: lines are missing or changed"
        )


def _json_lists(file: SourceFile, problems: list[str]) -> Iterator[list[_Counter]]:
    performance = file.json.get("avg_performance")
    nodes = performance.get("nodes") if isinstance(performance, dict) else None
    if not isinstance(nodes, list) or len(nodes) < 2:
        count = len(nodes) if isinstance(nodes, list) else 0
        raise file.refusal(
            f"lists {count} of the model's nodes: some releases of benchmark_app write only the first one "
            "under -json_stats; give the CSV of the counters or the execution graph"
        )
    found = []
    for at, node in enumerate(nodes, start=1):
        told = node if isinstance(node, dict) else {}
        cells = {key: str(told[theirs]) for key, theirs in _JSON_KEYS.items() if theirs in told}
        found.append(_counter(cells, f"node {at}", problems))
    yield [one for one in found if one]


def _counter(cells: Mapping[str, str], where: str, problems: list[str]) -> _Counter | None:
    name, time = cells.get(_NAME, ""), cells.get(_TIME)
    latency_ms = number(time)
    if not name or time is None:
        problems.append(f"{where}: it is cut off: the name or {_TIME} is missing")
        return None
    if latency_ms is None or latency_ms < 0.0:
        problems.append(f"{where} ({quoted(name)}): {_TIME} is {quoted(time)}, not zero or a positive number")
        return None
    return _Counter(name, cells.get(_TYPE, "")[:60], cells.get(_EXECUTION, ""), latency_ms)


def _report(files: Files) -> Mapping[str, str]:
    """The keys and values of the benchmark report; of its CSV and JSON form either."""
    if "report" not in files:
        return {}
    file = only(files, "report", "benchmark reports")
    if file.text.lstrip()[:1] != "{":
        return {cells[0]: cells[1] for _, cells in file.rows(";") if len(cells) > 1}
    parts = [file.json.get(key) for key in ("configuration_setup", "execution_results")]
    return {key: str(value)[:80] for part in parts if isinstance(part, dict) for key, value in part.items()}


def _stated_batch(report: Mapping[str, str]) -> int | None:
    text = report.get("batch size", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None


def _network_ms(files: Files, report: Mapping[str, str]) -> float | None:
    """The average latency, since the counters are averages too; the median stands in the note."""
    if not report:
        return None
    latency_ms = number(report.get("avg latency"))
    if latency_ms is None or latency_ms <= 0.0:
        raise files["report"][0].refusal(
            f"says {quoted(report.get('avg latency'))} as avg latency, not a positive number of ms: "
            "leave the file out and state network_latency_ms"
        )
    return latency_ms


def _note(report: Mapping[str, str], layers: Sequence[ProfileLayer], idle: int) -> str:
    said = [f"{idle} of {len(layers)} nodes did not run by themselves and are described without a row"] if idle else []
    if median_ms := number(report.get("latency (ms)")):
        said.append(f"median latency {median_ms:g} ms")
    if not any(layer.weights for layer in layers):
        said.append("no shapes: give the execution graph (-exec_graph_path) too")
    return "; ".join(said)


OPENVINO = Importer(
    name="openvino",
    title="OpenVINO benchmark_app",
    roles={
        "counters": "the counters of -report_type average_counters or detailed_counters",
        "graph": "the XML of -exec_graph_path",
        "report": "benchmark_report.csv or .json",
    },
    required=(),
    recognise=_role,
    read=_read,
)

"""ONNX Runtime: the JSON of `enable_profiling`, kernel times of every node in every run.

Optimised graphs name a node after the last one fused into it ("relu_3_nchwc"), but the types and shapes of its inputs
stay those of the layer, weights in O I H W: shapes and order tell what it is. Times are whole microseconds. On
providers that only queue their work the times are those of queueing; a note says so. Bodies of If, Loop and Scan are
listed beside the node that contains them, so that node is left out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from costmodels.importers.base import Files, Given, Importer, Timed, build, tabulated
from costmodels.importers.cells import bad_time, mapping, only, quoted, refuse
from costmodels.importers.files import SourceFile
from costmodels.importers.shapes import Shape, convolution, linear, shape_of
from costmodels.profile import MAX_ROWS, Profile, ProfileLayer

WARM_UP_RUNS = 1  # the first run allocates and packs weights
_ENDING = "_kernel_time"
_CONTAINERS = ("If", "Loop", "Scan")
_CONVOLUTIONS = ("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger")
_PRODUCTS = ("MatMul", "FusedMatMul", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
_LINEARS = ("Gemm", "FusedGemm", "QGemm", "MatMulNBits")
_PRECISIONS = {
    "float": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "double": "float64",
    "int8": "int8",
    "uint8": "int8",
}
_MAX_US = 1e12

Event = dict[str, Any]
Key = tuple[str, str]  # name and index of the node: names may be empty


@dataclass(frozen=True)
class _Node:
    """A node and the microseconds it took in each run, all its executions in the run together."""

    event: Event
    runs_us: Sequence[float]
    calls: int


def _role(file: SourceFile) -> str | None:
    document = file.json_or_none
    if not isinstance(document, list) or not document or not isinstance(document[0], dict):
        return None
    return "profile" if document[0].get("cat") in ("Session", "Node") and "name" in document[0] else None


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "profile", "profiles of ONNX Runtime")
    events = _events(file)
    runs = [event for event in events if event["name"] == "model_run" and event.get("cat") == "Session"]
    nodes = _nodes(file, events, runs)
    count = len(nodes[0].runs_us)
    warm_up = min(WARM_UP_RUNS, count - 1)
    batch = given.batch or _batch(nodes)
    layers, rows = tabulated(_timed(node, batch, warm_up) for node in nodes)
    runs_ms = [run["dur"] / 1e3 for run in runs[warm_up:]]
    network = Timed.over_runs(layers[0], runs_ms) if runs_ms else None
    providers = sorted({str(_args(node.event).get("provider") or "unknown provider")[:40] for node in nodes})
    return build(
        files,
        given,
        layers,
        rows,
        source="measured",
        runtime=f"ONNX Runtime, {' and '.join(providers)}"[:200].strip(),
        tool="onnxruntime",
        batch=batch,
        precision=_precision(nodes),
        statistic="median",
        runs=count - warm_up,
        warm_up_runs=warm_up,
        original_unit="us",
        network_latency_ms=network.latency_ms if network and network.latency_ms else None,
        network_latency_std_ms=network.latency_std_ms if network else None,
        note=_note(providers),
    )


def _events(file: SourceFile) -> list[Event]:
    """The events of nodes and runs, in order of time."""
    problems: list[str] = []
    found = []
    for at, event in enumerate(file.json, start=1):
        if not isinstance(event, dict) or not isinstance(event.get("name"), str):
            problems.append(f"event {at}: it is no object with a name")
            continue
        kernel = event.get("cat") == "Node" and event["name"].endswith(_ENDING)
        if not kernel and not (event.get("cat") == "Session" and event["name"] == "model_run"):
            continue
        if wrong := bad_time(event, _MAX_US):
            problems.append(f"event {at} ({quoted(event['name'])}): {wrong}")
        found.append(event)
    refuse(file, problems)
    return sorted(found, key=lambda event: event["ts"])


def _nodes(file: SourceFile, events: list[Event], runs: list[Event]) -> list[_Node]:
    """The nodes in the order of their first execution, with their times by run."""
    by_node: dict[Key, list[Event]] = {}
    for event in events:
        if event.get("cat") == "Node" and _args(event).get("op_name") not in _CONTAINERS:
            by_node.setdefault((event["name"], str(_args(event).get("node_index", ""))), []).append(event)
    if not by_node:
        raise file.refusal("holds no kernel times: run the session at least once before end_profiling")
    if len(by_node) * max(len(runs), 1) > 10 * MAX_ROWS:
        raise file.refusal(f"holds {len(by_node)} nodes in {len(runs)} runs: profile fewer runs")
    if runs:
        if any(run["ts"] + run["dur"] > later["ts"] for run, later in pairwise(runs)):
            raise file.refusal("holds runs that overlap: profile one run after the other, from one thread")
        return [_by_run(times, runs) for times in by_node.values()]
    counts = Counter(len(times) for times in by_node.values())
    if len(counts) > 1:
        raise file.refusal(
            "has no model_run events, and its nodes ran different numbers of times "
            f"({', '.join(map(str, sorted(counts)[:5]))}): the runs cannot be told apart; end the profiling after a run"
        )
    return [_Node(times[0], [event["dur"] for event in times], 1) for times in by_node.values()]


def _by_run(times: list[Event], runs: list[Event]) -> _Node:
    """Sums over each run's window; both lists are in order of time."""
    sums, calls = [0.0] * len(runs), [0] * len(runs)
    at = 0
    for event in times:
        while at + 1 < len(runs) and event["ts"] >= runs[at + 1]["ts"]:
            at += 1
        sums[at] += event["dur"]
        calls[at] += 1
    return _Node(times[-1], sums, max(calls))


def _timed(node: _Node, batch: int | None, warm_up: int) -> Timed:
    return Timed.over_runs(_layer(node, batch), [one / 1e3 for one in node.runs_us[warm_up:]])


def _layer(node: _Node, batch: int | None) -> ProfileLayer:
    name = node.event["name"].removesuffix(_ENDING) or f"{_op(node.event)} {_args(node.event).get('node_index', '')}"
    found = _with_weights(name, node.event, batch)
    if found is None:
        named = _op(node.event) in (*_CONVOLUTIONS, *_LINEARS, "ConvTranspose")
        role: Literal["layer", "other"] = "layer" if named else "other"
        found = ProfileLayer(name=name, role=role, op=_op(node.event))
    return replace(found, calls=node.calls, macs=found.macs * node.calls if found.macs else None)


def _with_weights(name: str, event: Event, batch: int | None) -> ProfileLayer | None:
    """The layer whose weights this node multiplies, told by its shapes; None for all others."""
    inputs, outputs = _shapes(event, "input_type_shape"), _shapes(event, "output_type_shape")
    if not inputs or not outputs or not inputs[0] or not outputs[0]:
        return None
    first, output = inputs[0], outputs[0]
    if _op(event) in _CONVOLUTIONS:
        fitting = (convolution(name, first, other, output) for other in inputs[1:])
        return next((layer for layer in fitting if layer), None)
    # a weight that was packed beforehand is no longer among the inputs
    unweighted = len(inputs) > 1 and str(_args(event).get("parameter_size", "")) == "0"
    weightless = unweighted or any(len(other) > 2 for other in inputs[1:])
    if _op(event) in _LINEARS or (_op(event) in _PRODUCTS and not weightless):
        return linear(name, first, output[-1], batch=batch)
    return None  # a product of two activations has no weights


def _shapes(event: Event, key: str) -> list[Shape]:
    """The shapes of tensors, e.g. from [{"float": [1, 3, 224, 224]}, {"float": [64, 3, 7, 7]}]."""
    tensors = _args(event).get(key)
    return [shape_of(shape) for shape in _values(tensors)] if isinstance(tensors, list) else []


def _values(tensors: list[Any]) -> Iterator[object]:
    for tensor in tensors:
        yield next(iter(tensor.values()), None) if isinstance(tensor, dict) else None


def _batch(nodes: Sequence[_Node]) -> int | None:
    """The first dimension of what the first convolution reads; of a linear it may be tokens."""
    images = (_shapes(node.event, "input_type_shape") for node in nodes if _op(node.event) in _CONVOLUTIONS)
    return next((shapes[0][0] for shapes in images if shapes and len(shapes[0]) > 2), None)


def _precision(nodes: Sequence[_Node]) -> str | None:
    """The type that the inputs of all layers with weights share."""
    types = set()
    for node in nodes:
        tensors = _args(node.event).get("input_type_shape")
        if _op(node.event) in (*_CONVOLUTIONS, *_LINEARS) and isinstance(tensors, list) and tensors:
            types.add(str(next(iter(tensors[0]), "")) if isinstance(tensors[0], dict) else "")
    return _PRECISIONS.get(types.pop()) if len(types) == 1 else None


def _note(providers: list[str]) -> str:
    queueing = [provider for provider in providers if provider != "CPUExecutionProvider"]
    return f"node times under {', '.join(queueing)} may be those of queueing the work only" if queueing else ""


def _args(event: Event) -> Mapping[str, Any]:
    return mapping(event.get("args"))


def _op(event: Event) -> str:
    op = _args(event).get("op_name")
    return op[:60] if isinstance(op, str) and op.isprintable() else ""


ONNXRUNTIME = Importer(
    name="onnxruntime",
    title="ONNX Runtime",
    roles={"profile": "the JSON that end_profiling names"},
    required=("profile",),
    recognise=_role,
    read=_read,
)

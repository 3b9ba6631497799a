"""OpenVINO's execution graph: what each node is, what was fused into it, and how long it took."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from costmodels.importers.base import Timed
from costmodels.importers.cells import listed, number, quoted, refuse
from costmodels.importers.files import SourceFile
from costmodels.importers.shapes import MAX_DIMS, Shape, convolution, linear, shape_of
from costmodels.profile import ProfileLayer

_PRECISIONS = {
    "f32": "float32",
    "fp32": "float32",
    "f16": "float16",
    "fp16": "float16",
    "bf16": "bfloat16",
    "i8": "int8",
    "u8": "int8",
}
_WEIGHTED = ("Convolution", "FullyConnected", "Deconvolution")
_IDLE = "not_executed"


@dataclass(frozen=True, kw_only=True)
class GraphLayer:
    """A node of the graph: what it is, what it took, and its number format."""

    timed: Timed
    precision: str


def batch_of(file: SourceFile) -> int | None:
    """The first dimension of what the first convolution reads; of a linear it may be tokens."""
    images = (_ports(node, "input") for node in file.xml.iter("layer") if node.get("type") == "Convolution")
    return next((ports[0][0] for ports in images if ports and ports[0]), None)


def graph_layers(file: SourceFile, batch: int | None) -> dict[str, GraphLayer]:
    """The nodes by name, in order of execution; constants left out.

    Raises:
        ProfileError: times that are none; a graph of a model that was never run.
    """
    nodes = listed(file, [node for node in file.xml.iter("layer") if node.get("type") != "Const"], "nodes")
    problems: list[str] = []
    found = [(_order(node), at, _layer(node, f"layer {at}", batch, problems)) for at, node in enumerate(nodes, start=1)]
    refuse(file, problems)
    if not any(layer.timed.latency_ms for *_, layer in found):
        raise file.refusal("holds no execution times: write it with benchmark_app -exec_graph_path, after the runs")
    ordered = [layer for *_, layer in sorted(found, key=lambda one: one[:2])]
    named = {layer.timed.layer.name: layer for layer in ordered}
    if len(named) != len(ordered):
        raise file.refusal("names two nodes alike: times could not be told apart")
    return named


def precision_of(words: Iterable[str]) -> str | None:
    """The precision that all words agree on: "f32", or the ending of "brgconv_avx512_f32"."""
    found = {_PRECISIONS.get(word.lower().rpartition("_")[2]) for word in words}
    return found.pop() if len(found) == 1 else None


def _layer(node: Element, where: str, batch: int | None, problems: list[str]) -> GraphLayer:
    data = node.find("data")
    told = data.attrib if data is not None else {}
    name = node.get("name", "")
    where = f"{where} ({quoted(name)})"
    if not name or "execTimeMcs" not in told:
        problems.append(f"{where}: it has no {'execTimeMcs' if name else 'name'}")
    text = told.get("execTimeMcs", _IDLE)
    time_us = 0.0 if text == _IDLE else number(text)
    if time_us is None or time_us < 0.0:
        problems.append(f"{where}: execTimeMcs is {quoted(text)}, not zero or a positive number")
        time_us = 0.0
    layer = _described(node, name, batch)
    members = tuple(one.strip() for one in told.get("originalLayersNames", "").split(",") if one.strip())
    layer = replace(layer, members=members if members != (name,) else ())
    return GraphLayer(timed=Timed(layer=layer, latency_ms=time_us / 1e3), precision=told.get("runtimePrecision", ""))


def _described(node: Element, name: str, batch: int | None) -> ProfileLayer:
    kind = node.get("type", "")[:60]
    inputs, outputs = _ports(node, "input"), _ports(node, "output")
    if len(inputs) > 1 and outputs and inputs[0] and outputs[0]:
        image, weight, output = inputs[0], inputs[1], outputs[0]
        if kind == "Convolution":
            if len(weight) == len(image) + 1:  # groups, then output and input channels of one group
                weight = (weight[0] * weight[1], *weight[2:])
            found = convolution(name, image, weight, output)
            if found:
                return found
        if kind == "FullyConnected":
            return linear(name, image, output[-1], batch=batch)
    return ProfileLayer(
        name=name, role="layer" if kind in _WEIGHTED else "other", op=kind if kind.isprintable() else ""
    )


def _ports(node: Element, side: str) -> list[Shape]:
    return [_dimensions(port) for port in node.findall(f"{side}/port")]


def _dimensions(port: Element) -> Shape:
    texts = [(dim.text or "").strip() for dim in port.findall("dim")[: MAX_DIMS + 1]]
    return shape_of([int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0 for text in texts])


def _order(node: Element) -> int:
    data = node.find("data")
    text = data.get("execOrder", "") if data is not None else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 10**9

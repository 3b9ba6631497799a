"""What SCALE-Sim was told to run: its topology, of convolutions or of matrix products, and its configuration.

Convolutions have no padding: a map of H with a filter of K at stride S has ceil((H - K + S) / S) outputs, as in the
tool. It has no groups either; a depthwise layer is written as one filter over all channels, and is taken for one
where the next layer goes on with as many channels. A product M x K by K x N is a linear of K to N over M positions.
"""

import re
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

from costmodels.importers.base import printable, unique
from costmodels.importers.cells import HEAD, number, quoted, refuse
from costmodels.importers.files import SourceFile
from costmodels.importers.tables import Line, columns, lines, of_one
from costmodels.profile import ProfileLayer
from pruning.errors import PatternError
from pruning.patterns import NM

Kind = Literal["conv", "gemm"]
_CONV = ("ifmap height", "ifmap width", "filter height", "filter width", "channels", "num filter", "strides")
_GEMM = ("m", "n", "k")
_NAMES = ("layer name", "layer")
_MOST = 2**24
_SHARE = re.compile(r"(\d{1,2}):(\d{1,2})")
_SETTING = re.compile(r"^[ \t]*(\w{1,40})[ \t]*[:=][ \t]*(\S{1,40})[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class TopologyLayer:
    """One line: the layer it describes, what the tool carries out for it, and the pattern of its weights."""

    described: ProfileLayer
    sizes: tuple[int, ...]  # of the line
    macs: int  # without zeros left out
    filter_length: int  # weights of one filter, flattened
    filters: int
    pattern: NM | None = None

    def of_one_sample(self, batch: int | None) -> dict[str, Any]:
        """Positions and multiply-adds of one sample, where the batch divides them."""
        positions = of_one(self.macs // (self.filter_length * self.filters), batch)
        return {"positions": positions, "macs": of_one(self.macs, batch) if positions else None}


@dataclass(frozen=True)
class Topology:
    """The layers in the order of the run."""

    file: SourceFile
    kind: Kind
    layers: tuple[TopologyLayer, ...]


def topology_kind(file: SourceFile) -> Kind | None:
    """Which topology this is; None: none."""
    found = columns(file)
    if not found.intersection(_NAMES):
        return None
    return "conv" if found.issuperset(_CONV) else "gemm" if found.issuperset(_GEMM) else None


def read_topology(file: SourceFile) -> Topology:
    """The layers of a topology.

    Raises:
        ProfileError: a size or a sparsity is none.
    """
    kind = topology_kind(file) or "conv"
    problems: list[str] = []
    table = list(lines(file, _CONV if kind == "conv" else _GEMM, problems))
    layers = [(_conv if kind == "conv" else _gemm)(line) for line in table]
    if not layers:
        problems.append("there are no layers under the header")
    refuse(file, problems)
    if kind == "conv":
        layers = [_depthwise(layer, after) for layer, after in zip(layers, [*layers[1:], None], strict=True)]
    names = unique(layer.described for layer in layers)
    return Topology(file, kind, tuple(replace(la, described=d) for la, d in zip(layers, names, strict=True)))


def is_configuration(file: SourceFile) -> bool:
    """Whether this is a configuration of SCALE-Sim."""
    head = file.text[:HEAD]
    return "[architecture_presets]" in head and "ArrayHeight" in head


def read_array(file: SourceFile) -> str:
    """The array in words, as the configuration sets it.

    Raises:
        ProfileError: it does not say one.
    """
    found = {key.lower(): value for key, value in _SETTING.findall(file.text[:HEAD])}
    sides = [number(found.get(key)) for key in ("arrayheight", "arraywidth")]
    dataflow = found.get("dataflow", "")
    if None in sides or not dataflow.isalnum():
        raise file.refusal("does not say ArrayHeight, ArrayWidth and Dataflow: give the one that was run, or none")
    return f"systolic array {sides[0]:g} x {sides[1]:g}, {dataflow}"


def _conv(line: Line) -> TopologyLayer:
    sizes = tuple(line.count(column, least=1, most=_MOST) for column in _CONV)
    height, width, rows, cols, channels, filters, stride = sizes
    output = tuple(-(-(side - kernel + stride) // stride) for side, kernel in ((height, rows), (width, cols)))
    if min(output) < 1:
        line.problems.append(f"line {line.at}: the filter {rows} x {cols} is larger than its map {height} x {width}")
    shape: dict[str, Any] = {"op": "linear"}
    if sizes[:4] != (1, 1, 1, 1):
        shape = {"op": "conv2d", "kernel": (rows, cols), "stride": (stride, stride), "groups": 1}
        shape |= {"input_size": (height, width), "output_size": output}
    length = rows * cols * channels
    described = ProfileLayer(
        name=_name(line), in_channels=channels, out_channels=filters, weights=length * filters, **shape
    )
    return TopologyLayer(described, sizes, prod(output) * length * filters, length, filters, _pattern(line))


def _gemm(line: Line) -> TopologyLayer:
    rows, filters, length = sizes = tuple(line.count(column, least=1, most=_MOST) for column in _GEMM)
    described = ProfileLayer(
        name=_name(line), op="linear", in_channels=length, out_channels=filters, weights=length * filters
    )
    return TopologyLayer(described, sizes, rows * length * filters, length, filters, _pattern(line))


def _depthwise(layer: TopologyLayer, after: TopologyLayer | None) -> TopologyLayer:
    """One filter over channels that the next layer still has."""
    channels = layer.described.in_channels
    goes_on = after is not None and after.described.in_channels == channels
    if layer.filters > 1 or channels == 1 or not goes_on or layer.filter_length == channels:
        return layer
    return replace(layer, described=replace(layer.described, out_channels=channels, groups=channels))


def _name(line: Line) -> str:
    return line.text(next(column for column in _NAMES if column in line.cells))


def _pattern(line: Line) -> NM | None:
    """N of M in the tool's words are N kept; M of M is dense."""
    text = printable(line.cells.get("sparsity", "1:1"))
    match = _SHARE.fullmatch(text)
    try:
        pattern = NM(keep=int(match[1]), group=int(match[2])) if match else None
    except PatternError:
        pattern = None
    if pattern is None:
        line.problems.append(f"line {line.at}: 'sparsity' is {quoted(text)}: write N:M, N of M weights kept")
    return pattern if pattern and pattern.keep < pattern.group else None

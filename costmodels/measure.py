"""Measuring this machine: time every layer at several channel counts, and the whole dense net, into a `Profile`.

Each distinct shape is timed once, alone, on random data: the layer with the element-wise operators that only it feeds,
in float32, as torch runs it eagerly. All shapes take turns over several rounds, so that a slow minute hurts all alike.
The first decile is kept: other processes can only add time, and they add it to some calls. Zeros are not timed: eager
kernels do not notice them. What the layers leave of the whole net's time is the profile's overhead.
"""

import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from costmodels.profile import Profile, ProfileRow
from pruning.calls import DTYPES
from pruning.graphnet import GraphNet
from pruning.layers import LayerSpec, ModelSpec
from pruning.trace import single_shape

Report = Callable[[float, str], None]

ROUNDS = 4
WARM_UPS = 2
_ALONE = (1.0, 0.75, 0.5, 0.25, 0.125)  # widths where only the inputs or only the outputs can shrink
_BOTH = (1.0, 0.5, 0.25, 0.125)  # on each axis where both can
_CONVS: Mapping[str, Callable[..., Tensor]] = {"conv1d": functional.conv1d, "conv2d": functional.conv2d}
_TAILS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hardtanh": functional.hardtanh,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "silu": functional.silu,
    "mish": functional.mish,
    "gelu": functional.gelu,
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


@dataclass
class _Point:
    """One shape to be timed, and its times so far."""

    layer: LayerSpec
    times_ms: list[float] = field(default_factory=list)


def measure(
    net: GraphNet,
    spec: ModelSpec,
    batch: int = 64,
    threads: int = 1,
    report: Report | None = None,
    budget_s: float = 12.0,
) -> Profile:
    """A measured profile of this machine for a model; takes about `budget_s`, longer for heavy models.

    torch's thread count is changed while it runs and put back.
    """
    shapes = {layer.name: tuple(_shapes(layer, spec)) for layer in spec.layers}
    points = {_signature(shape): _Point(shape) for found in shapes.values() for shape in found}
    with _threads(threads), torch.inference_mode():
        network_ms = _run(net, batch, list(points.values()), budget_s, report)
    rows = (_row(layer, shape, points[_signature(shape)]) for layer in spec.layers for shape in shapes[layer.name])
    device, cores = _device(), f"{threads} thread{'s' if threads > 1 else ''}"
    return Profile(
        name=f"{device}, batch {batch}, {cores}",
        device=device,
        runtime=f"torch {torch.__version__} eager, {cores}",
        batch=batch,
        precision="float32",
        source="measured",
        tool="espalier measure",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        statistic="p10",
        note="each layer is timed alone with the element-wise operators that only it feeds",
        network_latency_ms=_first_decile(network_ms),
        rows=tuple(rows),
    )


def _run(net: GraphNet, batch: int, points: Sequence[_Point], budget_s: float, report: Report | None) -> list[float]:
    """Fill the points' times; the answer is those of the whole net."""
    inputs = tuple(_inputs(net, batch))
    turn_s = budget_s / (ROUNDS * (len(points) + 2))  # the whole net takes two turns
    network_ms: list[float] = []
    training = net.training
    net.eval()
    for turn in range(ROUNDS):
        network_ms += _times_ms(lambda: net(*inputs), 2 * turn_s)
        for index, point in enumerate(points, start=turn * len(points) + 1):
            point.times_ms += _times_ms(_runner(point.layer, batch), turn_s)
            if report is not None:
                report(index / (ROUNDS * len(points)), f"timing {point.layer.name}")
    net.train(training)
    return network_ms


def _shapes(layer: LayerSpec, spec: ModelSpec) -> Iterator[LayerSpec]:
    """The layer at full size first, then at the widths that removing channels can lead to."""
    roles = {cut.role for g in spec.groups if g.removable for cut in g.cuts if cut.parameter == layer.parameter}
    shrinks_in, shrinks_out = "consumer" in roles, "producer" in roles
    if layer.depthwise:
        widths = [(n, n) for n in _widths(layer.out_channels, _ALONE if roles else (1.0,))]
    else:
        shares = _BOTH if shrinks_in and shrinks_out else _ALONE
        ins = _widths(layer.in_channels, shares if shrinks_in else (1.0,))
        outs = _widths(layer.out_channels, shares if shrinks_out else (1.0,))
        widths = list(product(ins, outs))
    for inputs, outputs in widths:
        shape = layer.resized(inputs, outputs)
        if inputs % shape.groups == 0 and outputs % shape.groups == 0:
            yield shape


def _widths(channels: int, shares: tuple[float, ...]) -> list[int]:
    return list(dict.fromkeys(max(1, round(channels * share)) for share in shares))


def _signature(layer: LayerSpec) -> LayerSpec:
    return replace(layer, name="", parameter="", calls=1)


def _row(layer: LayerSpec, shape: LayerSpec, point: _Point) -> ProfileRow:
    return ProfileRow(
        layer=layer.name,
        in_channels=shape.in_channels,
        out_channels=shape.out_channels,
        latency_ms=_first_decile(point.times_ms) * layer.calls,
        latency_std_ms=statistics.pstdev(point.times_ms) * layer.calls,
    )


def _first_decile(times_ms: Sequence[float]) -> float:
    return statistics.quantiles(times_ms, n=10, method="inclusive")[0]


def _runner(layer: LayerSpec, batch: int) -> Callable[[], Tensor]:
    """One call of the layer and its tail, on random data."""
    weight = torch.randn(layer.out_channels, layer.in_channels // layer.groups, *layer.kernel)
    bias = torch.randn(layer.out_channels) if layer.has_bias else None
    zeros, ones = torch.zeros(layer.out_channels), torch.ones(layer.out_channels)
    tail = layer.tail

    def finish(value: Tensor) -> Tensor:
        for name in tail:
            if name == "batch_norm":
                value = functional.batch_norm(value, zeros, ones, ones, zeros)
            elif name in _TAILS:
                value = _TAILS[name](value)
        return value

    if layer.op == "linear":
        rest = (layer.positions,) if layer.positions > 1 else ()
        tokens = torch.randn(batch, *rest, layer.in_channels)
        return lambda: finish(functional.linear(tokens, weight, bias))
    call, image = _CONVS[layer.op], torch.randn(batch, layer.in_channels, *layer.input_size)
    options = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return lambda: finish(call(image, weight, bias, *options))


def _inputs(net: GraphNet, batch: int) -> Iterator[Tensor]:
    for entry in net.document.inputs:
        shape, dtype = (batch, *single_shape(entry)), DTYPES[entry.dtype]
        yield torch.randn(shape).to(dtype) if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)


def _times_ms(call: Callable[[], object], turn_s: float) -> list[float]:
    for _ in range(WARM_UPS):
        call()
    times_ms: list[float] = []
    end = time.perf_counter() + turn_s
    while len(times_ms) < 2 or (time.perf_counter() < end and len(times_ms) < 200):
        start = time.perf_counter_ns()
        call()
        times_ms.append((time.perf_counter_ns() - start) / 1e6)
    return times_ms


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device() -> str:
    """The processor by name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    found = next(named, "") or platform.processor() or platform.machine() or "unknown processor"
    return "".join(c for c in found if c.isprintable())[:200].strip()

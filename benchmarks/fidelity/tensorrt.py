"""TensorRT engines: convolutions of nine engines, and the sum of an engine's layers against its whole time.

Three models of a layer: the catalogue's entry as it is (its figures were fitted on these engines, so its error is
in-sample); a roofline whose peak, bandwidth and layer overhead are fitted to half of an engine's layers and judged on
the other half; and time in proportion to multiply-adds, fitted the same way.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from benchmarks.fidelity.scores import Score, inside, score
from costmodels.accelerator import Accelerator, load
from costmodels.analytical import analytical
from costmodels.base import CostModel, LayerCost
from costmodels.figures import Figure
from pruning.layers import LayerSpec
from pruning.patterns import Dense

LAYERS, SUMS = "tensorrt_conv_layers.csv", "tensorrt_additivity.csv"
_ENTRIES = {
    "a100_pytorch_resnet_fp16": ("nvidia-a100", "float16"),
    "a100_pytorch_resnet_fp32": ("nvidia-a100", "tf32"),
    "rtx3090_tf_resnet_fp16": ("nvidia-rtx-3090", "float16"),
    "rtx3090_tf_resnet_fp32": ("nvidia-rtx-3090", "float32"),
    "rtx3090_tf_resnet_qat": ("nvidia-rtx-3090", "int8"),
    "test_mobilenet.qat": ("nvidia-titan-rtx", "int8"),
    "test_mobilenet_v2_residuals.qat": ("nvidia-titan-rtx", "int8"),
}
_PRECISIONS = {"Half": "float16", "Float": "float32", "Int8": "int8"}


def scores(folder: Path) -> Iterator[Score]:
    """Layers engine by engine, then the sums."""
    engines: dict[str, list[dict[str, str]]] = {}
    with (folder / LAYERS).open(newline="") as file:
        for row in csv.DictReader(file):
            engines.setdefault(row["engine"], []).append(row)
    for engine, rows in engines.items():
        yield from _engine(engine, rows)
    yield from _sums(folder / SUMS)


def _engine(engine: str, rows: Sequence[Mapping[str, str]]) -> Iterator[Score]:
    layers, batch = [_layer(row) for row in rows], int(rows[0]["batch"])
    true = [float(row["average_ms"]) for row in rows]
    if engine in _ENTRIES:
        name, precision = _ENTRIES[engine]
        costs = _costs(analytical(load(name), batch, precision), layers)
        within = inside([c.low_ms or 0.0 for c in costs], true, [c.high_ms or 0.0 for c in costs])
        times = [cost.latency_ms for cost in costs]
        yield score(LAYERS, engine, f"entry {name}, {precision}", times, true, inside=within, note="in-sample")
    precision = _PRECISIONS[rows[0]["weight_dtype"]]
    fitted, naive = np.empty(len(true)), np.empty(len(true))
    for half in (0, 1):
        seen, unseen = [n for n in range(len(true)) if n % 2 == half], [n for n in range(len(true)) if n % 2 != half]
        model = _fit([layers[n] for n in seen], [true[n] for n in seen], batch, precision)
        fitted[unseen] = [cost.latency_ms for cost in _costs(model, [layers[n] for n in unseen])]
        pace = float(np.median([true[n] / layers[n].macs for n in seen]))
        naive[unseen] = [layers[n].macs * pace for n in unseen]
    yield score(LAYERS, engine, "roofline fitted to the other half", list(fitted), true)
    yield score(LAYERS, engine, "multiply-adds, fitted to the other half", list(naive), true)


def _layer(row: Mapping[str, str]) -> LayerSpec:
    size = (int(row["out_h"]), int(row["out_w"]))
    return LayerSpec(
        name=row["layer_name"],
        parameter="w",
        op="conv2d",
        in_channels=int(row["in_channels"]),
        out_channels=int(row["out_channels"]),
        kernel=(int(row["kernel_h"]), int(row["kernel_w"])),
        stride=(int(row["stride"]),) * 2,
        groups=int(row["groups"]),
        input_size=(int(row["in_h"]), int(row["in_w"])),
        output_size=size,
        positions=size[0] * size[1],
    )


def _costs(model: CostModel, layers: Sequence[LayerSpec]) -> list[LayerCost]:
    return [model.cost(layer, layer, Dense()) for layer in layers]


def _fit(layers: Sequence[LayerSpec], true: Sequence[float], batch: int, precision: str) -> CostModel:
    """Peak, bandwidth and overhead of least mean |log error|."""

    def model(point: Sequence[float]) -> CostModel:
        peak, bandwidth, overhead_ms = np.exp(point)
        return analytical(_entry(precision, peak, bandwidth, overhead_ms), batch, precision)

    def loss(point: Sequence[float]) -> float:
        times = [cost.latency_ms for cost in _costs(model(point), layers)]
        return float(np.mean(np.abs(np.log(np.array(times) / np.array(true)))))

    start = np.log([5e13, 1e12, 5e-3])
    found = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 600, "xatol": 1e-3, "fatol": 1e-4})
    return model(found.x)


def _entry(precision: str, peak: float, bandwidth: float, overhead_ms: float) -> Accelerator:
    def figure(value: float) -> Figure:
        return Figure(value=float(value), status="fitted", source="fitted in this run")

    return replace(
        load("nvidia-a100"),
        peak_macs_per_s={precision: figure(peak)},
        memory_bytes_per_s=figure(bandwidth),
        layer_overhead_ms=figure(overhead_ms),
        zeros=(),
    )


def _sums(path: Path) -> Iterator[Score]:
    """Sum of layers as the network's time: as it is, and times the median ratio of the other engines."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    sums = [float(row["sum_layer_average_ms"]) for row in rows]
    true = [float(row["end_to_end_median_ms"]) for row in rows]
    yield score(SUMS, "9 engines", "sum of layers", sums, true, note="profiling slows layers down")
    ratios = [whole / part for whole, part in zip(true, sums, strict=True)]
    others = [float(np.median([*ratios[:n], *ratios[n + 1 :]])) for n in range(len(ratios))]
    scaled = [part * ratio for part, ratio in zip(sums, others, strict=True)]
    yield score(SUMS, "9 engines", "scaled by the other engines' median ratio", scaled, true)

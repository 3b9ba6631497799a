"""Measured sparse kernels: curves of unstructured zeros, and N:M products on GPUs.

Curves: a layer's table is given some of its measured sparsities and asked for the others. Products: what the catalogue
says a pattern saves against what was measured beside its own dense time. The naive model beside both is the one that
papers use: dense time x density.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.fidelity.scores import Score, inside, score
from costmodels.accelerator import load
from costmodels.analytical import analytical
from costmodels.profile import ProfileRow
from costmodels.table import LayerTable
from pruning.layers import LayerSpec
from pruning.patterns import NM, Dense, Unstructured

CURVES = "deepsparse_spdy_timings.csv"
SEVEN = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
FOUR = (0.0, 0.5, 0.9, 0.99)
_LAYER = LayerSpec(name="layer", parameter="w", op="linear", in_channels=1, out_channels=1)
Curve = Mapping[float, float]  # time by sparsity, dense at 0


def curve_scores(folder: Path) -> Iterator[Score]:
    """Interpolation from seven and four points, where the file of curves is at hand."""
    curves: dict[tuple[str, str, str], dict[float, float]] = {}
    with (folder / CURVES).open(newline="") as file:
        for row in csv.DictReader(file):
            if row["latency_s"]:
                key = (row["network"], row["pattern"], row["layer"])
                curves.setdefault(key, {})[round(float(row["sparsity"]), 6)] = float(row["latency_s"]) * 1e3
    for known in (SEVEN, FOUR):
        yield from interpolated(CURVES, [c for c in curves.values() if set(known) <= set(c)], known)


def interpolated(file: str, curves: Sequence[Curve], known: Sequence[float]) -> Iterator[Score]:
    """Tables from the `known` sparsities, asked for all others inside them."""
    guess, naive, true, low, high = [], [], [], [], []
    for curve in curves:
        rows = [ProfileRow(layer="layer", pattern=_word(s), latency_ms=curve[s]) for s in known]
        table = LayerTable.of(_LAYER, rows)
        assert table is not None
        for sparsity, latency_ms in curve.items():
            if sparsity in known or not min(s for s in known if s) < sparsity < max(known):
                continue
            cell = table.price((1, 1), Unstructured(sparsity))
            guess.append(cell.latency_ms)
            naive.append(curve[0.0] * (1.0 - sparsity))
            true.append(min(latency_ms, curve[0.0]))  # a runtime that dispatches never pays more than dense
            low.append(cell.latency_ms * (1.0 - cell.half_width))
            high.append(cell.latency_ms * (1.0 + cell.half_width))
    what = f"{len(curves)} layers, {len(known)} sparsities known"
    yield score(file, what, "table", guess, true, inside=inside(low, true, high))
    yield score(file, what, "dense time x density", naive, true)


def _word(sparsity: float) -> str:
    return str(Unstructured(sparsity)) if sparsity else "dense"


def network_scores(path: Path) -> Iterator[Score]:
    """Whole networks of one sparsity throughout, from their layers and what the dense network leaves outside them."""
    document = json.loads(path.read_text())
    totals = {float(s): t for s, t in document["model_total_by_uniform_sparsity"].items()}
    timed = [layer for layer in document["layers"] if layer["options"][0]["latency"] is not None]
    layers = [{o["sparsity"]: o["latency"] for o in layer["options"]} for layer in timed]
    overhead = totals[0.0] - sum(layer[0.0] for layer in layers)
    sparsities = sorted(s for s in totals if s)
    summed = [overhead + sum(layer[s] for layer in layers) for s in sparsities]
    true = [totals[s] for s in sparsities]
    note = f"dense layers sum to {1 - overhead / totals[0.0]:.0%} of the network"
    yield score(path.name, "network at 40, 80, 99 % zeros", "overhead + layers", summed, true, note=note)
    naive = [totals[0.0] * (1.0 - s) for s in sparsities]
    yield score(path.name, "network at 40, 80, 99 % zeros", "dense time x density", naive, true)
    curves = [{s: t * 1e3 for s, t in layer.items()} for layer in layers]
    yield from interpolated(path.name, curves, (0.0, 0.4, 0.99))


def product_scores(folder: Path) -> Iterator[Score]:
    """Speed-ups of 2:4 products: each measured row beside its own dense time."""
    with (folder / "venom_nm_gemm.csv").open(newline="") as file:
        rows = [
            r
            for r in csv.DictReader(file)
            if (r["nm_keep"], r["nm_of"]) == ("2", "4") and r["library"][:4] in ("cuSP", "Spat")
        ]
    yield from _products("venom_nm_gemm.csv", "2:4, RTX 3090, fp16", "nvidia-rtx-3090", rows, "speedup")
    with (folder / "gemm_2_4_speedups.csv").open(newline="") as file:
        rows = [
            r
            for r in csv.DictReader(file)
            if r["gpu"].startswith("A100") and r["dtype"] == "fp16" and r["m"] and r["n"]
        ]
    column = "speedup_dense_over_sparse"
    yield from _products("gemm_2_4_speedups.csv", "2:4, A100, fp16", "nvidia-a100", rows, column)


def _products(file: str, what: str, name: str, rows: Sequence[Mapping[str, str]], column: str) -> Iterator[Score]:
    guess, low, high = [], [], []
    for row in rows:
        sides = {side: int(float(row[side])) for side in "mkn"}
        layer = LayerSpec(name="p", parameter="w", op="linear", in_channels=sides["k"], out_channels=sides["m"])
        model = analytical(load(name), max(1, sides["n"]), "float16")
        dense, sparse = model.cost(layer, layer, Dense()), model.cost(layer, layer, NM(2, 4))
        guess.append(dense.latency_ms / sparse.latency_ms)
        low.append(dense.latency_ms / (sparse.high_ms or sparse.latency_ms))
        high.append(dense.latency_ms / (sparse.low_ms or sparse.latency_ms))
    true = [max(1.0, float(row[column])) for row in rows]  # a runtime that dispatches is never slower than dense
    yield score(file, what, f"entry {name}", guess, true, inside=inside(low, true, high), note="speed-up")
    yield score(file, what, "1 / density", [2.0] * len(true), true, note="speed-up")

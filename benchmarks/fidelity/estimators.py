"""Other people's estimators: SCALE-Sim, NVDLA's sheet, ZigZag, Vela's weight coding."""

import csv
from collections.abc import Iterator, Mapping
from math import ceil, prod
from pathlib import Path

from benchmarks.fidelity.scores import Score, score
from costmodels.accelerator import load
from costmodels.analytical import Analytical
from costmodels.figures import Figure
from costmodels.storage import Weights, coded_bytes
from costmodels.systolic import Array, layer_cycles, product_cycles
from costmodels.zeros import dense_left
from pruning.layers import LayerSpec


def scores(folder: Path) -> Iterator[Score]:
    """File by file."""
    yield from _scale_sim(_read(folder / "scalesim_v3_layers.csv"))
    yield from _nvdla(_read(folder / "nvdla_layers.csv"))
    yield from _zigzag(_read(folder / "zigzag_layers.csv"))
    yield from _vela(_read(folder / "vela_sparsity_summary.csv"))


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _array(rows: int, cols: int, dataflow: str) -> Array:
    sides = (Figure(value=side, status="published", source="the file") for side in (rows, cols))
    return Array(rows=next(sides), cols=next(sides), dataflow="os" if dataflow == "os" else "ws")


def _scale_sim(rows: list[dict[str, str]]) -> Iterator[Score]:
    guess, naive, true = [], [], []
    for row in rows:
        stride = int(row["stride"])
        sides = [ceil((int(row[f"ifmap_{a}"]) - int(row[f"filter_{a}"]) + stride) / stride) for a in "hw"]
        keep, group = (int(part) for part in row["sparsity_keepN_ofM"].replace("dense", "1:1").split(":"))
        products = int(row["filter_h"]) * int(row["filter_w"]) * int(row["channels"])
        array = _array(int(row["array_rows"]), int(row["array_cols"]), row["dataflow"])
        guess.append(product_cycles(array, prod(sides), ceil(products * keep / group), int(row["num_filters"])))
        naive.append(int(row["dense_macs_no_padding"]) * keep / group / array.cells)
        true.append(float(row["total_cycles"]) - float(row["stall_cycles"]))
    exact = sum(a == b for a, b in zip(guess, true, strict=True))
    note = f"{exact} of {len(true)} rows to the cycle"
    yield score("scalesim_v3_layers.csv", "cycles without stalls", "closed form", guess, true, note=note)
    yield score("scalesim_v3_layers.csv", "cycles without stalls", "multiply-adds x density / cells", naive, true)


def _nvdla(rows: list[dict[str, str]]) -> Iterator[Score]:
    rows = [row for row in rows if row["max_cycles"]]
    model = Analytical(load("nvdla-large"), 1, "int8")
    layers = [_sheet_layer(row) for row in rows]
    cycles = [model.busy_s(layer, dense_left(layer, "int8"))["compute"] * 1e9 for layer in layers]
    true = [float(row["mac_cycles"]) for row in rows]
    exact = sum(round(a, 6) == b for a, b in zip(cycles, true, strict=True))
    note = f"{exact} of {len(true)} exact; the sheet does not round channels up everywhere"
    yield score("nvdla_layers.csv", "multiplier cycles", "tiles of 64 x 32, Winograd", cycles, true, note=note)
    naive = [layer.macs / 2048 for layer in layers]
    yield score("nvdla_layers.csv", "multiplier cycles", "multiply-adds / 2048", naive, true)
    parts = ("dram_cycles", "sram_read_cycles", "sram_write_cycles", "mac_cycles")
    slowest = [max(float(row[part]) for part in parts) for row in rows]
    whole = [float(row["max_cycles"]) for row in rows]
    note = "from the sheet's own parts: the law, not our figures"
    yield score("nvdla_layers.csv", "whole layer", "max of the four resources", slowest, whole, note=note)


def _sheet_layer(row: Mapping[str, str]) -> LayerSpec:
    size = (int(row["out_h"]), int(row["out_w"]))
    return LayerSpec(
        name=row["layer"],
        parameter="w",
        op="conv2d",
        in_channels=int(row["in_channels"]),
        out_channels=int(row["out_channels"]),
        kernel=(int(row["filter_h"]), int(row["filter_w"])),
        stride=(int(row["stride_h"]), int(row["stride_w"])),
        output_size=size,
        positions=prod(size),
    )


def _zigzag(rows: list[dict[str, str]]) -> Iterator[Score]:
    """Another analytical model with another dataflow: only ranks can be compared."""
    for accelerator, name in (("tpu_like", "google-tpu-v1"), ("edge_tpu_like", "edge-tpu-like")):
        entry, some = load(name), [row for row in rows if row["accelerator"] == accelerator]
        assert entry.array is not None
        layers = [_looped(row) for row in some]
        true = [float(row["sum_cycles"]) for row in some]
        cycles = [float(layer_cycles(entry.array, layer, 1)) for layer in layers]
        macs = [float(layer.macs) for layer in layers]
        yield score("zigzag_layers.csv", accelerator, f"entry {name}", cycles, true, ranks_only=True)
        yield score("zigzag_layers.csv", accelerator, "multiply-adds", macs, true, ranks_only=True)


def _looped(row: Mapping[str, str]) -> LayerSpec:
    loops = {name: int(row[name] or 1) for name in ("G", "C", "K", "OY", "OX", "FY", "FX")}
    size = (loops["OY"], loops["OX"])
    return LayerSpec(
        name=row["layer"],
        parameter="w",
        op="conv2d",
        in_channels=loops["C"] * loops["G"],
        out_channels=loops["K"] * loops["G"],
        kernel=(loops["FY"], loops["FX"]),
        groups=loops["G"],
        output_size=size,
        positions=prod(size),
    )


def _vela(rows: list[dict[str, str]]) -> Iterator[Score]:
    """Coded weights of pruned networks in dense bytes; the zeros are those of all but depthwise weights."""
    for variant in ("unstr50", "unstr75", "unstr90"):
        some = [row for row in rows if row["variant"] == variant]
        true = [float(r["total_npu_encoded_weights_bytes"]) / float(r["total_original_weights_bytes"]) for r in some]
        kept = [1.0 - float(row["weight_zero_fraction_nondepthwise"]) for row in some]
        bitmask = [coded_bytes("bitmask", Weights(count=10**6, kept=d * 10**6, bits=8, rows=1)) / 10**6 for d in kept]
        yield score("vela_sparsity_summary.csv", f"coded weights, {variant}", "bitmask formula", bitmask, true)
        yield score("vela_sparsity_summary.csv", f"coded weights, {variant}", "density", kept, true)

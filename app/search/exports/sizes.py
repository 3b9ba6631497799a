"""What a trial's model takes: parameters, MACs, and bytes in the encodings that a device may store zeros in."""

from collections.abc import Mapping
from typing import Any

from app.search.trial import Trial
from costmodels.storage import Format, Weights, coded_bytes
from pruning.graphnet import GraphNet
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import NM, Block, Kernel, Pattern

_ANYWHERE: tuple[Format, ...] = ("dense", "bitmask", "csr", "run_length")  # hold zeros wherever they lie
_BITS = {"32": 32, "8": 8}


def sizes(model: ModelSpec, trial: Trial, masked: GraphNet, smaller: GraphNet | None) -> dict[str, Any]:
    """Before and after. `coded_bytes` are by bits of a stored weight, then by format, of the prunable layers alone.

    `best` takes the smallest format of each layer; formats that need a pattern's help (N:M positions, tiles) are open
    to the layers that have it.
    """
    report = trial.report
    found: dict[str, Any] = {
        "macs": [report.get("macs_before", model.macs), report.get("macs_after")],
        "parameters": [report.get("parameters_before", model.parameter_count), report.get("parameters_after")],
        "nonzero_parameters": report.get("nonzero_parameters"),
        "tensor_bytes": [_bytes(masked), None if smaller is None else _bytes(smaller)],
    }
    if smaller is not None:
        found["coded_bytes"] = {name: _coded(model, trial, smaller, bits) for name, bits in _BITS.items()}
    return found


def _bytes(net: GraphNet) -> int:
    return sum(value.numel() * value.element_size() for value in net.state_dict().values())


def _coded(model: ModelSpec, trial: Trial, smaller: GraphNet, bits: int) -> Mapping[str, int]:
    totals: dict[str, float] = dict.fromkeys((*_ANYWHERE, "best"), 0.0)
    for layer in trial.plan.shrunk(model):
        pattern = trial.plan.pattern(layer.name)
        weight = getattr(smaller, layer.parameter)
        kept = int(weight.count_nonzero())
        stored = _weights(layer, pattern, weight.numel(), kept, bits)
        sized = {name: coded_bytes(name, stored) for name in (*_ANYWHERE, *_helped(pattern))}
        for name in _ANYWHERE:
            totals[name] += sized[name]
        totals["best"] += min(sized.values())
    return {name: round(total) for name, total in totals.items()}


def _helped(pattern: Pattern) -> tuple[Format, ...]:
    if isinstance(pattern, NM):
        return ("nm",)
    return ("block",) if isinstance(pattern, Block | Kernel) else ()


def _weights(layer: LayerSpec, pattern: Pattern, count: int, kept: int, bits: int) -> Weights:
    tile = 1
    if isinstance(pattern, Block):
        tile = pattern.rows * pattern.cols
    elif isinstance(pattern, Kernel):
        tile = max(1, count // (layer.out_channels * (layer.in_channels // layer.groups)))
    group = pattern.group if isinstance(pattern, NM) else 1
    return Weights(count=count, kept=kept, bits=bits, rows=layer.out_channels, group=group, tile=tile)

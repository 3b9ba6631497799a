"""The hops of one model, from module to exported smaller program: `travel` takes them until one fails."""

import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from costmodels.macs import count_macs, hooked_macs
from pruning import graphnet
from pruning.apply import Pruned, prune
from pruning.convert import convert
from pruning.export import cut_channels, export_program
from pruning.export_onnx import OnnxNet, export_onnx
from pruning.graphnet import GraphNet
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.patterns import NM, Channel, Pattern, Unstructured
from pruning.plan import PruningPlan
from pruning.trace import trace
from tests.pruning.graphs import stir
from tests.pruning.zoo.entries import Entry

HOPS = ("convert", "same", "twin", "trains", "trace", "macs", "groups", "prune", "cut", "export", "reread")
ALL_HOPS = (*HOPS, "onnx")  # the last takes seconds, and the packages of an extra
TOLERANCE = 1e-5  # of the largest output, or 1
ONNX_TOLERANCE = 1e-4  # another runtime sums in another order


@dataclass
class Travel:
    """How far one model came: what each hop found, in words; `failed` names the hop that `reason` stopped."""

    found: dict[str, str] = field(default_factory=dict)
    failed: str = ""
    reason: str = ""


@dataclass
class _Luggage:
    """What the hops hand on."""

    module: nn.Module
    inputs: tuple[Tensor, ...]
    folder: Path
    net: Any = None
    mode: str = ""
    twin: Any = None
    spec: Any = None
    pruned: Any = None
    smaller: Any = None


def travel(entry: Entry, folder: Path, hops: tuple[str, ...] = HOPS) -> Travel:
    """Take these hops in order; the first that raises ends the way."""
    torch.manual_seed(0)
    luggage = _Luggage(module=stir(entry.make()).eval(), inputs=entry.inputs(), folder=folder)
    way = Travel()
    for name in hops:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                way.found[name] = _HOPS[name](luggage)
        except Exception as error:  # the table shows whatever went wrong
            way.failed, way.reason = name, f"{type(error).__name__}: {str(error).strip()[:300]}"
            break
    return way


def _convert(way: _Luggage) -> str:
    report = convert(way.module, way.inputs, way.folder / "model.pt2")
    way.net, way.mode = _read(report.path, way.folder / "stored"), report.mode
    return f"{report.mode}, {report.nodes} nodes"


def _same(way: _Luggage) -> str:
    return _close(way.module, way.net, way.inputs)


def _twin(way: _Luggage) -> str:
    """The eval export of the same model reads alike, and says what the train export has beyond it."""
    other = convert(way.module, way.inputs, way.folder / "twin.pt2", "eval")
    way.twin = _read(other.path, way.folder / "twin")
    apart = _close(way.module, way.twin, way.inputs)
    assert trace(way.twin).layers == trace(way.net).layers, "the layers of the two exports differ"
    kept, lost = (
        any(note.startswith(words) for note in net.document.notes)
        for net, words in ((way.net, "exported in train mode"), (way.twin, "lost by an export in eval mode"))
    )
    assert lost or not kept, "the eval export does not say what it lost"
    return apart if way.mode == "train" else f"{apart}, in eval mode alone"


def _trains(way: _Luggage) -> str:
    """Gradients reach what they reach in the module, batch norm learns its statistics, dropout drops."""
    for net in (way.net, way.twin):
        _trained(deepcopy(net).train(), way)
    return f"{sum(p.requires_grad for p in way.net.parameters())} parameters"


def _trained(net: GraphNet, way: _Luggage) -> None:
    expected = _reached(way)
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    torch.manual_seed(0)
    loss = sum(_total(value) for value in _outputs(net(*way.inputs)))
    loss.backward()
    named = {entry.id: entry.name for entry in net.document.parameters}
    without = {named[name] for name, parameter in net.named_parameters() if parameter.grad is None}
    assert not without & expected, f"no gradient reaches {sorted(without & expected)[:3]}"
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters()), "a gradient is not finite"
    moved = [name for name, value in net.named_buffers() if "running" in named[name] and not value.equal(buffers[name])]
    running = [name for name in buffers if "running" in named[name]]
    assert moved == running, "batch norm does not learn its statistics"
    if any("dropout" in node.op and node.args["p"] for node in net.document.nodes):
        assert not _steady(net, way.inputs), "dropout does not drop"
    assert _steady(net.eval(), way.inputs), "evaluation is left to chance"


def _steady(net: nn.Module, inputs: tuple[Tensor, ...]) -> bool:
    """Whether two runs give the same."""
    with torch.no_grad():
        one, other = (list(_outputs(net(*inputs))) for _ in range(2))
    return all(a.equal(b) for a, b in zip(one, other, strict=True))


def _reached(way: _Luggage) -> set[str]:
    """The parameters of the user's module that its own gradients reach."""
    module = deepcopy(way.module).train()
    sum(_total(value) for value in _outputs(module(*way.inputs))).backward()
    return {name for name, parameter in module.named_parameters() if parameter.grad is not None}


def _trace(way: _Luggage) -> str:
    way.spec = trace(way.net)
    assert ModelSpec.from_json(way.spec.to_json()) == way.spec
    assert way.spec.layers, "there is no prunable layer"
    assert way.spec.parameter_count == sum(p.numel() for p in way.module.parameters()), "parameters were lost"
    return f"{len(way.spec.layers)} layers"


def _macs(way: _Luggage) -> str:
    """The layers' multiply-adds against those that a hook counts in the user's module, and those of fvcore.

    Attention is set apart; fvcore does not see what no output depends on.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator would count attention as well
    try:
        counted = hooked_macs(way.module, way.inputs).total_macs
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    layers: int = way.spec.macs
    assert counted == layers, f"a hook counts {counted}, the layers have {layers}; left out: {_outside(way.spec)}"
    traced = count_macs(way.net, way.inputs).total_macs
    seen = layers - sum(layer.macs for layer in way.spec.layers if layer.parameter not in _read_by_outputs(way.net))
    assert traced == seen, f"fvcore counts {traced}, the layers have {seen}"
    return f"{layers}, {way.spec.activations} values"


def _read_by_outputs(net: GraphNet) -> set[str]:
    """The identifiers of all values that an output depends on."""
    found = {ref.id for ref in net.document.outputs}
    for node in reversed(net.document.nodes):
        if node.id in found:
            found |= {ref.id for ref in node.refs()}
    return found


def _outside(spec: ModelSpec) -> str:
    groups = {group.name for group in spec.groups}
    return "; ".join(f"{name}: {why}" for name, why in spec.unprunable.items() if name not in groups)


def _groups(way: _Luggage) -> str:
    free = [group for group in way.spec.groups if group.removable]
    assert all(group.reason for group in way.spec.groups if not group.removable)
    assert free, f"nothing can lose channels: {dict(list(way.spec.unprunable.items())[:3])}"
    return f"{len(free)} of {len(way.spec.groups)}"


def mixed_plan(spec: ModelSpec) -> PruningPlan:
    """Half of the channels of every second family; other layers by turns half of the weights, and 2 of 4."""
    patterns: dict[str, Pattern] = {}
    families = 0
    for number, layer in enumerate(spec.layers):
        if layer.name in patterns:
            continue
        patterns[layer.name] = NM(keep=2, group=4) if number % 2 else Unstructured(0.5)
        family = spec.family_of(layer.name)
        if family and families % 2 == 0:
            patterns |= {name: Channel(0.5) for group in family for name in group.producers}
        families += bool(family)
    return PruningPlan(pruner="magnitude", patterns=patterns)


def _prune(way: _Luggage) -> str:
    plan = mixed_plan(way.spec)
    pruned: Pruned = prune(way.net, way.spec, plan)  # counts zeros and checks the plan
    way.pruned = pruned
    kinds = {pattern.kind for pattern in plan.patterns.values()}
    assert "channel" in kinds and pruned.kept, "no channel was removed"
    return "+".join(sorted(kinds))


def _cut(way: _Luggage) -> str:
    pruned: Pruned = way.pruned
    way.smaller = cut_channels(_graph(pruned.net), way.spec, pruned.kept)
    found, foretold = trace(way.smaller), mixed_plan(way.spec).shrunk(way.spec)
    assert found.layers == foretold, "the smaller layers are not those that the plan foretold"
    assert found.macs < way.spec.macs
    return _close(pruned.net, way.smaller, way.inputs)


def _export(way: _Luggage) -> str:
    path = way.folder / "smaller.pt2"
    export_program(way.smaller, path)
    return f"{path.stat().st_size} bytes"


def _reread(way: _Luggage) -> str:
    again = _read(way.folder / "smaller.pt2", way.folder / "again")
    return _close(way.smaller, again, tuple(torch.cat([value, value[:1]]) for value in way.inputs))


def _onnx(way: _Luggage) -> str:
    file = export_onnx(way.smaller, way.folder / "smaller.onnx")
    apart = _close(way.smaller, OnnxNet(file.path), way.inputs, ONNX_TOLERANCE)
    return f"{apart}, {sum(file.operators.values())} operators"


def _graph(net: nn.Module) -> GraphNet:
    assert isinstance(net, GraphNet)
    return net


def _read(path: Path, folder: Path) -> GraphNet:
    folder.mkdir()
    document, raw = read_exported_program(path)
    write_model(document, raw, folder)
    return graphnet.load(folder).eval()


def _close(one: nn.Module, other: nn.Module, inputs: tuple[Tensor, ...], tolerance: float = TOLERANCE) -> str:
    """The largest difference of two models' outputs, over the largest output or 1."""
    largest = 0.0
    with torch.no_grad():
        for a, b in zip(_outputs(one(*inputs)), _outputs(other(*inputs)), strict=True):
            assert a.shape == b.shape, f"{list(a.shape)} became {list(b.shape)}"
            apart = (a.double() - b.double()).abs().max() / a.double().abs().max().clamp_min(1)
            largest = max(largest, float(apart)) if isfinite(float(apart)) else float("inf")
    assert largest <= tolerance, f"outputs differ by {largest:.1e}"
    return f"{largest:.0e}"


def _outputs(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _outputs(item)


def _total(value: Tensor) -> Tensor:
    """A loss that no norm makes flat."""
    weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
    return (value * weights).sum()


_HOPS: dict[str, Callable[[_Luggage], str]] = {
    "convert": _convert,
    "same": _same,
    "twin": _twin,
    "trains": _trains,
    "trace": _trace,
    "macs": _macs,
    "groups": _groups,
    "prune": _prune,
    "cut": _cut,
    "export": _export,
    "reread": _reread,
    "onnx": _onnx,
}

"""Models out: channels physically removed, standard exported programs, state under the uploader's names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from pruning.calls import DTYPES, place
from pruning.errors import GroupError, IntakeError
from pruning.graphnet import GraphNet, tensors_of
from pruning.intake.document import Argument, GraphDocument, Node
from pruning.layers import ChannelGroup, ModelSpec
from pruning.trace import shapes, single_shape

Sides = dict[tuple[str, int], Tensor]  # (parameter, dimension) -> True for every index that stays
Kept = Mapping[str, Tensor | Sequence[int]]  # the channels that stay, by group
Shrinks = dict[tuple[str, str, int | None], int]  # (node, argument, index) -> by how much that size shrinks


def cut_channels(net: GraphNet, spec: ModelSpec, kept: Kept) -> GraphNet:
    """A smaller net with only the `kept` channels (indices, by group name) of each group.

    It computes what `net` does once every cut of the removed channels is zero; parametrizations bake.

    Raises:
        GroupError: a group that is unknown or cannot be cut, or indices that are none of its channels.
    """
    shrinks: Shrinks = {}
    for name, indices in kept.items():
        group = _removable(spec, name)
        gone = group.channels - len(indices)
        for fix in group.size_fixes:
            key = (fix.node, fix.argument, fix.index)
            shrinks[key] = shrinks.get(key, 0) + gone * fix.repeat
    tensors = _sliced(tensors_of(net), sides_of(net.document, spec, kept))
    smaller = GraphNet(shrunk(net.document, tensors, shrinks), tensors)
    try:
        shapes(smaller, 2)
    except IntakeError as error:
        raise GroupError(f"without those channels of {sorted(kept)[:4]}, {error}") from error
    return smaller.train(net.training)


def sides_of(document: GraphDocument, spec: ModelSpec, kept: Kept) -> Sides:
    """Which indices of which tensors stay when groups keep only these channels; tensors that lose none are left out.

    Raises:
        GroupError: a group that is unknown or cannot be cut, or indices that are none of its channels.
    """
    known = {parameter.id: parameter.shape for parameter in document.parameters}
    sides: Sides = {}
    for name, indices in kept.items():
        group = _removable(spec, name)
        stays = _alive(group, indices)
        for cut in group.cuts:
            side = sides.setdefault((cut.parameter, cut.dim), torch.ones(known[cut.parameter][cut.dim]) > 0)
            side[cut.offset : cut.offset + group.channels * cut.repeat] = stays.repeat_interleave(cut.repeat)
    return sides


def export_program(net: GraphNet, path: Path) -> None:
    """Write `net` in eval mode as a `.pt2` with a varying batch; `names.json` in it has the uploader's names.

    The program's parameters carry our identifiers: the uploader's words would end up in generated source.
    """
    program = exported(net)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names this machine's files
    names = {parameter.id: parameter.name for parameter in net.document.parameters}
    torch.export.save(program, path, extra_files={"names.json": json.dumps(names)})


def exported(net: GraphNet) -> torch.export.ExportedProgram:
    """`net` in eval mode as an exported program with a varying batch, parametrizations baked; identifiers are ours."""
    tensors = tensors_of(net)
    model = GraphNet(net.document, tensors).eval()
    entries, tensor = net.document.inputs, next(iter(tensors.values()), torch.zeros(()))
    inputs = tuple(
        torch.zeros((2, *single_shape(entry)), dtype=DTYPES[entry.dtype], device=tensor.device) for entry in entries
    )
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(model, inputs, dynamic_shapes={"inputs": tuple({0: batch} for _ in inputs)})


def named_state(net: GraphNet) -> dict[str, Tensor]:
    """Parameters and buffers under the uploader's names, one copy for each name of a tied tensor."""
    tensors = tensors_of(net)
    return {
        name: tensors[entry.id].clone()
        for entry in net.document.parameters
        if entry.kind != "constant"
        for name in (entry.name, *entry.aliases)
    }


def _removable(spec: ModelSpec, name: str) -> ChannelGroup:
    group = next((group for group in spec.groups if group.name == name), None)
    if group is None:
        raise GroupError(f"{name[:80]!r} is no channel group; the groups are {[g.name for g in spec.groups][:8]}")
    if not group.removable:
        raise GroupError(f"group {name[:80]!r} cannot lose channels: {group.reason}")
    return group


def _alive(group: ChannelGroup, indices: Tensor | Sequence[int]) -> Tensor:
    listed = [int(index) for index in indices]
    if not listed or len(set(listed)) < len(listed) or not all(0 <= i < group.channels for i in listed):
        raise GroupError(
            f"group {group.name!r} must keep between 1 and {group.channels} different channels, numbered "
            f"from 0 to {group.channels - 1}, not {listed[:8]}"
        )
    alive = torch.zeros(group.channels, dtype=torch.bool)
    alive[listed] = True
    return alive


def _sliced(tensors: dict[str, Tensor], sides: Sides) -> dict[str, Tensor]:
    found = dict(tensors)
    for (name, dim), alive in sides.items():
        indices = alive.nonzero().flatten().to(found[name].device)
        found[name] = found[name].index_select(dim, indices).contiguous()
    return found


def shrunk(document: GraphDocument, tensors: Mapping[str, Tensor], shrinks: Shrinks) -> GraphDocument:
    """The document with smaller sizes, and its parameters in the shapes of `tensors`.

    Raises:
        GroupError: a size that is no number.
    """
    nodes = {node.id: node for node in document.nodes}
    for (name, argument, index), less in shrinks.items():
        node = nodes[name]
        smaller = _less(node, node.args[argument], index, less)
        nodes[name] = replace(node, args={**node.args, argument: smaller})
    parameters = tuple(replace(p, shape=tuple(tensors[p.id].shape)) for p in document.parameters)
    return replace(document, parameters=parameters, nodes=tuple(nodes.values()))


def _less(node: Node, value: Argument, index: int | None, less: int) -> Argument:
    if index is None and isinstance(value, int):
        return value - less
    if index is not None and isinstance(value, tuple) and isinstance(size := value[index], int):
        return (*value[:index], size - less, *value[index + 1 :])
    raise GroupError(f"a size of {place(node)} cannot shrink with the channels: trace the model again")

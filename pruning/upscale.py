"""Unconstrained channel removal: every layer keeps the inputs that it wants, whatever its neighbours keep.

UPSCALE (Wan et al., ICML 2023, arXiv 2307.08771). Constrained removal (`export.cut_channels`) makes all readers of
a value agree. Here each reads its own subset: what nobody reads is removed from the producers, and these are
reordered so that a subset is, wherever possible, one run of channels: a view that costs nothing. Only other
subsets are gathered while the model runs. The result computes what `net` does once the columns of the inputs that
a layer does not keep are zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pruning.errors import GroupError, IntakeError
from pruning.export import Shrinks, shrunk
from pruning.graphnet import GraphNet, tensors_of
from pruning.importance import widened
from pruning.intake.document import Argument, GraphDocument, Node, Parameter, Ref
from pruning.layers import ModelSpec
from pruning.patterns import Channel
from pruning.trace import shapes
from pruning.upscale_choice import Choice, Orders, Read
from pruning.upscale_reads import Edge

__all__ = ["Read", "Upscaled", "strongest_inputs", "upscale"]


@dataclass(frozen=True, kw_only=True)
class Upscaled:
    """A smaller net, and how its layers read; `copies_unordered` is what the producers' own order would cost."""

    net: GraphNet
    reads: tuple[Read, ...]
    orders: Orders
    copies_unordered: int

    @property
    def copies(self) -> int:
        """Reads that gather channels while the model runs."""
        return sum(read.kind == "copy" for read in self.reads)

    @property
    def copies_avoided(self) -> int:
        """Copies that the new order turned into views."""
        return self.copies_unordered - self.copies


def upscale(net: GraphNet, spec: ModelSpec, inputs: Mapping[str, Sequence[int]]) -> Upscaled:
    """A smaller net in which each named layer reads only those of its input channels; others read all.

    Raises:
        GroupError: a layer that is unknown or cannot choose its inputs, or indices that are none of them.
    """
    choice = Choice(net, spec, inputs)
    plain, orders = choice.orders()
    tensors = tensors_of(net)
    for name, dim in {*choice.sides, *choice.kept, *((name, 0) for name in choice.own)}:
        places = torch.tensor(choice.remaining((name, dim), orders), device=tensors[name].device)
        tensors[name] = tensors[name].index_select(dim, places).contiguous()
    document = shrunk(net.document, tensors, _shrinks(choice, orders))
    reads = list(choice.reads(orders))
    document, indices = _picking(document, reads)
    device = next(iter(tensors.values())).device
    smaller = GraphNet(document, tensors | {name: places.to(device) for name, places in indices.items()})
    try:
        shapes(smaller, 2)
    except IntakeError as error:
        raise GroupError(f"with those inputs, {error}") from error
    return Upscaled(
        net=smaller.train(net.training),
        reads=tuple(read for _, read, _ in reads),
        orders=orders,
        copies_unordered=choice.copies(plain),
    )


def strongest_inputs(net: GraphNet, spec: ModelSpec, sparsity: float) -> dict[str, list[int]]:
    """The inputs with the largest weights, for each layer whose inputs may all go: what `upscale` takes.

    A channel counts by the L2 norm of all weights of the layer that read it; at least one stays.
    """
    tensors, found = tensors_of(net), {}
    for layer in spec.layers:
        cuts = [(c, g) for g in spec.groups for c in g.cuts if (c.parameter, c.role) == (layer.parameter, "consumer")]
        spans = [
            range(c.offset + i * c.repeat, c.offset + (i + 1) * c.repeat) for c, g in cuts for i in range(g.channels)
        ]
        if layer.groups > 1 or sum(map(len, spans)) != layer.in_channels:
            continue
        squares = widened(tensors[layer.parameter]).movedim(layer.input_dim, 0).flatten(1).square().sum(dim=1)
        norms = torch.stack([squares[span.start : span.stop].sum() for span in spans])
        best = norms.sort(descending=True, stable=True).indices[: Channel(sparsity).kept(len(spans))]
        found[layer.name] = sorted(index for place in best.tolist() for index in spans[place])
    return found


def _shrinks(choice: Choice, orders: Orders) -> Shrinks:
    found: Shrinks = {}
    for name, group in choice.groups.items():
        for fix in group.size_fixes:
            key = (fix.node, fix.argument, fix.index)
            found[key] = found.get(key, 0) + (group.channels - len(orders[name])) * fix.repeat
    return found


def _picking(
    document: GraphDocument, reads: Sequence[tuple[Edge, Read, Sequence[int]]]
) -> tuple[GraphDocument, dict[str, Tensor]]:
    """The document with a view or a gather wherever a layer reads less than all, and the gathers' indices."""
    next_node, next_parameter = (
        1 + max((int(e.id[1:]) for e in es), default=0) for es in (document.nodes, document.parameters)
    )
    before: dict[str, list[Node]] = {}
    changed: dict[str, Node] = {node.id: node for node in document.nodes}
    parameters = list(document.parameters)
    indices: dict[str, Tensor] = {}
    for edge, read, places in reads:
        if read.kind == "whole":
            continue
        args: dict[str, Argument] = {"self": edge.value, "dim": edge.dim}
        if read.kind == "view":
            args |= {"start": places[0] if places else 0, "length": len(places)}
        else:
            name = f"p{next_parameter + len(indices)}"
            text = f"inputs of {read.layer} at {edge.node}"
            parameters.append(Parameter(id=name, name=text, kind="constant", shape=(len(places),), dtype="int64"))
            indices[name] = torch.tensor(places)
            args["index"] = Ref(name)
        op = "aten.narrow.default" if read.kind == "view" else "aten.index_select.default"
        made = Node(id=f"n{next_node}", op=op, args=args, module=changed[edge.node].module)
        next_node += 1
        before.setdefault(edge.node, []).append(made)
        changed[edge.node] = _reading(changed[edge.node], edge, Ref(made.id))
    nodes = [made for node in document.nodes for made in (*before.get(node.id, ()), changed[node.id])]
    return replace(document, nodes=tuple(nodes), parameters=tuple(parameters)), indices


def _reading(node: Node, edge: Edge, value: Ref) -> Node:
    given = node.args[edge.argument]
    if edge.index is None:
        return replace(node, args={**node.args, edge.argument: value})
    assert isinstance(given, tuple)
    return replace(node, args={**node.args, edge.argument: (*given[: edge.index], value, *given[edge.index + 1 :])})

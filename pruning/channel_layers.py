"""How layers with weights carry channels: what they read, what they make, and what must stay equal in groups."""

import numpy as np

from pruning.calls import place
from pruning.channel_rules import follow
from pruning.channels import Fix, Ids, Layout, Walk
from pruning.intake.document import Node


def conv(walk: Walk, node: Node) -> Layout | None:
    """Reads channels along dimension 1 of its weight and makes those of dimension 0; depthwise keeps them.

    In groups, every group must keep as many channels as the others: the first channels of all groups go
    together, the second ones, and so on.
    """
    return _conv(walk, node, outputs=0)


def transposed(walk: Walk, node: Node) -> Layout | None:
    """A transposed convolution: the weight is `in x out/groups`, so it reads dimension 0 and makes dimension 1."""
    return _conv(walk, node, outputs=1)


def linear(walk: Walk, node: Node) -> Layout | None:
    """Reads and makes channels in the last dimension."""
    dim = walk.rank(node) - 1
    if walk.parameter(node.args["weight"]) is None:
        walk.refuse(node, "has a computed weight")
        return None
    layout = walk.carried(node)
    if layout and layout.dims != (dim,):
        walk.refuse(node, "works along another dimension")
        layout = None
    _read(walk, node, 1, layout.tags if layout else None)
    return Layout((dim,), _made(walk, node, 0, 1))


def _conv(walk: Walk, node: Node, outputs: int) -> Layout | None:
    weight, groups = node.args["weight"], node.args.get("groups", 1)
    shape = walk.shape(weight)
    if walk.parameter(weight) is None or not isinstance(groups, int):
        walk.refuse(node, "has a computed weight")
        return None
    dim = walk.rank(node) - len(shape) + 1
    layout = walk.carried(node)
    if layout and layout.dims != (dim,):
        walk.refuse(node, "slides along them")
        layout = None
    inputs = walk.shape(node.args["input"])[dim]
    if groups > 1 and groups == inputs:
        return _depthwise(walk, node, layout, dim, outputs)
    _read(walk, node, 1 - outputs, _tied(walk, layout.tags, groups) if layout else None, whole=outputs == 1)
    return Layout((dim,), _made(walk, node, outputs, groups))


def _tied(walk: Walk, tags: Ids, groups: int) -> Ids:
    """Channels with equal places in their groups go together."""
    if groups > 1:
        table = tags.reshape(groups, -1)
        walk.tags.join(table, table[:1])
    return tags


def _read(walk: Walk, node: Node, dim: int, tags: Ids | None, whole: bool = False) -> None:
    """The channels that a weight reads; a convolution's dimension 1 has those of one group only, unless `whole`."""
    weight = node.args["weight"]
    name = walk.parameter(weight) or ""
    if tags is None:
        walk.hold(node, name, dim)
    else:
        walk.bind(node, weight, (dim,), tags if whole else tags[: walk.shape(weight)[dim]], "consumer")


def _made(walk: Walk, node: Node, dim: int, groups: int) -> Ids:
    """The channels that a weight makes: always the same for the same weight."""
    weight = node.args["weight"]
    name, size = walk.parameter(weight) or "", walk.shape(weight)[dim]
    known = walk.sides.get((name, (dim,)))
    found = walk.tags.new(size) if known is None else known
    walk.bind(node, weight, (dim,), found, "producer")
    if dim == 1:  # of a transposed convolution: one group's share
        found = np.tile(found, groups)
    _tied(walk, found, groups)
    follow(walk, node, found)
    return found


def _depthwise(walk: Walk, node: Node, layout: Layout | None, dim: int, outputs: int) -> Layout:
    """One input channel a group: it goes with all that is made of it, and there are fewer groups then."""
    weight, channels = node.args["weight"], walk.shape(node.args["input"])[dim]
    name, shape = walk.parameter(weight) or "", walk.shape(weight)
    tags = walk.tags.new(channels) if layout is None else layout.tags
    if layout is None:
        lost = f"the channels are made one by one of what {place(node)} reads, which no prunable layer makes"
        walk.tags.spoil(tags, lost)
    copies = shape[1] if outputs == 1 else shape[0] // channels
    walk.bind(node, weight, (0,), np.repeat(tags, shape[0] // channels), "producer")
    walk.hold(node, name, 1)
    made = np.repeat(tags, copies)
    follow(walk, node, made)
    walk.fixes.append(Fix(tags, 0, node.id, "groups"))
    return Layout((dim,), made)

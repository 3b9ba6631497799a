"""Channel groups: which channels must be removed together, and where each of them lives.

Every operator is visited once, in order; channels are followed by the rules of `channel_table`. What is not
proven becomes a group that cannot be cut, with the reason in plain words.
"""

from collections.abc import Mapping, Sequence

from pruning.channel_table import RULES
from pruning.channels import Layout, Shape, Walk
from pruning.intake.document import GraphDocument, Node, Ref
from pruning.layers import ChannelGroup, LayerSpec, SizeFix


def find_groups(
    document: GraphDocument, shapes: Mapping[tuple[str, int], Shape], layers: Sequence[LayerSpec]
) -> tuple[tuple[ChannelGroup, ...], dict[str, str]]:
    """Groups in the order of their first layers, and the reason of each that cannot be cut.

    `shapes` are those of every value for some batch.
    """
    walk = Walk(document, shapes)
    for node in document.nodes:
        _visit(walk, node)
    for ref in document.outputs:
        if layout := walk.layout(ref):
            walk.spaces.spoil(layout.segments, "the channels are the model's outputs")
        if name := walk.parameter(ref):
            _freeze(walk, name)
    groups = tuple(_group(walk, space, layers) for space in _spaces(walk, layers))
    return groups, {group.name: group.reason for group in groups if group.reason}


def _visit(walk: Walk, node: Node) -> None:
    walk.bound.clear()
    rule = RULES.get(node.op)
    layout = None
    if rule is None:
        walk.refuse(node, "cannot be followed yet")
    else:
        layout = rule(walk, node)
    for ref in node.refs():
        name = walk.parameter(ref)
        if name and name not in walk.bound:
            _freeze(walk, name)
    if layout and not _fits(walk, node, layout):
        walk.refuse(node, "cannot be followed yet")
        layout = None
    if layout:
        walk.layouts.update({(node.id, index): layout for index in range(node.outputs)})
    elif lost := next((walk.lost[ref.id] for ref in node.refs() if ref.id in walk.lost), None):
        walk.lost.setdefault(node.id, lost)


def _fits(walk: Walk, node: Node, layout: Layout) -> bool:
    """Whether every output has the dimension that the rule foretold: a second look at each rule."""
    found = (walk.shape(Ref(node.id, index)) for index in range(node.outputs))
    return all(shape[layout.dim : layout.dim + 1] == (layout.size,) for shape in found)


def _freeze(walk: Walk, name: str) -> None:
    """A use of a parameter that no rule accounts for: its sides must stay as they are."""
    for dim in range(len(walk.parameters[name].shape)):
        text = f"the channels share {walk.parameters[name].name[:80]!r}, which is used in another way as well"
        walk.spaces.match(walk.sides.setdefault((name, dim), ()), (), text)


def _spaces(walk: Walk, layers: Sequence[LayerSpec]) -> list[int]:
    """The spaces that layers make, in the order of the layers."""
    made = (s.space for layer in layers for s in walk.sides.get((layer.parameter, 0), ()))
    return list(dict.fromkeys(walk.spaces.find(space) for space in made))


def _group(walk: Walk, space: int, layers: Sequence[LayerSpec]) -> ChannelGroup:
    cuts = walk.cuts(space)
    made = {cut.parameter for cut in cuts if cut.role == "producer"}
    read = {cut.parameter for cut in cuts if cut.role == "consumer"}
    producers = tuple(layer.name for layer in layers if layer.parameter in made)
    channels = next(s.channels for side in walk.sides.values() for s in side if walk.spaces.find(s.space) == space)
    strangers = sorted((made | read) - {layer.parameter for layer in layers})
    reason = walk.spaces.reasons.get(space, "")
    if strangers and not reason:
        name = walk.parameters[strangers[0]].name[:80]
        reason = f"the channels belong to {name!r} as well, which cannot be pruned"
    if channels == 1 and not reason:
        reason = "there is one channel only"
    return ChannelGroup(
        name=f"{producers[0]} channels",
        channels=channels,
        producers=producers,
        consumers=tuple(layer.name for layer in layers if layer.parameter in read),
        cuts=cuts,
        size_fixes=_fixes(walk, space),
        reason=reason,
    )


def _fixes(walk: Walk, space: int) -> tuple[SizeFix, ...]:
    """The sizes that count these channels; a size that counts them twice shrinks twice."""
    found: dict[tuple[str, str, int | None], int] = {}
    for owner, fix in walk.fixes:
        if walk.spaces.find(owner) == space:
            key = (fix.node, fix.argument, fix.index)
            found[key] = found.get(key, 0) + fix.repeat
    return tuple(SizeFix(node=n, argument=a, index=i, repeat=r) for (n, a, i), r in found.items())

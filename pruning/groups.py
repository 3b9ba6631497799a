"""Channel groups: which channels must be removed together, and where each of them lives.

Every operator is visited once, in order; channels are followed by the rules of `channel_table`. What is not
proven becomes a group that cannot be cut, with the reason in plain words.
"""

from collections.abc import Mapping, Sequence

from pruning.channel_table import RULES
from pruning.channel_units import Units, find_units
from pruning.channels import Layout, Shape, Walk
from pruning.intake.document import GraphDocument, Node, Ref
from pruning.layers import ChannelGroup, LayerSpec


def find_groups(
    document: GraphDocument, shapes: Mapping[tuple[str, int], Shape], layers: Sequence[LayerSpec]
) -> tuple[tuple[ChannelGroup, ...], dict[str, str]]:
    """Groups in the order of their first layers, and the reason of each that cannot be cut.

    A layer has several groups where only some of its channels go with those of other layers. `shapes` are
    those of every value for some batch.
    """
    walk = followed(document, shapes)
    units = find_units(walk)
    names = {layer.parameter: layer.name for layer in layers}
    found: list[ChannelGroup] = []
    done: set[int] = set()
    for layer in layers:
        made = [tag for tag in units.made_by(layer.parameter) if tag not in done]
        done.update(made)
        whole = len(made) == len(units.made_by(layer.parameter))
        while made:
            members = units.first(made)
            whole = whole and len(members) == len(made)
            what = "heads" if units.heads.issuperset(members) else "channels"
            first, last = units.rows(members, layer.parameter)
            name = f"{layer.name} {what}" if whole else f"{layer.name} {what} {first}-{last}"
            found.append(_group(walk, units, members, names, name))
            made = made[len(members) :]
    return tuple(found), {group.name: group.reason for group in found if group.reason}


def followed(document: GraphDocument, shapes: Mapping[tuple[str, int], Shape]) -> Walk:
    """What is known of the channels after every operator was visited."""
    walk = Walk(document, shapes)
    for node in document.nodes:
        _visit(walk, node)
    for ref in document.outputs:
        if layout := walk.layout(ref):
            walk.tags.spoil(layout.tags, "the channels are the model's outputs")
        if name := walk.parameter(ref):
            _freeze(walk, name)
    _check_counts(walk)
    return walk


def _visit(walk: Walk, node: Node) -> None:
    walk.bound.clear()
    rule = RULES.get(node.op)
    found = None
    if rule is None:
        walk.refuse(node, "cannot be followed yet")
    else:
        found = rule(walk, node)
    for ref in node.refs():
        name = walk.parameter(ref)
        if name and name not in walk.bound:
            _freeze(walk, name)
    layouts = found if isinstance(found, tuple) else (found,) * node.outputs
    for index, layout in enumerate(layouts):
        if layout and _fits(walk, node, index, layout):
            walk.layouts[node.id, index] = layout
        elif layout:
            walk.refuse(node, "cannot be followed yet")
    if lost := next((walk.lost[ref.id] for ref in node.refs() if ref.id in walk.lost), None):
        if not any(layouts):
            walk.lost.setdefault(node.id, lost)


def _fits(walk: Walk, node: Node, index: int, layout: Layout) -> bool:
    """Whether an output has the dimensions that the rule foretold: a second look at each rule."""
    shape = walk.shape(Ref(node.id, index))
    return tuple(shape[dim] for dim in layout.dims if dim < len(shape)) == layout.tags.shape


def _freeze(walk: Walk, name: str) -> None:
    """A use of a parameter that no rule accounts for: its sides must stay as they are."""
    for dim in range(len(walk.parameters[name].shape)):
        walk.hold(None, name, dim)


def _check_counts(walk: Walk) -> None:
    """A number that sizes channels may be read for nothing else."""
    sizes = {maker for maker, _ in walk.counts}
    strange = {ref.id for node in walk.nodes.values() for ref in node.refs() if (ref.id, node.id) not in walk.counts}
    for fix in walk.fixes:
        if fix.node in sizes & strange:
            walk.tags.spoil(fix.tags, "the channels are counted by a number that is read elsewhere as well")


def _group(walk: Walk, units: Units, members: Sequence[int], names: Mapping[str, str], name: str) -> ChannelGroup:
    made, read = units.stands(members, "producer"), units.stands(members, "consumer")
    reason = units.reasons.get(members[0], "")
    strangers = sorted((made | read) - set(names))
    if not reason and strangers:
        reason = f"the channels belong to {walk.name(strangers[0])} as well, which cannot be pruned"
    if not reason and len(members) == 1:
        reason = "there is one channel only"
    if not reason and not units.regular(members):
        reason = "the channels stand in different orders in the layers that share them"
    return ChannelGroup(
        name=name,
        channels=len(members),
        producers=tuple(layer for parameter, layer in names.items() if parameter in made),
        consumers=tuple(layer for parameter, layer in names.items() if parameter in read),
        cuts=() if reason else tuple(units.cuts(members)),
        size_fixes=() if reason else tuple(units.fixes(members)),
        reason=reason,
    )

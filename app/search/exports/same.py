"""Whether two models have the same layers, so that a plan made for one means the same on the other. No torch."""

from dataclasses import fields

from pruning.layers import LayerSpec, ModelSpec


def first_difference(made_for: ModelSpec, other: ModelSpec) -> str:
    """The first layer or channel group in which the other model differs, for people; "" if a plan may travel."""
    for place, (layer, found) in enumerate(zip(made_for.layers, other.layers, strict=False)):
        if layer.name != found.name:
            return f"its layer {place + 1} is {found.name[:80]!r}, the plan's model has {layer.name[:80]!r} there"
        if words := _differs(layer, found):
            return f"its layer {layer.name[:80]!r} has {words}"
    if len(made_for.layers) != len(other.layers):
        return f"it has {len(other.layers)} prunable layers, the plan's model {len(made_for.layers)}"
    theirs = {group.name: group for group in other.groups}
    for group in made_for.groups:
        if theirs.get(group.name) != group:
            return f"its channel group {group.name[:80]!r} is another"
    if made_for.input_shape != other.input_shape:
        return f"it takes {list(other.input_shape)}, the plan's model {list(made_for.input_shape)}"
    return ""


def _differs(layer: LayerSpec, found: LayerSpec) -> str:
    for field in fields(LayerSpec):
        expected, there = getattr(layer, field.name), getattr(found, field.name)
        if field.name not in ("name", "tail") and expected != there:
            return f"{field.name} {there}, the plan's model {expected}"
    return ""

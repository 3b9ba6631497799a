"""From a model, a search and its devices to the space of options, with a reason for everything left out.

An option stays if it is legal on its layer, differs from a milder one, and pays on at least one device of the
search: alone, it must save more than `PAYS_SHARE` of the dense latency of the layers it decides.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.search.options import Choice, DroppedOption, Option, Space, Unit
from app.search.price import option_ms, remembered
from app.search.spec import SearchSpec, SpecError
from costmodels.base import CostModel
from costmodels.pays import PAYS_SHARE
from pruning.layers import ChannelGroup, LayerSpec, ModelSpec
from pruning.patterns import NM, Channel, Pattern, Unstructured, kept_count, parse

__all__ = ["PAYS_SHARE", "Choice", "DroppedOption", "Option", "Space", "Unit", "space"]


def space(model: ModelSpec, spec: SearchSpec, cost_models: Mapping[str, CostModel]) -> Space:
    """The options of a search. Units stand in the order of their first layer in the model.

    Raises:
        SpecError: a frozen layer that the model does not have.
    """
    names = {layer.name for layer in model.layers}
    if unknown := [name for name in spec.frozen_layers if name not in names]:
        raise SpecError(
            "/frozen_layers",
            f"layer {unknown[0]!r} is not in the model, whose layers are {sorted(names)[:8]}",
        )
    builder = _Builder(model, spec, remembered(cost_models))
    return Space(units=tuple(builder.units()), dropped=tuple(builder.dropped))


@dataclass
class _Builder:
    model: ModelSpec
    spec: SearchSpec
    cost_models: Mapping[str, CostModel]
    dropped: list[DroppedOption] = field(default_factory=list)

    def units(self) -> Iterator[Unit]:
        done: set[str] = set()
        for layer in self.model.layers:
            if layer.name in done:
                continue
            family = self.model.family_of(layer.name)
            producers = {name for group in family for name in group.producers} or {layer.name}
            members = tuple(la.name for la in self.model.layers if la.name in producers)
            done.update(members)
            yield self._unit(family, members)

    def _unit(self, family: Sequence[ChannelGroup], members: tuple[str, ...]) -> Unit:
        name = members[0] if len(members) == 1 else family[0].name
        found = [Option(unit=name, name="dense", patterns={})]
        for member in members:
            if member in self.spec.frozen_layers:
                self._drop(member, "all", "the search freezes this layer")
                continue
            prefix = f"{member} " if len(members) > 1 else ""
            for pattern in self._own(self.model.layer(member)):
                found.append(Option(unit=name, name=f"{prefix}{pattern}", patterns={member: pattern}))
        for channel in self._joint(family, members):
            found.append(Option(unit=name, name=str(channel), patterns=dict.fromkeys(members, channel)))
        unit = Unit(name=name, layers=members, options=tuple(found))
        return Unit(name=name, layers=members, options=tuple(self._paying(unit)))

    def _own(self, layer: LayerSpec) -> Iterator[Pattern]:
        if "unstructured" in self.spec.patterns:
            seen: dict[int, Pattern] = {layer.weights: Unstructured(0.0)}
            for sparsity in sorted(set(self.spec.sparsities)):
                pattern = Unstructured(sparsity)
                kept = kept_count(layer.weights, sparsity)
                if kept < 1:
                    self._drop(layer.name, str(pattern), f"would keep none of {layer.weights} weights")
                elif kept in seen:
                    self._drop(layer.name, str(pattern), f"keeps the same {kept} weights as {_milder(seen[kept])}")
                else:
                    seen[kept] = pattern
                    yield pattern
        if "nm" in self.spec.patterns:
            yield from self._nm(layer)

    def _nm(self, layer: LayerSpec) -> Iterator[Pattern]:
        inputs = layer.in_channels // layer.groups
        for text in dict.fromkeys(str(parse(text)) for text in self.spec.nm):
            pattern = parse(text)
            assert isinstance(pattern, NM)
            if pattern.keep >= min(inputs, pattern.group):
                kept = f"{pattern.keep} kept of {pattern.group}"
                reason = f"makes no zeros: {inputs} input channel(s) a filter, {kept}"
                self._drop(layer.name, text, reason)
            else:
                yield pattern

    def _joint(self, family: Sequence[ChannelGroup], members: tuple[str, ...]) -> Iterator[Channel]:
        if "channel" not in self.spec.patterns:
            return
        if reason := self._no_channels(family, members):
            for member in members:
                if member not in self.spec.frozen_layers:
                    self._drop(member, "channel", reason)
            return
        channels = sum(group.channels for group in family)
        seen: dict[int, Pattern] = {channels: Channel(0.0)}
        for sparsity in sorted(set(self.spec.sparsities)):
            pattern = Channel(sparsity)
            kept = sum(pattern.kept(group.channels) for group in family)
            if kept in seen:
                same = f"keeps the same {kept} of {channels} channels as {_milder(seen[kept])}"
                self._drop(members[0], str(pattern), same)
            else:
                seen[kept] = pattern
                yield pattern

    def _no_channels(self, family: Sequence[ChannelGroup], members: tuple[str, ...]) -> str:
        """Why channels cannot go, "" if they can."""
        if not family:
            held = (g for g in self.model.groups if members[0] in g.producers and g.reason)
            fixed = next(held, None)
            return self.model.unprunable.get(members[0]) or (
                fixed.reason if fixed else "its channels belong to no removable group"
            )
        touched = (name for group in family for name in (*group.producers, *group.consumers))
        frozen = [name for name in touched if name in self.spec.frozen_layers]
        return f"layer {frozen[0]!r} holds or reads these channels and is frozen" if frozen else ""

    def _paying(self, unit: Unit) -> Iterator[Option]:
        dense, *others = unit.options
        yield dense
        for option in others:
            share, device = max(self._saving(unit, dense, option, key) for key in self.cost_models)
            if share > PAYS_SHARE:
                yield option
                continue
            where = f"on {device}" if len(self.cost_models) == 1 else f"on any device (most on {device})"
            reason = f"does not pay: saves {max(share, 0.0):.1%} of the dense latency of what it decides {where}"
            layer, pattern = next(iter(option.patterns.items()))
            self._drop(layer, str(pattern), reason)

    def _saving(self, unit: Unit, dense: Option, option: Option, key: str) -> tuple[float, str]:
        cost_model = self.cost_models[key]
        saved_ms = option_ms(self.model, unit, dense, cost_model) - option_ms(self.model, unit, option, cost_model)
        layers = [self.model.layer(name) for name in option.patterns]
        from_ms = sum(cost_model.cost(la, la, parse("dense")).latency_ms for la in layers)
        return saved_ms / from_ms, cost_model.name

    def _drop(self, layer: str, pattern: str, reason: str) -> None:
        self.dropped.append(DroppedOption(layer=layer, pattern=pattern, reason=reason))


def _milder(pattern: Pattern) -> str:
    return str(pattern) if pattern.density < 1.0 else "dense"

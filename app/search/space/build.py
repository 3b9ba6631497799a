"""From a model, a search and its devices to the space of options, with a reason for everything left out.

An option stays if it is legal on its layer, differs from a milder one, and pays on at least one device of the
search: alone, it must save more than `PAYS_SHARE` of the dense latency of the layers it decides, or of their energy or
bytes where the search limits those.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from typing import TypeVar

from app.search.pruners import cannot_solve
from app.search.space.option_price import amount, option_price
from app.search.space.options import Choice, DroppedOption, Option, Space, Unit
from app.search.space.price import remembered
from app.search.spec import SearchSpec, SpecError
from app.search.trial import Resource
from costmodels.base import CostModel
from costmodels.pays import PAYS_SHARE
from pruning.layers import ChannelGroup, LayerSpec, ModelSpec
from pruning.patterns import NM, Block, Channel, Dense, Kernel, Pattern, Unstructured, kept_count, parse

__all__ = ["PAYS_SHARE", "Choice", "DroppedOption", "Option", "Space", "Unit", "space"]

P = TypeVar("P", bound=Pattern)


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
        if reason := cannot_solve(self.spec.pruners, layer):
            self._drop(layer.name, "all", reason)
            return
        if "unstructured" in self.spec.patterns:
            kept = {Unstructured(s): kept_count(layer.weights, s) for s in self._sparsities()}
            yield from self._distinct(layer.name, kept, layer.weights, "weights")
        if "nm" in self.spec.patterns:
            yield from self._nm(layer)
        if "block" in self.spec.patterns:
            yield from self._blocks(layer)
        if "kernel" in self.spec.patterns:
            yield from self._kernels(layer)

    def _sparsities(self) -> list[float]:
        return sorted(set(self.spec.sparsities))

    def _distinct(self, layer: str, kept: Mapping[P, int], units: int, named: str) -> Iterator[P]:
        """The patterns that keep something, and less than every milder one."""
        seen: dict[int, Pattern] = {units: Dense()}
        for pattern, count in kept.items():
            if count < 1:
                self._drop(layer, str(pattern), f"would keep none of {units} {named}")
            elif count in seen:
                self._drop(layer, str(pattern), f"keeps the same {count} {named} as {seen[count]}")
            else:
                seen[count] = pattern
                yield pattern

    def _blocks(self, layer: LayerSpec) -> Iterator[Block]:
        outputs, inputs = layer.out_channels, layer.in_channels // layer.groups
        for rows, cols in self.spec.block_sizes:
            tiles = ceil(outputs / rows) * ceil(inputs / cols) * prod(layer.kernel)
            blocks = [Block(rows, cols, sparsity) for sparsity in self._sparsities()]
            kept = {pattern: pattern.kept(tiles) for pattern in blocks}
            yield from self._distinct(layer.name, kept, tiles, f"of {tiles} tiles")

    def _kernels(self, layer: LayerSpec) -> Iterator[Kernel]:
        if prod(layer.kernel) == 1:
            self._drop(layer.name, "kernel", "a kernel would be a single weight: unstructured says the same")
            return
        kernels = layer.weights // prod(layer.kernel)
        kept = {pattern: pattern.kept(kernels) for pattern in map(Kernel, self._sparsities())}
        yield from self._distinct(layer.name, kept, kernels, f"of {kernels} kernels")

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
        patterns = map(Channel, self._sparsities())
        kept = {pattern: sum(pattern.kept(group.channels) for group in family) for pattern in patterns}
        yield from self._distinct(members[0], kept, channels, f"of {channels} channels")

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
            if share > PAYS_SHARE or self._serves_limits(unit, dense, option):
                yield option
                continue
            where = f"on {device}" if len(self.cost_models) == 1 else f"on any device (most on {device})"
            reason = f"does not pay: saves {max(share, 0.0):.1%} of the dense latency of what it decides {where}"
            layer, pattern = next(iter(option.patterns.items()))
            self._drop(layer, str(pattern), reason)

    def _saving(
        self, unit: Unit, dense: Option, option: Option, key: str, resource: Resource = "latency_ms"
    ) -> tuple[float, str]:
        """The share that an option saves, NaN where the device cannot tell, and the device."""
        cost_model = self.cost_models[key]
        before, after = (option_price(self.model, unit, one, cost_model, resource=resource) for one in (dense, option))
        layers = [self.model.layer(name) for name in option.patterns]
        whole = sum(amount(cost_model.cost(la, la, parse("dense")), resource) for la in layers)
        return (before - after) / whole if whole else 0.0, cost_model.name

    def _serves_limits(self, unit: Unit, dense: Option, option: Option) -> bool:
        """Whether it saves as large a share of something beside latency that the search limits."""
        limited = [(limit.profile, limit.further[0]) for limit in self.spec.limits if limit.further]
        return any(self._saving(unit, dense, option, *key)[0] > PAYS_SHARE for key in dict.fromkeys(limited))

    def _drop(self, layer: str, pattern: str, reason: str) -> None:
        self.dropped.append(DroppedOption(layer=layer, pattern=pattern, reason=reason))

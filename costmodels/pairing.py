"""The rules that pair the layers of a model with those of a profile, each on what the ones before left over.

1. `name`: exactly the same name; `normalised`: the same after `names.canonical`.
2. `fused`: a member of a fused layer has the name; a person settles a choice by adding the model's name there. Several
   layers of the model fused into one share its time by their multiply-adds.
3. `shape`: the same operator, channels, kernel, stride, groups and sizes, in execution order among equals.
4. `scaled`: the same but for the sizes; the time goes by output positions. So it does where a layer that was found by
   its name runs at another resolution.

What two sides claim in different numbers is ambiguous and is left for a person to settle; nothing is picked.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, TypeVar

from costmodels.names import canonical, members
from costmodels.profile import ProfileLayer
from pruning.layers import LayerSpec

RuleName = Literal["name", "normalised", "fused", "shape", "scaled"]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class LayerMatch:
    """One layer of the model and its partners in the profile: several if it is called several times.

    Its price is the partners' sum times `share`: below 1 where it is fused with other layers of the model, or where
    the profile's layer runs over more positions.
    """

    layer: str
    partners: tuple[str, ...]
    rule: RuleName
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Ambiguity:
    """Layers and candidates that fit each other equally well but not in number."""

    layers: tuple[str, ...]
    candidates: tuple[str, ...]
    reason: str


@dataclass
class Pairing:
    """Both sides as they get shorter, rule by rule."""

    ours: list[LayerSpec]
    theirs: list[ProfileLayer]
    found: dict[str, LayerMatch] = field(default_factory=dict)
    ambiguous: list[Ambiguity] = field(default_factory=list)
    contradicted: set[str] = field(default_factory=set)  # paired by name, but the file states another shape

    def run(self) -> None:
        """All rules, in their order."""
        self.by_name("name", lambda name: name)
        self.by_name("normalised", canonical)
        self.by_member()
        self.by_shape("shape", _signature, _their_signature)
        self.by_shape("shape", _by_input, _their_by_input)
        self.by_shape("scaled", _unsized, _their_scalable)

    def by_name(self, rule: RuleName, form: Callable[[str], str]) -> None:
        """One to one, by a form of the name."""
        mine = _grouped(self.ours, lambda layer: form(layer.name))
        names = _grouped(self.theirs, lambda layer: form(layer.name))
        for key, layers in mine.items():
            partners = _layers_first(names.get(key, []))
            stated = _stated(layers, partners)
            if len(layers) == len(partners) == 1:
                self._settle(layers[0], partners, rule)
            elif len(layers) == len(stated) == 1:
                self._settle(layers[0], stated, "fused")
            elif partners:
                self._ask(layers, partners, f"their names all read {key[:60]!r}")
        self._shorten()

    def by_member(self) -> None:
        """By the names a runtime fused; a fused layer with several of ours shares its time among them."""
        holders: dict[str, list[ProfileLayer]] = defaultdict(list)
        for theirs in self.theirs:
            for name in dict.fromkeys(map(canonical, (*theirs.members, *members(theirs.name)))):
                holders[name].append(theirs)
        claims: dict[str, list[LayerSpec]] = defaultdict(list)
        for layer in self.ours:
            partners = _layers_first(holders.get(canonical(layer.name), []))
            stated = _stated([layer], partners)
            if len(partners) == 1 or len(stated) == 1:
                claims[(stated or partners)[0].name].append(layer)
            elif partners:
                self._ask([layer], partners, "several fused layers hold its name")
        known = {theirs.name: theirs for theirs in self.theirs}
        for name, layers in claims.items():
            macs = sum(layer.macs for layer in layers)
            for layer in layers:
                share = layer.macs / macs if len(layers) > 1 else 1.0
                self._settle(layer, [known[name]], "fused", share)
        self._shorten()

    def by_shape(
        self,
        rule: RuleName,
        form: Callable[[LayerSpec], Hashable],
        their_form: Callable[[ProfileLayer], Hashable | None],
    ) -> None:
        """In execution order among layers of one signature; a layer called several times takes as many partners."""
        mine = _grouped(self.ours, form)
        shapes = _grouped([t for t in self.theirs if t.role == "layer" and their_form(t) is not None], their_form)
        for key, layers in mine.items():
            partners = shapes.get(key, [])
            calls = sum(layer.calls for layer in layers)
            if len(partners) == len(layers):
                takes = [1] * len(layers)
            elif len(partners) == calls:
                takes = [layer.calls for layer in layers]
            elif partners:
                self._ask(layers, partners, f"{len(layers)} layers but {len(partners)} rows have this shape")
                continue
            else:
                continue
            for layer, take in zip(layers, takes, strict=True):
                self._settle(layer, partners[:take], rule)
                partners = partners[take:]
        self._shorten()

    def _settle(self, layer: LayerSpec, partners: Sequence[ProfileLayer], rule: RuleName, share: float = 1.0) -> None:
        names = tuple(partner.name for partner in partners)
        if any(_contradicts(layer, partner) for partner in partners):
            self.contradicted.add(layer.name)
        elif share == 1.0 and (other := _positions_share(layer, partners[0])) != 1.0:
            rule, share = "scaled", other
        self.found[layer.name] = LayerMatch(layer=layer.name, partners=names, rule=rule, share=share)

    def _ask(self, layers: Sequence[LayerSpec], partners: Sequence[ProfileLayer], reason: str) -> None:
        ours, theirs = tuple(la.name for la in layers), tuple(p.name for p in partners)
        self.ambiguous.append(Ambiguity(layers=ours, candidates=theirs, reason=reason))

    def _shorten(self) -> None:
        """What is settled, or open, is no matter for the later rules."""
        open_ours = {name for case in self.ambiguous for name in case.layers}
        open_theirs = {name for case in self.ambiguous for name in case.candidates}
        taken = {partner for m in self.found.values() for partner in m.partners}
        self.ours = [la for la in self.ours if la.name not in self.found and la.name not in open_ours]
        self.theirs = [t for t in self.theirs if t.name not in taken and t.name not in open_theirs]


def _signature(layer: LayerSpec) -> Hashable:
    unsized = _unsized(layer)
    return (*unsized, layer.positions if unsized[0] == "linear" else layer.output_size or layer.positions)


def _by_input(layer: LayerSpec) -> Hashable:
    return (*_unsized(layer), layer.input_size)


def _their_by_input(layer: ProfileLayer) -> Hashable | None:
    """For tables that know the map that comes in and not the one that goes out."""
    unsized = _their_unsized(layer)
    known = layer.input_size and not layer.output_size and not layer.positions
    return (*unsized, layer.input_size) if unsized is not None and known else None


def _their_signature(layer: ProfileLayer) -> Hashable | None:
    unsized = _their_unsized(layer)
    if unsized is None:
        return None
    if unsized[0] == "linear":
        positions = layer.positions or (prod(layer.output_size) if layer.output_size else None)
        size: Hashable = positions or (1 if layer.op == "linear" else None)
    else:
        size = layer.output_size or layer.positions
    return (*unsized, size) if size else None


def _unsized(layer: LayerSpec) -> tuple[Hashable, ...]:
    return _form(layer.op, layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.groups)


def _form(
    op: str, in_channels: int, out_channels: int, kernel: tuple[int, ...], stride: tuple[int, ...], groups: int
) -> tuple[Hashable, ...]:
    """A 1 x 1 convolution is a linear layer at every position: runtimes run the one as the other."""
    if op == "linear" or (op.startswith("conv") and {*kernel, *stride, groups} == {1}):
        return ("linear", in_channels, out_channels)
    return (op, in_channels, out_channels, kernel, stride, groups)


def _their_unsized(layer: ProfileLayer) -> tuple[Hashable, ...] | None:
    """None where the file does not say enough: unknown is not the same as equal."""
    if layer.in_channels is None or layer.out_channels is None:
        return None
    if layer.op != "linear" and not (layer.kernel and layer.stride):
        return None
    return _form(layer.op, layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.groups or 1)


def _their_scalable(layer: ProfileLayer) -> Hashable | None:
    return _their_unsized(layer) if layer.positions or layer.output_size else None


def _contradicts(layer: LayerSpec, partner: ProfileLayer) -> bool:
    """Whether the file states another shape for a layer of this name. A fused layer may state any of its members'.

    As many weights and as many outputs are the same layer, however it is called there: a linear on a flattened map runs
    as a convolution over all of it.
    """
    if len(members(partner.name)) > 1:
        return False
    sizes = [(layer.out_channels, partner.out_channels), (layer.weights, partner.weights)]
    if partner.weights is None:
        sizes += [(layer.in_channels, partner.in_channels), (layer.groups, partner.groups)]
        sizes += [(prod(layer.kernel), prod(partner.kernel) if partner.kernel else None)]
    return any(theirs is not None and theirs != ours for ours, theirs in sizes)


def _layers_first(partners: list[ProfileLayer]) -> list[ProfileLayer]:
    """Those that multiply weights, where there are any: a reformatting copy is often named after its layer."""
    return [p for p in partners if p.role == "layer"] or partners


def _stated(layers: Sequence[LayerSpec], partners: Sequence[ProfileLayer]) -> list[ProfileLayer]:
    """Those among whose members a layer's name stands as it is: where several fit, a person settled it so."""
    return [p for p in partners if any(layer.name in p.members for layer in layers)]


def _positions_share(layer: LayerSpec, partner: ProfileLayer) -> float:
    """Positions of ours over those of theirs, by the first of the sizes that both sides know; 1 without one."""
    if layer.output_size and partner.output_size:
        return prod(layer.output_size) / prod(partner.output_size)
    if theirs := partner.positions or prod(partner.output_size or (0,)):
        return layer.positions / theirs
    return prod(layer.input_size) / prod(partner.input_size) if layer.input_size and partner.input_size else 1.0


def _grouped(items: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    groups: dict[Any, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups

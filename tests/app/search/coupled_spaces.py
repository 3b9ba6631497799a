"""Small nets whose prices hang together, their spaces, and every choice there is."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from app.search.solve.values import Floats
from app.search.space.build import space
from app.search.space.options import Choice, Space, Unit
from app.search.spec import SearchSpec
from costmodels.base import CostModel, NetworkGroup
from costmodels.network import network_cost
from pruning.layers import ChannelGroup, Cut, LayerSpec, ModelSpec
from tests.app.search.fakes import devices, error_of
from tests.costmodels.models import blocks, chain, conv, group, model_of, shared_stage


@dataclass(frozen=True)
class Ground:
    """A model, its space with made-up errors, and a device."""

    model: ModelSpec
    space: Space
    cost_model: CostModel
    errors: tuple[Floats, ...]

    def exact_ms(self, choices: Sequence[Choice]) -> float:
        """By the network function."""
        return network_cost(self.model, self.space.plan(choices, ""), self.cost_model).latency_ms

    def error(self, choices: Sequence[Choice]) -> float:
        """Option by option."""
        total = 0.0
        for choice, error in zip(choices, self.errors, strict=True):
            total += sum(float(error[index]) for index in ([choice] if isinstance(choice, int) else choice))
        return total

    def every(self) -> Iterator[list[Choice]]:
        """Every choice of the space."""
        yield from map(list, product(*map(_every, self.space.units)))

    def drawn(self, seed: int) -> list[Choice]:
        """One choice of the space."""
        draw = random.Random(seed)
        return [draw.choice(_every(unit)) for unit in self.space.units]


def residual(width: int = 8) -> ModelSpec:
    """A block whose sum can lose channels, so that its inner channels lie on a ring; and a reader."""
    stem, first, second = conv("stem", 3, width), conv("first", width, width + 2), conv("second", width + 2, width)
    reader = conv("reader", width, 6, kernel=1)
    groups = [group("sum", [stem, second], [first, reader]), group("inner", [first], [second])]
    return model_of([stem, first, second, reader], groups)


def concat(width: int = 8) -> ModelSpec:
    """Two branches side by side, read together: no table of two sides holds the reader's price."""
    left, right = conv("left", 3, width), conv("right", 3, width + 4, kernel=1)
    reader = conv("reader", 2 * width + 4, 6)
    return model_of([left, right, reader], [_part("l", left, reader, 0), _part("r", right, reader, width)])


def separable(width: int = 8) -> ModelSpec:
    """A pointwise convolution and the depthwise one that carries its channels on."""
    point, depth, reader = (
        conv("point", 3, width, kernel=1),
        conv("depth", width, width, groups=width),
        conv("r", width, 6),
    )
    return model_of([point, depth, reader], [group("wide", [point, depth], [reader])])


def _part(name: str, producer: LayerSpec, reader: LayerSpec, offset: int) -> ChannelGroup:
    whole = group(name, [producer], [reader])
    first, last = whole.cuts
    cuts = (first, Cut(parameter=last.parameter, dim=1, role="consumer", offset=offset))
    return ChannelGroup(
        name=name, channels=whole.channels, producers=whole.producers, consumers=whole.consumers, cuts=cuts
    )


@dataclass(frozen=True)
class Grouped:
    """A device on which layers run beside each other, or share a threshold."""

    inner: CostModel
    groups: tuple[NetworkGroup, ...]

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


EXACT: Mapping[str, ModelSpec] = {
    "blocks": blocks(8, 2),
    "chain": chain((8, 12)),
    "shared": shared_stage(8),
    "residual": residual(),
    "separable": separable(),
}
ESTIMATED = ("concat", "parallel", "cluster")


@cache
def ground(name: str, device: str = "eyeriss", sparsities: tuple[float, ...] = (0.5, 0.9)) -> Ground:
    """A ground by the name of its model or of what makes it hard."""
    model = EXACT.get(name) or (concat() if name == "concat" else residual())
    cost_model = devices(model)[device]
    if name == "parallel":
        cost_model = Grouped(cost_model, (NetworkGroup(rule="parallel_max", layers=("first", "second")),))  # type: ignore[assignment]
    if name == "cluster":
        rule = NetworkGroup(rule="cluster_threshold", layers=("first", "reader"), min_sparsity=0.6)
        cost_model = Grouped(cost_model, (rule,))  # type: ignore[assignment]
    spec = SearchSpec(model="m", dataset="d", profiles=(device,), sparsities=sparsities, nm=("keep1of4",))
    built = space(model, spec, {device: cost_model})
    errors = tuple(
        np.array([sum(error_of(p, n) for n, p in option.patterns.items()) for option in unit.options])
        for unit in built.units
    )
    return Ground(model, built, cost_model, errors)


def _every(unit: Unit) -> list[Choice]:
    if not unit.combinable:
        return list(range(len(unit.options)))
    own = product(*(unit.own(layer) for layer in unit.layers))
    return [*(tuple(index for index in picked if index) or 0 for picked in own), *unit.joint]

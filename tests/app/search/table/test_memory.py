"""Memory of other models: it helps where it is right, and costs next to nothing where it is wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from math import exp, log2

import numpy as np
import pytest

from app.search.front import hypervolume
from app.search.solve import solve
from app.search.space.limits import Prices
from app.search.space.options import Option, Space, Unit
from app.search.space.price import CostTable
from app.search.table.completion import anchors, complete, depth, kind_of, measured
from app.search.table.measuring import Errors, Place, by_unit, measure
from app.search.table.memory import Observed, fingerprints, option_key, pooled, read_option, trusted
from pruning.layers import ModelSpec
from pruning.patterns import NM, Channel, Pattern, Unstructured
from tests.costmodels.models import chain, shared_stage

SPARSITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
PATTERNS: tuple[Pattern, ...] = (
    *(Unstructured(s) for s in SPARSITIES),
    NM(keep=2, group=4),
    *(Channel(s) for s in SPARSITIES),
)
MODELS = 9
LEAST = 0.95


@dataclass(frozen=True)
class Made:
    """A made-up model: its options, what they cost, and what they truly lose."""

    model: ModelSpec
    prices: Prices
    true: Mapping[str, float]

    def measured(self, share: float, prior: Mapping[str, float]) -> Errors:
        """The errors that are measured at a share of what a cold search would measure first."""
        units = [[option.patterns for option in unit.options] for unit in self.prices.space.units]
        least = sum(len(anchors(unit)) for unit in units)
        limit = least + int(share * (sum(len(measured(unit)) for unit in units) - least))

        def ask(places: list[Place]) -> Errors:
            yield from ()
            return {(u, o): self.true[option_key(units[u][o])] for u, o in places}

        running = measure(self.prices, ask, limit, prior)
        with pytest.raises(StopIteration) as end:
            next(running)
        found: Errors = end.value.value
        assert len(found) <= limit
        return found

    def hypervolume(self, found: Errors) -> float:
        """Of the supported front over the completed table, at its true errors, over the exact one's."""
        units = [[option.patterns for option in unit.options] for unit in self.prices.space.units]
        tables = [complete(*each) for each in zip(units, by_unit(found, len(units)), strict=True)]
        return self.area(tables) / self.exact

    @cached_property
    def exact(self) -> float:
        return self.area(self.losses)

    @cached_property
    def losses(self) -> list[list[float]]:
        """The true errors by unit."""
        units = self.prices.space.units
        return [[self.true.get(option_key(option.patterns), 0.0) for option in unit.options] for unit in units]

    def area(self, errors: list[list[float]]) -> float:
        """The true hypervolume of what the solver makes of these errors."""
        costs = [table[:, 0] for table in self.prices.table.units_ms]
        front = solve(costs, [np.array(each) for each in errors], buckets=0)
        lost = [sum(self.losses[unit][option] for unit, option in enumerate(row)) for row in front.choices.tolist()]
        dense, worst = sum(cost[0] for cost in costs), 0.2 * sum(map(max, self.losses))
        return hypervolume(np.column_stack([front.costs / dense, lost]), (1.0, worst))


@cache
def made(number: int) -> Made:
    """Chains of random widths; layers like each other lose alike, up to e^0.3, on a scale of the model's own."""
    draw = np.random.default_rng(number)
    model = chain(tuple(int(w) for w in draw.choice((8, 16, 24, 32, 48, 64), size=draw.integers(6, 10))))
    scale, true, units, costs = exp(draw.normal()), {}, [], []
    for place, layer in enumerate(model.layers):
        third = 3 * place // len(model.layers)
        taste = np.random.default_rng([third, round(log2(layer.in_channels)), round(log2(layer.out_channels))])
        likeness = {kind: (taste.normal(), taste.uniform(1.2, 4.0)) for kind in ("unstructured", "nm of 4", "channel")}
        options = [Option(unit=layer.name, name="dense", patterns={})]
        for pattern in PATTERNS if layer.out_channels > 10 else PATTERNS[:10]:
            option = {layer.name: pattern}
            level, power = likeness[kind_of(option)]
            level += draw.normal(scale=0.3) + (1.0 if pattern.kind == "channel" else 0.0)
            true[option_key(option)] = scale * exp(1.5 * level) * (depth(option) / 4) ** power
            options.append(Option(unit=layer.name, name=str(pattern), patterns=option))
        for chosen in (options[1:10], options[11:]):  # no family is worse where it keeps more
            rising = np.maximum.accumulate([true[option_key(option.patterns)] for option in chosen])
            true |= {option_key(option.patterns): float(e) for option, e in zip(chosen, rising, strict=True)}
        units.append(Unit(name=layer.name, layers=(layer.name,), options=tuple(options)))
        share = {"unstructured": 1.2, "nm": 1.3, "channel": 1.0}
        cost = [min(1.0, share[p.kind] * p.density) for option in options[1:] for p in option.patterns.values()]
        costs.append(layer.macs * np.array([[1.0], *([each] for each in cost)]))
    table = CostTable(("chip",), np.zeros(1), tuple(costs))
    space = Space(units=tuple(units))
    return Made(model, Prices(model=model, space=space, table=table, cost_models={}, reachable={}), true)


@cache
def others(number: int) -> dict[str, float]:
    """The prior from all models but one."""
    left = [Observed(model=made(n).model, errors=made(n).true) for n in range(MODELS) if n != number]
    return pooled(left, made(number).model)


def reversed_(number: int) -> dict[str, float]:
    """Whatever the others say, its contrary."""
    return {key: 1.0 / value for key, value in others(number).items()}


def shuffled(number: int) -> dict[str, float]:
    prior, draw = others(number), np.random.default_rng(number)
    return dict(zip(prior, draw.permutation(list(prior.values())).tolist(), strict=True))


def two_faced(number: int) -> dict[str, float]:
    """Right about the strongest options, which are looked at first, and upside down within every family."""
    worst = {Unstructured(0.98), Channel(0.98), NM(keep=2, group=4)}
    true = made(number).true
    heads = {key: error for key, error in true.items() if set(read_option(key).values()) <= worst}
    return {**{key: 1.0 / error for key, error in true.items()}, **heads}


@pytest.mark.parametrize("prior", [others, reversed_, shuffled, two_faced])
def test_no_prior_costs_more_than_a_twentieth_of_the_hypervolume(prior: Callable[[int], dict[str, float]]) -> None:
    """Leave one out over nine models, at two budgets, of what is measured beyond the strongest of each family."""
    for number in range(MODELS):
        for share in (0.2, 0.5) if prior in (others, two_faced) else (0.5,):
            here = made(number)
            cold, warm = here.measured(share, {}), here.measured(share, prior(number))
            assert len(warm) == len(cold), "at equal budget"
            assert here.hypervolume(warm) >= LEAST * here.hypervolume(cold)
            if prior in (reversed_, shuffled):
                assert warm == cold, "dropped before it could do harm"


def test_a_prior_of_similar_models_is_trusted_and_its_contrary_is_not() -> None:
    for number in range(MODELS):
        true = made(number).true
        assert trusted(others(number), true)
        assert not trusted(reversed_(number), true)
        assert not trusted(shuffled(number), true)
    few = dict(list(made(0).true.items())[:5])
    assert not trusted(few, few), "five numbers say nothing"
    assert not trusted(dict.fromkeys(made(0).true, 1.0), made(0).true), "nor does one number for all"


def test_with_room_for_everything_a_prior_changes_nothing() -> None:
    here = made(0)
    assert here.measured(2.0, others(0)) == here.measured(2.0, {})


def test_the_pool_is_the_geometric_mean_of_what_errors_are_to_their_models_median() -> None:
    """Two models of one layer with like shapes, worked by hand; the scale of a model does not matter."""
    one, two, new = (chain((width,)) for width in (16, 17, 15))
    keys = [option_key({"c0": Unstructured(s)}) for s in (0.5, 0.8, 0.9)]
    observed = [
        Observed(model=one, errors=dict(zip(keys, (1.0, 2.0, 8.0), strict=True))),
        Observed(model=two, errors=dict(zip(keys, (100.0, 50.0, 800.0), strict=True))),
    ]
    found = pooled(observed, new)
    assert [found[key] for key in keys] == pytest.approx([(0.5 * 1.0) ** 0.5, (1.0 * 0.5) ** 0.5, (4.0 * 8.0) ** 0.5])


def test_what_no_layer_was_like_falls_back_to_its_depth_then_to_its_operator_then_to_nothing() -> None:
    model, other = chain((16, 64, 16)), chain((16,))
    assert len({fingerprints(model, {layer.name: Unstructured(0.5)}) for layer in model.layers}) == 4
    errors = {option_key({"c0": Unstructured(0.5)}): 2.0, option_key({"c1": Unstructured(0.5)}): 8.0}
    found = pooled([Observed(model=other, errors=errors)], model)
    assert found[option_key({"c0": Unstructured(0.5)})] == pytest.approx(0.5), "the same shape at the same depth"
    assert found[option_key({"c1": Unstructured(0.5)})] == pytest.approx(0.5), "the same depth"
    assert found[option_key({"c3": Unstructured(0.5)})] == pytest.approx(1.0), "an operator anywhere: the mean of both"
    assert option_key({"c0": Unstructured(0.9)}) not in found


def test_options_of_a_whole_group_have_a_prior_too() -> None:
    model = shared_stage()
    both = {"stem": Channel(0.5), "branch": Channel(0.5)}
    found = pooled([Observed(model=model, errors={option_key(both): 1.0})], model)
    assert option_key(both) in found


def test_keys_are_canonical_and_read_back() -> None:
    one: dict[str, Pattern] = {"b": Channel(0.5), "a": NM(keep=2, group=4)}
    other: dict[str, Pattern] = {"a": NM(keep=2, group=4), "b": Channel(0.5)}
    assert option_key(one) == option_key(other)
    assert read_option(option_key(one)) == one

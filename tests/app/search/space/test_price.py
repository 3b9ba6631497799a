"""Prices: the additive table against the network function, the vectorised totals, the reachable range."""

import itertools
import random
from collections.abc import Mapping

import numpy as np
import pytest

from app.search.space.build import Space, space
from app.search.space.option_price import option_price
from app.search.space.price import CostTable, Remembered, cost_table, price_plan, reachable_range
from app.search.spec import SearchSpec
from costmodels.base import CostModel
from costmodels.catalogue import accelerator_profile, cost_model
from costmodels.network import network_cost
from costmodels.profile import Profile, ProfileRow
from pruning.layers import ModelSpec
from pruning.patterns import Channel
from pruning.plan import PruningPlan
from tests.costmodels.models import blocks, chain, shared_stage

SPEC = SearchSpec(model="m", dataset="d", profiles=("cpu", "eyeriss"), sparsities=(0.5, 0.8, 0.9))
MODELS = {"blocks": blocks(16, 3), "chain": chain(), "shared": shared_stage()}


def devices(model: ModelSpec) -> Mapping[str, CostModel]:
    rows = tuple(ProfileRow(layer=la.name, latency_ms=la.macs / 1e6) for la in model.layers)
    cpu = Profile(
        name="cpu",
        device="cpu",
        batch=1,
        precision="float32",
        source="measured",
        rows=rows,
        network_latency_ms=model.macs / 1e6 * 1.1,
    )
    return {
        "cpu": cost_model(cpu, model),
        "eyeriss": cost_model(accelerator_profile("eyeriss-v2", 1), model),
    }


def exact_ms(model: ModelSpec, built: Space, choices: list[int], cost_models: Mapping[str, CostModel]) -> list[float]:
    return [cost.latency_ms for cost in price_plan(model, built.plan(choices, ""), cost_models)]


@pytest.fixture(params=sorted(MODELS))
def model(request: pytest.FixtureRequest) -> ModelSpec:
    return MODELS[request.param]


def test_dense_and_own_options_are_exact_in_any_combination(model: ModelSpec) -> None:
    cost_models = devices(model)
    built = space(model, SPEC, cost_models)
    table = cost_table(model, built, cost_models)
    draw = random.Random(0)
    for _ in range(20):
        choices: list[int | tuple[int, ...]] = []
        for unit in built.units:
            own = [i for la in unit.layers for i in draw.choices(unit.own(la))]
            plain = [i for i in own if not any(isinstance(p, Channel) for p in unit.options[i].patterns.values())]
            choices.append(tuple(i for i in plain if i))
        plan = built.plan(choices, "")
        expected = [c.latency_ms for c in price_plan(model, plan, cost_models)]
        assert table.total(choices) == pytest.approx(expected)
    assert table.dense_ms == pytest.approx(exact_ms(model, built, [0] * len(built.units), cost_models))


def test_one_option_alone_is_exact(model: ModelSpec) -> None:
    cost_models = devices(model)
    built = space(model, SPEC, cost_models)
    zero = [0] * len(built.units)
    dense = exact_ms(model, built, zero, cost_models)
    for index, unit in enumerate(built.units):
        for number, option in enumerate(unit.options):
            expected = exact_ms(model, built, [*zero[:index], number, *zero[index + 1 :]], cost_models)
            for device, m in enumerate(cost_models.values()):
                change = option_price(model, unit, option, m) - option_price(model, unit, unit.options[0], m)
                assert dense[device] + change == pytest.approx(expected[device])


def test_neighbours_pruned_alike_are_exact_and_positive() -> None:
    model = MODELS["chain"]
    cost_models = devices(model)
    built = space(model, SPEC, cost_models)
    table = cost_table(model, built, cost_models)
    for name in ("channel@0.5", "channel@0.9"):
        choices = [next((i for i, o in enumerate(u.options) if o.name == name), 0) for u in built.units]
        last = next(
            i for i, o in enumerate(built.units[-1].options) if o.name == name.replace("channel", "unstructured")
        )
        choices[-1] = last
        exact = exact_ms(model, built, choices, cost_models)
        assert table.total(choices)[1] == pytest.approx(exact[1], rel=0.1)  # 1.07 and whole channels apart
        assert table.total(choices)[0] == pytest.approx(exact[0], rel=0.1)


def test_totals_of_many_plans_equal_totals_of_one(model: ModelSpec) -> None:
    cost_models = devices(model)
    built = space(model, SPEC, cost_models)
    table = cost_table(model, built, cost_models)
    sizes = [len(unit.options) for unit in built.units]
    choices = np.random.default_rng(0).integers(0, sizes, size=(40_000, len(sizes)), dtype=np.int16)
    totals = table.totals(choices)
    assert totals.shape == (40_000, 2)
    for index in (0, 1, 16_383, 16_384, 39_999):
        assert totals[index] == pytest.approx(table.total([int(c) for c in choices[index]]))
    assert table.totals(choices[:0]).shape == (0, 2)


def test_the_price_of_a_plan_carries_where_it_comes_from() -> None:
    model = MODELS["blocks"]
    cpu, eyeriss = price_plan(model, PruningPlan(pruner="pdp"), devices(model))
    assert (cpu.profile, eyeriss.profile) == ("cpu", "eyeriss")
    assert cpu.sources == {"measured": pytest.approx(1.0)}
    assert eyeriss.sources == {"analytical": pytest.approx(1.0)}


def test_the_lowest_reachable_latency_is_the_lowest_of_all_plans() -> None:
    model = chain((8, 12))
    spec = SearchSpec(model="m", dataset="d", profiles=("cpu",), sparsities=(0.5, 0.9))
    for key, m in devices(model).items():
        built = space(model, spec, {key: m})
        every = itertools.product(*(range(len(unit.options)) for unit in built.units))
        best = min(network_cost(model, built.plan(c, ""), m).latency_ms for c in every)
        reach = reachable_range(model, built, key, m)
        assert reach.lowest_ms == pytest.approx(best)
        assert network_cost(model, built.plan(reach.choices, ""), m).latency_ms == pytest.approx(best)
        assert reach.dense_ms == pytest.approx(network_cost(model, PruningPlan(pruner=""), m).latency_ms)


def test_the_range_combines_own_options_of_a_shared_stage() -> None:
    model = MODELS["shared"]
    cost_models = devices(model)
    built = space(model, SPEC, cost_models)
    for key, m in cost_models.items():
        reach = reachable_range(model, built, key, m)
        assert m.overhead_ms < reach.lowest_ms < 0.25 * reach.dense_ms + m.overhead_ms


def test_remembered_prices_are_the_same_and_asked_once() -> None:
    model = MODELS["blocks"]
    inner = devices(model)["eyeriss"]
    memory = Remembered(inner)
    plan = PruningPlan(pruner="", patterns={"b0.conv1": Channel(0.5)})
    assert network_cost(model, plan, memory) == network_cost(model, plan, inner)
    known = len(memory.known)
    network_cost(model, plan, memory)
    assert len(memory.known) == known


def test_a_table_without_options_is_just_overhead() -> None:
    table = CostTable(("a",), np.array([1.5]), ())
    assert table.dense_ms == pytest.approx([1.5])
    assert table.totals(np.zeros((3, 0), dtype=np.int64)) == pytest.approx(np.full((3, 1), 1.5))

"""Limits on energy and bytes beside latency: against brute force, with figures that are missing, in whole searches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.errors import SearchFailed
from app.search.proposals.raw import raw_decode, violations
from app.search.pruners import PatternKind
from app.search.run import Problem
from app.search.space.between import within
from app.search.space.build import space
from app.search.space.limits import Limits, Prices
from app.search.space.options import Choice, Unit
from app.search.space.price import cost_table, price_plan, reachable_range
from app.search.space.resources import at_least
from app.search.spec import Limit
from app.search.trial import Trial, TrialCost
from costmodels.base import CostModel, LayerCost, NetworkGroup, Source
from costmodels.catalogue import accelerator_profile, cost_model
from pruning.layers import LayerSpec
from pruning.patterns import Pattern, Unstructured
from pruning.plan import PruningPlan
from tests.app.search.fakes import MODEL, FakeExecutor, devices, follow, problem, terrain
from tests.costmodels.models import chain, conv, group, linear, model_of, shared_stage

SMALL = chain((8, 8, 8))
KINDS = (Unstructured(0.5), Unstructured(0.9))
GATED = {"gated": cost_model(accelerator_profile("eyeriss-v1-like", 1, "int16"), MODEL)}


@dataclass(frozen=True)
class Drawn:
    """A device whose prices of a layer under a pattern are drawn, and do not hang on what other layers are."""

    name: str
    seed: int
    blind: str = ""  # a kind of pattern whose energy is not known
    batch: int = 1
    precision: str = "float32"
    overhead_ms: float = 0.5
    overhead_source: Source = "measured"
    groups: tuple[NetworkGroup, ...] = ()
    half_width: float | None = None

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        draw = Random(f"{self.seed} {self.name} {dense.name} {pattern}").uniform
        mild = 1.0 if pattern.kind == "dense" else 0.0
        return LayerCost(
            latency_ms=mild + draw(0.1, 1.0),
            source="measured",
            derivation="exact",
            energy_mj=None if pattern.kind == self.blind else now.out_channels * (mild + draw(0.1, 1.0)),
            weight_bytes=100.0 * (mild + draw(0.1, 1.0)),
        )


def small(seed: int, blind: str = "") -> Prices:
    """The prices of a small net on two devices, where they add up exactly."""
    cost_models: dict[str, CostModel] = {"a": Drawn("a", seed), "b": Drawn("b", seed, blind)}
    asked = [Limit(profile="a", weight_bytes=1), Limit(profile="b", energy_mj=1)]  # so that all stays that serves them
    spec = problem(sparsities=(0.5, 0.9), patterns=("unstructured", "nm")).spec
    spec = replace(spec, profiles=tuple(cost_models), limits=tuple(asked))
    built = space(SMALL, spec, cost_models)
    return Prices(
        model=SMALL,
        space=built,
        table=cost_table(SMALL, built, cost_models),
        cost_models=cost_models,
        reachable={key: reachable_range(SMALL, built, key, m) for key, m in cost_models.items()},
    )


def limits_at(prices: Prices, shares: tuple[float, float, float]) -> Limits:
    """On latency of one device, energy of the other and bytes of the first: so far from the lowest to dense."""
    reach, energy = prices.reachable["a"], prices.resources.reach(("b", "energy_mj"))
    stored = prices.resources.reach(("a", "weight_bytes"))
    ends = ((reach.lowest_ms, reach.dense_ms), (energy.lowest, energy.dense), (stored.lowest, stored.dense))
    timed, burnt, kept = (low + share * (high - low) for share, (low, high) in zip(shares, ends, strict=True))
    return Limits({"a": timed}, {("b", "energy_mj"): burnt, ("a", "weight_bytes"): kept})


def every(prices: Prices) -> list[tuple[tuple[int, ...], tuple[TrialCost, ...]]]:
    """All plans of the space with their exact prices."""
    choices = product(*(range(len(unit.options)) for unit in prices.space.units))
    return [(c, price_plan(prices.model, prices.space.plan(c, ""), prices.cost_models)) for c in choices]


def exact(prices: Prices, choices: list[Choice]) -> tuple[TrialCost, ...]:
    return price_plan(prices.model, prices.space.plan(choices, ""), prices.cost_models)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shares=st.tuples(*[st.floats(0.0, 0.7)] * 3),
    blind=st.sampled_from(["", "nm"]),
)
def test_of_all_plans_that_keep_every_limit_the_one_of_least_error_is_found(
    seed: int, shares: tuple[float, float, float], blind: str
) -> None:
    prices = small(seed, blind)
    limits = limits_at(prices, shares)
    draw = np.random.default_rng(seed)
    errors = [draw.random(len(unit.options)) for unit in prices.space.units]
    holding = [
        sum(float(e[i]) for e, i in zip(errors, choice, strict=True))
        for choice, costs in every(prices)
        if limits.hold(costs)
    ]
    found = next(within(prices.additive(limits), errors, lambda choices: exact(prices, list(choices))), None)
    if not holding:
        assert found is None
        with pytest.raises(SearchFailed, match=r"no plan was found that keeps .* mJ of energy on 'b'") as caught:
            prices.keeping(limits)
        assert [reach["resource"] for reach in caught.value.details["further"]] == ["energy_mj", "weight_bytes"]
        return
    assert found is not None and limits.hold(exact(prices, found))
    assert sum(float(e[i]) for e, i in zip(errors, found, strict=True)) == pytest.approx(min(holding))  # type: ignore[index]
    assert limits.hold(exact(prices, list(prices.keeping(limits))))


def stage(seed: int, kinds: tuple[PatternKind, ...]) -> Prices:
    """Three layers that share their channels and one that reads them, on two devices where prices add up."""
    producers = [conv(f"c{number}", 3, 16) for number in range(3)]
    reader = linear("reader", 16, 10)
    model = model_of([*producers, reader], [group("sum", producers, [reader])])
    cost_models: dict[str, CostModel] = {"a": Drawn("a", seed), "b": Drawn("b", seed)}
    asked = [Limit(profile="a", weight_bytes=1), Limit(profile="b", energy_mj=1)]
    spec = problem(sparsities=(0.5, 0.6, 0.7, 0.8), patterns=kinds).spec
    built = space(model, replace(spec, profiles=tuple(cost_models), limits=tuple(asked)), cost_models)
    return Prices(
        model=model,
        space=built,
        table=cost_table(model, built, cost_models),
        cost_models=cost_models,
        reachable={key: reachable_range(model, built, key, m) for key, m in cost_models.items()},
    )


def combinations(unit: Unit) -> list[Choice]:
    """All choices of a unit, slowly: every combination of own options, and every joint one."""
    if not unit.combinable:
        return list(range(len(unit.options)))
    own = [tuple(i for i in row if i) for row in product(*(unit.own(layer) for layer in unit.layers))]
    return [*own, *unit.joint]


@pytest.mark.parametrize("kinds", [("unstructured",), ("unstructured", "channel")])
@pytest.mark.parametrize("seed", [0, 2, 6, 11])  # none keeps all limits in the second
def test_of_all_combinations_in_a_shared_stage_the_best_is_found(seed: int, kinds: tuple[PatternKind, ...]) -> None:
    """A front over one weighted sum of all limits would lack combinations that only a single limit asks for."""
    prices = stage(seed, kinds)
    draw = np.random.default_rng(seed)
    limits = limits_at(prices, tuple(draw.uniform(0.05, 0.5, 3)))
    errors = [np.append(0.0, draw.random(len(unit.options) - 1)) for unit in prices.space.units]
    additive = prices.additive(limits)
    columns, most = additive.columns(), np.array([limits.by_key[key] for key in additive.keys])
    every_choice = [combinations(unit) for unit in prices.space.units]

    def amounts(tables: list[np.ndarray[Any, Any]], row: Sequence[Choice]) -> Any:
        each = zip(tables, row, strict=True)
        return sum(t[0] + sum(t[i] - t[0] for i in ([c] if isinstance(c, int) else c)) for t, c in each)

    holding = [
        amounts(errors, row)
        for row in product(*every_choice)
        if np.all(amounts(columns, row) + additive.fixed <= most * (1 + 1e-9))
    ]
    found = next(within(additive, errors, lambda choices: exact(prices, list(choices))), None)
    assert (found is None) is (not holding)
    if found is None:
        return
    assert limits.hold(exact(prices, found))
    assert amounts(errors, found) == pytest.approx(min(holding))
    assert limits.hold(exact(prices, list(prices.keeping(limits))))


@pytest.mark.parametrize("seed", range(3))
def test_ranges_are_those_of_all_plans(seed: int) -> None:
    prices = small(seed, "nm")
    for profile, resource in (("b", "energy_mj"), ("a", "weight_bytes")):
        reach = prices.resources.reach((profile, resource))  # type: ignore[arg-type]
        amounts = [getattr(next(c for c in costs if c.profile == profile), resource) for _, costs in every(prices)]
        assert reach.lowest == pytest.approx(min(amount for amount in amounts if amount is not None))
        assert reach.dense == pytest.approx(amounts[0])
        assert (reach.unpriced > 0) is (resource == "energy_mj")


def test_a_range_combines_own_options_of_a_shared_stage() -> None:
    model, chips = shared_stage(), {"chip": Drawn("chip", 0)}
    asked = problem(profiles=("cpu",), sparsities=(0.5, 0.9), patterns=("unstructured",)).spec
    built = space(model, asked, chips)
    table = cost_table(model, built, chips)
    prices = Prices(model=model, space=built, table=table, cost_models=chips, reachable={})
    reach = prices.resources.reach(("chip", "weight_bytes"))
    cheapest = [min(float(chips["chip"].cost(la, la, p).weight_bytes or 0.0) for p in KINDS) for la in model.layers]
    assert reach.lowest == pytest.approx(sum(cheapest)) and len(reach.choices[0]) == 2  # type: ignore[arg-type]


def test_channel_options_are_repaired_at_exact_prices() -> None:
    """Bytes of layers that lose channels on both sides do not add up; what is found keeps its limit all the same."""
    asked = replace(
        problem(profiles=("eyeriss",), sparsities=(0.5, 0.9), patterns=("unstructured", "channel")), model=SMALL
    )
    here = terrain(replace(asked, cost_models={"eyeriss": devices(SMALL)["eyeriss"]}))
    reach = here.prices.resources.reach(("eyeriss", "weight_bytes"))
    for share in (0.1, 0.3, 0.6):
        limits = Limits({}, {("eyeriss", "weight_bytes"): reach.lowest + share * (reach.dense - reach.lowest)})
        found = next(within(here.prices.additive(limits), here.errors, lambda c: exact(here.prices, list(c))))
        assert limits.hold(exact(here.prices, found))


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_every_plan_of_a_search_keeps_a_limit_that_latency_would_let_it_break(sampler: str) -> None:
    free = follow(problem(sampler=sampler), FakeExecutor()).history()
    most = 0.3 * taken(free[0], "eyeriss")
    assert any(taken(trial, "eyeriss") > most for trial in free[2:]), "or the limit would say nothing"
    limits = [Limit(profile="eyeriss", weight_bytes=most), Limit(profile="cpu", share=0.8)]
    limited = follow(problem(limits=limits, sampler=sampler), FakeExecutor()).history()[2:]
    assert {trial.state for trial in limited} == {"complete"}
    assert all(taken(trial, "eyeriss") <= most * (1 + 1e-9) for trial in limited)
    assert len({trial.plan.digest for trial in limited}) > 5


def taken(trial: Trial, profile: str) -> float:
    amount = trial.cost(profile).weight_bytes
    assert amount is not None
    return amount


def gated(*limits: Limit) -> Problem:
    """A device on which zeros save energy, never time."""
    spec = replace(problem(profiles=("cpu",), patterns=("unstructured",)).spec, profiles=("gated",), limits=limits)
    return replace(problem(), spec=spec, cost_models=GATED)


def test_what_saves_energy_alone_is_an_option_where_energy_is_limited() -> None:
    with pytest.raises(SearchFailed, match="no pattern on any layer"):
        follow(gated(), FakeExecutor())
    dense = price_plan(MODEL, PruningPlan(pruner=""), GATED)[0].energy_mj
    assert dense is not None
    trials = follow(gated(Limit(profile="gated", energy_mj=0.7 * dense)), FakeExecutor()).history()[2:]
    assert {trial.state for trial in trials} == {"complete"}
    assert all((trial.cost("gated").energy_mj or dense) <= 0.7 * dense * (1 + 1e-9) for trial in trials)


def test_a_resource_that_the_profile_cannot_price_is_refused_before_anything_runs() -> None:
    executor = FakeExecutor()
    with pytest.raises(SearchFailed, match=r"profile 'cpu' cannot price energy_mj.*'eyeriss-v1-like'") as caught:
        follow(problem(limits=[Limit(profile="cpu", energy_mj=1.0)]), executor)
    assert caught.value.code == "resource_unknown" and executor.submitted == []
    assert caught.value.details == {"profile": "cpu", "resource": "energy_mj"}


def test_a_limit_out_of_reach_is_named_with_the_range() -> None:
    executor = FakeExecutor()
    with pytest.raises(SearchFailed, match="no plan of this search reaches 1 bytes of weights on profile") as caught:
        follow(problem(limits=[Limit(profile="eyeriss", weight_bytes=1)]), executor)
    details = caught.value.details
    assert caught.value.code == "limit_unreachable" and executor.submitted == []
    assert details["limit"] == 1 < details["lowest"] < details["dense"]


@given(st.floats(1e-9, 1e12))
def test_the_lowest_as_people_read_it_is_a_limit_that_can_be_kept(lowest: float) -> None:
    shown = at_least(lowest)
    most = float(shown.replace(",", ""))
    assert lowest <= most * (1 + 1e-9) and most <= lowest * 1.0011
    assert lowest < 1e-3 or "e" not in shown


def test_the_tightest_counts_and_what_is_not_known_keeps_no_limit() -> None:
    asked = [Limit(profile="p", energy_mj=amount) for amount in (3.0, 2.0, 5.0)]
    limits = Limits.of(replace(problem().spec, profiles=("p",), limits=tuple(asked)), {})
    assert limits == Limits({}, {("p", "energy_mj"): 2.0})
    assert limits.tightened("p", 1.0) == Limits({"p": 1.0}, {("p", "energy_mj"): 2.0})
    for energy_mj, holds in ((2.0, True), (2.1, False), (None, False)):
        cost = TrialCost(profile="p", latency_ms=1.0, sources={}, derivations={}, energy_mj=energy_mj)
        assert limits.hold([cost]) is holds
        assert (limits.excesses([cost])["p", "energy_mj"] <= 1e-9) is holds
    assert "not known, so it may be above the limit of 2 mJ" in limits.failure([cost]).reason


def test_raw_plans_are_told_by_how_much_they_break_a_limit() -> None:
    here = terrain(problem(coordinates="raw", limits=[Limit(profile="eyeriss", weight_bytes=1500)]))
    found = raw_decode({}, here)
    (excess,) = (value for name, value in violations(found.costs, here).items() if name == "eyeriss weight_bytes")
    dense = here.prices.resources.reach(("eyeriss", "weight_bytes")).dense
    assert excess == pytest.approx(dense / 1500 - 1.0)
    failure = here.limits.failure(found.costs)
    assert failure.details == {"profile": "eyeriss", "resource": "weight_bytes", "limit": 1500}
    assert f"{excess:.0%} above the limit of 1,500 bytes of weights" in failure.reason


def test_raw_trials_above_a_limit_are_told_and_not_trained() -> None:
    asked = problem(coordinates="raw", trials=12, limits=(Limit(profile="eyeriss", weight_bytes=4000.0),))
    found = follow(asked, FakeExecutor()).history()[2:]
    over = [trial for trial in found if trial.state == "infeasible"]
    assert over and all(taken(trial, "eyeriss") > 4000.0 for trial in over)
    assert all(trial.failure and "weights" in trial.failure.reason and not trial.measurements for trial in over)
    assert all(taken(trial, "eyeriss") <= 4000.0 for trial in found if trial.state == "complete")

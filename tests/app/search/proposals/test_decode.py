"""From coordinates to plans: prices that hold, limits of two devices at once, brute force on small spaces."""

from dataclasses import replace
from itertools import product
from math import exp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.proposals.coordinates import distributions, group_of, neutral
from app.search.proposals.decode import decode, priced
from app.search.proposals.terrain import Proposal, Terrain
from app.search.space.options import Choice
from app.search.space.price import price_plan
from app.search.spec import Limit, Post
from pruning.plan import Int8, PruningPlan
from tests.app.search.fakes import devices, error_of, problem, terrain
from tests.costmodels.models import chain

LIMITS = (Limit(profile="cpu", share=0.4), Limit(profile="eyeriss", share=0.3))
FREE, LIMITED = terrain(problem()), terrain(problem(limits=LIMITS))
SMALL = replace(problem(profiles=("cpu",), sparsities=(0.5, 0.9)), model=chain((8, 12)))
SMALL = replace(SMALL, cost_models={"cpu": devices(SMALL.model)["cpu"]})
TINY = terrain(SMALL)
PLANS = [TINY.prices.space.plan(c, "") for c in product(*(range(len(u.options)) for u in TINY.prices.space.units))]
EVERY = [(plan, price_plan(SMALL.model, plan, SMALL.cost_models)[0].latency_ms) for plan in PLANS]


@st.composite
def coordinates(draw: st.DrawFn, here: Terrain = FREE) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, distribution in distributions(here.spec, here.prices.model).items():
        if choices := getattr(distribution, "choices", None):
            found[name] = draw(st.sampled_from(choices))
        else:
            found[name] = draw(st.floats(distribution.low, distribution.high))  # type: ignore[attr-defined]
    return found


def target_ms(here: Terrain, found: dict[str, Any]) -> float:
    return here.target_ms(found.get("device", here.spec.profiles[0]), found["band"])


def latency_ms(proposal: Proposal, device: str) -> float:
    return {cost.profile: cost.latency_ms for cost in proposal.costs}[device]


@given(coordinates())
@settings(max_examples=25, deadline=None)
def test_every_plan_keeps_every_limit_at_its_exact_price(found: dict[str, Any]) -> None:
    proposal = decode(found, LIMITED)
    exact = price_plan(LIMITED.prices.model, proposal.plan, devices())
    assert exact == proposal.costs
    for cost, limit in zip(exact, LIMITS, strict=True):
        assert limit.share
        assert cost.latency_ms <= limit.share * LIMITED.prices.reachable[cost.profile].dense_ms * (1 + 1e-6)


@given(coordinates())
@settings(max_examples=25, deadline=None)
def test_a_plan_takes_no_more_than_its_band_allows(found: dict[str, Any]) -> None:
    assert latency_ms(decode(found, FREE), found["device"]) <= target_ms(FREE, found) * (1 + 1e-6)


def biased_error(plan: PruningPlan, found: dict[str, Any]) -> float:
    """Layer by layer, from the formula in words: error times e^(1.5 x |x|), for group and pattern, to the p."""
    group = group_of(SMALL.model)
    total = 0.0
    for name, pattern in plan.patterns.items():
        trusts = [found.get(f"trust_{key}", 0.0) for key in (group[name], pattern.kind)]
        total += (error_of(pattern, name) * exp(sum(1.5 * x * abs(x) for x in trusts))) ** found["sharpness"]
    return total


@given(coordinates(TINY))
@settings(max_examples=25, deadline=None)
def test_of_all_plans_that_hold_the_target_none_has_less_biased_error(found: dict[str, Any]) -> None:
    plan = decode(found, TINY).plan
    holding = [p for p, ms in EVERY if ms <= target_ms(TINY, found) * (1 + 1e-9)]
    assert biased_error(plan, found) == pytest.approx(min(biased_error(p, found) for p in holding))


@pytest.mark.parametrize("band", [0.25, 0.5, 1.0])
def test_neutral_coordinates_give_the_least_error_of_all_plans_within_the_band(band: float) -> None:
    at = neutral(TINY, device="cpu", band=band, pruner="magnitude")
    best = min(biased_error(plan, at) for plan, ms in EVERY if ms <= target_ms(TINY, at) * (1 + 1e-9))
    assert biased_error(decode(at, TINY).plan, at) == pytest.approx(best)


def test_plans_that_were_tried_are_passed_over_until_none_is_left() -> None:
    at = neutral(FREE, device="eyeriss", band=0.05, pruner="magnitude")
    taken: list[str] = []
    while (found := decode(at, FREE, taken)).plan.digest not in taken:
        assert latency_ms(found, "eyeriss") <= target_ms(FREE, at) * (1 + 1e-9)
        taken.append(found.plan.digest)
    assert len(taken) > 3
    assert found.plan.digest == taken[0], "when all were tried, the best once more"


def test_a_target_is_kept_along_with_the_limit_of_another_device() -> None:
    """The device that is aimed at rewards channels alone; the other's limit wants more, and both can be had."""
    here = terrain(problem(limits=[Limit(profile="eyeriss", share=0.1)]))
    at = neutral(here, device="cpu", band=0.6, pruner="magnitude")
    found = decode(at, here)
    assert latency_ms(found, "cpu") <= target_ms(here, at) * (1 + 1e-9)
    assert latency_ms(found, "eyeriss") <= 0.1 * here.prices.reachable["eyeriss"].dense_ms * (1 + 1e-9)


def test_limits_narrow_the_band() -> None:
    lowest_ms, mildest_ms = LIMITED.band_ms("cpu")
    range_ = LIMITED.prices.reachable["cpu"]
    assert (lowest_ms, mildest_ms) == pytest.approx((range_.lowest_ms, 0.4 * range_.dense_ms))
    floor = LIMITED.prices.reachable["eyeriss"].lowest_ms
    tight = terrain(problem(limits=[Limit(profile="eyeriss", latency_ms=floor)]))
    assert tight.band_ms("eyeriss") == pytest.approx((floor, floor)) and tight.floor("eyeriss") == 0.0


def test_a_search_begins_at_a_tenth_of_dense_or_at_the_least_that_is_asked_for() -> None:
    dense_ms = FREE.prices.reachable["eyeriss"].dense_ms
    assert FREE.target_ms("eyeriss", FREE.floor("eyeriss")) == pytest.approx(0.1 * dense_ms)
    asked = terrain(problem(targets=(0.5, 0.06)))
    assert asked.target_ms("eyeriss", asked.floor("eyeriss")) == pytest.approx(0.06 * dense_ms)
    below = terrain(problem(limits=[Limit(profile="eyeriss", share=0.08)]))
    assert below.floor("eyeriss") == 0.0, "all of it is below a tenth"


def test_a_limit_a_little_above_a_tenth_leaves_more_than_a_sliver_to_look_at() -> None:
    limits = [0.2, 0.16, 0.12, 0.101, 0.1]
    for share in limits:
        here = terrain(problem(limits=[Limit(profile="eyeriss", share=share)]))
        reach = here.prices.reachable["eyeriss"]
        expected = max(min(0.1, share - 0.1), reach.lowest_ms / reach.dense_ms)
        assert here.target_ms("eyeriss", here.floor("eyeriss")) == pytest.approx(expected * reach.dense_ms)


def test_where_the_pruner_cannot_make_the_zeros_the_first_that_can_does() -> None:
    here = terrain(problem(pruners=("wanda", "magnitude", "pdp")))
    of_kind: dict[str, list[Choice]] = {"channel": [], "unstructured": []}
    for kind, choices in of_kind.items():
        for unit in here.prices.space.units:
            kinds = [{pattern.kind for pattern in option.patterns.values()} for option in unit.options]
            choices.append(kinds.index({kind}) if {kind} in kinds else 0)
    channels, own = of_kind["channel"], of_kind["unstructured"]
    at = neutral(here, device="eyeriss", band=0.5, pruner="wanda")
    assert priced(own, at, here).plan.pruner == "wanda"
    assert priced(channels, at, here).plan.pruner == "magnitude"
    assert priced(channels, {**at, "pruner": "pdp"}, here).plan.pruner == "pdp"


def test_a_target_is_the_band_of_its_latency() -> None:
    here = terrain(problem(targets=(0.5,)))
    dense_ms = here.prices.reachable["eyeriss"].dense_ms
    assert here.target_ms("eyeriss", here.band_of("eyeriss", 0.5)) == pytest.approx(0.5 * dense_ms)
    assert (here.band_of("eyeriss", 1.0), here.band_of("eyeriss", 0.01)) == (1.0, 0.0)


def test_more_trust_in_a_pattern_gives_more_of_it() -> None:
    def layers_with(kind: str, bias: float) -> int:
        at = neutral(FREE, device="eyeriss", band=0.3, pruner="magnitude") | {f"trust_{kind}": bias}
        return sum(pattern.kind == kind for pattern in decode(at, FREE).plan.patterns.values())

    assert layers_with("channel", -1.0) > layers_with("channel", 1.0)


def test_every_plan_carries_the_post_step_and_its_price_is_the_same() -> None:
    found = neutral(FREE, device="cpu", band=0.5, pruner="pdp")
    plain, stored = decode(found, FREE), decode(found, terrain(problem(post=(Post(kind="int8"),))))
    assert (plain.plan.post, stored.plan.post) == ((), (Int8(),))
    assert stored.plan.patterns == plain.plan.patterns and stored.costs == plain.costs


def test_under_limits_on_two_devices_the_plan_is_the_best_of_all_that_keep_them() -> None:
    """On devices whose prices add up, against every plan there is."""
    limits = [Limit(profile="cpu", share=0.7), Limit(profile="eyeriss", share=0.25)]
    asked = replace(problem(limits=limits, sparsities=(0.5, 0.9), patterns=("unstructured", "channel")))
    model = chain((8, 12))
    asked = replace(asked, model=model, cost_models=devices(model))
    here = terrain(asked)
    space = here.prices.space
    at = neutral(here, device="cpu", band=1.0, pruner="magnitude")
    best = min(
        sum(float(e[i]) ** at["sharpness"] for e, i in zip(here.errors, choice, strict=True))
        for choice in product(*(range(len(unit.options)) for unit in space.units))
        if here.limits.hold(price_plan(model, space.plan(choice, ""), asked.cost_models))
    )
    found = decode(at, here)
    assert here.limits.hold(found.costs)
    assert sum(error_of(p, name) ** at["sharpness"] for name, p in found.plan.patterns.items()) <= 1.1 * best + 1e-9

"""Proposals: prices that hold, first trials along the front, samplers that know what was before."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.candidates import candidates
from app.search.coordinates import Terrain, decode, distributions, neutral
from app.search.price import cost_table, price_plan, reachable_range, remembered
from app.search.propose import FIRST, propose, seeds
from app.search.run import Problem
from app.search.solve import pareto_front_2d
from app.search.space import space
from app.search.spec import Limit, SamplerName
from app.search.trial import Trial
from pruning.layers import ModelSpec
from tests.app.search.fakes import FakeExecutor, devices, error_of, follow, problem
from tests.costmodels.models import chain, shared_stage

LIMITS = (Limit(profile="cpu", share=0.4), Limit(profile="eyeriss", share=0.3))


def terrain(asked: Problem) -> Terrain:
    """What a search of this problem decodes against, with the made-up errors."""
    cost_models = remembered(asked.cost_models)
    built = space(asked.model, asked.spec, cost_models)
    errors = [[sum(error_of(p, name) for name, p in o.patterns.items()) for o in unit.options] for unit in built.units]
    return Terrain(
        spec=asked.spec,
        model=asked.model,
        space=built,
        table=cost_table(asked.model, built, cost_models),
        errors=tuple(np.array(row) for row in errors),
        reachable={key: reachable_range(asked.model, built, key, m) for key, m in cost_models.items()},
        cost_models=cost_models,
    )


FREE, LIMITED = terrain(problem()), terrain(problem(limits=LIMITS))


@st.composite
def coordinates(draw: st.DrawFn) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, distribution in distributions(FREE.spec).items():
        if choices := getattr(distribution, "choices", None):
            found[name] = draw(st.sampled_from(choices))
        else:
            found[name] = draw(st.floats(distribution.low, distribution.high))  # type: ignore[attr-defined]
    return found


@given(coordinates())
@settings(max_examples=40, deadline=None)
def test_every_plan_keeps_every_limit_at_its_exact_price(found: dict[str, object]) -> None:
    proposal = decode(found, LIMITED)
    exact = price_plan(LIMITED.model, proposal.plan, devices())
    assert exact == proposal.costs
    assert proposal.feasible
    for cost, limit in zip(exact, LIMITS, strict=True):
        assert limit.share
        assert cost.latency_ms <= limit.share * LIMITED.reachable[cost.profile].dense_ms * (1 + 1e-6)


@given(coordinates())
@settings(max_examples=40, deadline=None)
def test_a_plan_takes_no_more_than_its_band_allows(found: dict[str, object]) -> None:
    strongest_ms, mildest_ms = FREE.band_ms(str(found["device"]))
    proposal = decode(found, FREE)
    here_ms = {cost.profile: cost.latency_ms for cost in proposal.costs}[str(found["device"])]
    band = found["band"]
    assert isinstance(band, float)
    assert here_ms <= (strongest_ms + band * (mildest_ms - strongest_ms)) * (1 + 1e-6)


def test_neutral_coordinates_give_the_least_error_there_is_within_the_band() -> None:
    """Against every plan of a small space, at its exact price."""
    asked = replace(problem(profiles=("cpu",), sparsities=(0.5, 0.9)), model=chain((8, 12)))
    asked = replace(asked, cost_models={"cpu": devices(asked.model)["cpu"]})
    here = terrain(asked)
    every = list(product(*(range(len(unit.options)) for unit in here.space.units)))
    priced = [price_plan(asked.model, here.space.plan(c, "magnitude"), here.cost_models)[0].latency_ms for c in every]
    total = [sum(float(e[i]) for e, i in zip(here.errors, choice, strict=True)) for choice in every]
    strongest_ms, mildest_ms = here.band_ms("cpu")
    for band in (0.25, 0.5, 1.0):
        target_ms = strongest_ms + band * (mildest_ms - strongest_ms)
        best = min(error for error, ms in zip(total, priced, strict=True) if ms <= target_ms)
        plan = decode(neutral(asked.spec, device="cpu", band=band, pruner="magnitude"), here).plan
        found = sum(error_of(pattern, name) for name, pattern in plan.patterns.items())
        assert found <= best * 1.25 + 1e-9, "the additive table only nearly knows the exact prices"


def test_a_plan_that_was_tried_is_passed_over() -> None:
    at = neutral(FREE.spec, device="eyeriss", band=0.5, pruner="magnitude")
    first = decode(at, FREE)
    second = decode(at, FREE, [first.plan.digest])
    assert second.plan.digest != first.plan.digest
    assert second.costs[1].latency_ms <= first.costs[1].latency_ms


def test_the_first_trials_go_evenly_along_the_front_of_every_device() -> None:
    found = seeds(terrain(problem(trials=24)))
    for device in ("cpu", "eyeriss"):
        bands = [at["band"] for at in found if at["device"] == device]
        assert bands == pytest.approx(np.linspace(0, 1, len(bands)).tolist())
        assert {at["pruner"] for at in found if at["device"] == device} == {"magnitude", "pdp"}
    assert 8 <= len(found) <= 14
    assert all(value == 0.0 for at in found for name, value in at.items() if name.startswith("bias"))
    assert len(seeds(terrain(problem(trials=1)))) == 1


def history(sampler: SamplerName, trials: int) -> tuple[Terrain, list[Trial]]:
    asked = problem(sampler=sampler, trials=trials)
    return terrain(asked), follow(asked, FakeExecutor()).history()


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_batch_does_not_depend_on_how_many_follow_it(sampler: SamplerName) -> None:
    here, before = history(sampler, 12)
    wide = propose(here, before, range(14, 18))
    assert propose(here, before, range(14, 16)) == wide[:2]
    assert propose(here, list(reversed(before)), range(14, 18)) == wide


@pytest.mark.parametrize("sampler", ["tpe", "random"])  # children of NSGA-II may inherit theirs
def test_every_trial_draws_its_own_coordinates(sampler: SamplerName) -> None:
    here, before = history(sampler, 24)
    drawn = [trial.coordinates["band"] for trial in before[FIRST + len(seeds(here)) :]]
    assert len(drawn) >= 10
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_samplers_learn_from_results(sampler: SamplerName) -> None:
    here, before = history(sampler, 24)
    mirrored = [t.evolve(measurements=tuple(replace(m, value=1.0 - m.value) for m in t.measurements)) for t in before]
    numbers = range(26, 28)
    found, others = propose(here, before, numbers), propose(here, mirrored, numbers)
    assert [t.coordinates for t in found] != [t.coordinates for t in others]


def test_without_its_attributes_nsga2_would_forget_its_generations() -> None:
    """The trap: Optuna takes trials without its private attribute for nobody's parents, and says nothing."""
    here, before = history("nsga2", 24)
    key = "NSGAIISampler:generation"
    generations = [trial.sampler_attributes[key] for trial in before[FIRST:]]
    assert set(generations[: len(seeds(here))]) == {0}
    assert generations[-1] >= 1, "24 trials are enough for a second generation"
    bare = [trial.evolve(sampler_attributes={}) for trial in before]
    found, forgetful = propose(here, before, [26])[0], propose(here, bare, [26])[0]
    assert found.sampler_attributes[key] > forgetful.sampler_attributes[key] == 0
    assert found.coordinates != forgetful.coordinates


def test_failed_trials_teach_nothing_but_do_no_harm() -> None:
    here, before = history("tpe", 12)
    broken = [t.evolve(state="failed", measurements=()) if t.number % 3 == 0 else t for t in before]
    (found,) = propose(here, broken, [14])
    assert found.state == "queued"


@pytest.mark.parametrize("model", [shared_stage(), chain()], ids=["shared", "chain"])
def test_candidates_are_the_front_of_every_combination_of_a_unit(model: ModelSpec) -> None:
    asked = problem(profiles=("eyeriss",))
    cost_models = {"eyeriss": devices(model)["eyeriss"]}
    here = terrain(replace(asked, model=model, cost_models=cost_models))
    found = candidates(here.space, here.table, 0, here.errors)
    for index, unit in enumerate(here.space.units):
        combined = [tuple(i for i in pick if i) for pick in product(*(unit.own(layer) for layer in unit.layers))]
        every = [*combined, *((i,) for i in unit.joint)]
        costs = np.array([float(here.table.choice_ms(index, choice)[0]) for choice in every])
        errors = np.array([sum(float(here.errors[index][i]) for i in choice) for choice in every])
        truth = pareto_front_2d(costs, errors)
        front = pareto_front_2d(found.costs[index], found.errors[index])
        assert found.costs[index][front].min() == pytest.approx(costs[truth].min())
        for cost, error in zip(found.costs[index], found.errors[index], strict=True):
            assert np.any(np.isclose(costs, cost) & np.isclose(errors, error)), "no price is made up"
        slack = 0.05 * float(np.ptp(costs)) if unit.combinable else 1e-12  # a front of many points is thinned
        for cost, error in zip(costs[truth], errors[truth], strict=True):
            assert found.errors[index][found.costs[index] <= cost + slack].min() <= error + 1e-9

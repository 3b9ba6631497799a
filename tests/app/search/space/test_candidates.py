"""What the solver is given: every unit's choices, and the sums that it adds up."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from app.search.solve import pareto_front_2d
from app.search.space.candidates import candidates, weighted
from pruning.layers import ModelSpec
from tests.app.search.fakes import devices, problem, terrain
from tests.costmodels.models import chain, shared_stage


@pytest.mark.parametrize("model", [shared_stage(), chain()], ids=["shared", "chain"])
def test_candidates_are_the_front_of_every_combination_of_a_unit(model: ModelSpec) -> None:
    asked = problem(profiles=("eyeriss",))
    cost_models = {"eyeriss": devices(model)["eyeriss"]}
    here = terrain(replace(asked, model=model, cost_models=cost_models))
    found = candidates(here.prices.space, weighted(here.prices.table, {"eyeriss": 1.0}), here.errors)
    for index, unit in enumerate(here.prices.space.units):
        combined = [tuple(i for i in pick if i) for pick in product(*(unit.own(layer) for layer in unit.layers))]
        every = [*combined, *((i,) for i in unit.joint)]
        costs = np.array([float(here.prices.table.choice_ms(index, choice)[0]) for choice in every])
        errors = np.array([sum(float(here.errors[index][i]) for i in choice) for choice in every])
        truth = pareto_front_2d(costs, errors)
        front = pareto_front_2d(found.costs[index], found.errors[index])
        assert found.costs[index][front].min() == pytest.approx(costs[truth].min())
        for cost, error in zip(found.costs[index], found.errors[index], strict=True):
            assert np.any(np.isclose(costs, cost) & np.isclose(errors, error)), "no price is made up"
        slack = 0.05 * float(np.ptp(costs)) if unit.combinable else 1e-12  # a front of many points is thinned
        for cost, error in zip(costs[truth], errors[truth], strict=True):
            assert found.errors[index][found.costs[index] <= cost + slack].min() <= error + 1e-9


@pytest.mark.parametrize("model", [shared_stage(), chain()], ids=["shared", "chain"])
def test_what_is_picked_costs_and_errs_as_the_solver_says(model: ModelSpec) -> None:
    here = terrain(replace(problem(), model=model, cost_models=devices(model)))
    weights = {"cpu": 0.3, "eyeriss": 2.0}
    found = candidates(here.prices.space, weighted(here.prices.table, weights), here.errors)
    front = found.solve()
    for row in range(0, len(front), 7):
        choices = found.picked(front.choices[row])
        cpu_ms, eyeriss_ms = here.prices.table.total(choices) - here.prices.table.overhead_ms
        assert front.costs[row] == pytest.approx(0.3 * cpu_ms + 2.0 * eyeriss_ms)
        flat = [[choice] if isinstance(choice, int) else choice for choice in choices]
        error = sum(float(e[i]) for e, picked in zip(here.errors, flat, strict=True) for i in picked)
        assert front.errors[row] == pytest.approx(error)
        here.prices.space.plan(choices, "magnitude").kept_channels(model)  # raises where choices contradict


def test_a_device_without_a_weight_costs_nothing() -> None:
    here = terrain(problem())
    assert all(np.all(cost == 0.0) for cost in weighted(here.prices.table, {}))
    for cost, unit_ms in zip(weighted(here.prices.table, {"eyeriss": 1.0}), here.prices.table.units_ms, strict=True):
        assert cost.tolist() == unit_ms[:, 1].tolist()


@pytest.mark.parametrize("model", [shared_stage(), chain()], ids=["shared", "chain"])
def test_no_plan_is_below_the_bound_though_combinations_are_thinned(model: ModelSpec) -> None:
    asked = problem(profiles=("eyeriss",))
    here = terrain(replace(asked, model=model, cost_models={"eyeriss": devices(model)["eyeriss"]}))
    found = candidates(here.prices.space, weighted(here.prices.table, {"eyeriss": 1.0}), here.errors)
    overhead_ms = float(here.prices.table.overhead_ms[0])
    bound, draw = found.bound(overhead_ms), np.random.default_rng(0)
    for _ in range(300):
        cost_ms, error = overhead_ms, 0.0
        for index, unit in enumerate(here.prices.space.units):
            own = [draw.choice(unit.own(layer)) for layer in unit.layers]
            choice = [int(i) for i in own if i] or [0]
            if unit.joint and draw.random() < 0.5:
                choice = [int(draw.choice(unit.joint))]
            cost_ms += float(here.prices.table.choice_ms(index, tuple(choice))[0])
            error += sum(float(here.errors[index][i]) for i in choice)
        assert bound.at(cost_ms) <= error + 1e-9
    front = found.solve()
    assert np.all(bound.at(front.costs + overhead_ms) <= front.errors + 1e-9)
    assert np.mean(front.errors - bound.at(front.costs + overhead_ms)) < 0.02 * float(np.ptp(front.errors))

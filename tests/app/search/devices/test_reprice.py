"""Thousands of stored plans on another device: equal, to the last bit, to pricing each of them alone."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.devices.reprice import reprice
from app.search.space.price import price_plan
from costmodels.base import CostModel, LayerCost, NetworkGroup
from costmodels.calibrate import Calibrated, Calibration
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import NM, Channel, Dense, Pattern, Unstructured
from pruning.plan import PruningPlan
from tests.app.search.fakes import MODEL, devices
from tests.costmodels.models import blocks, shared_stage
from tests.costmodels.test_network import ByHand

OWN = (Dense(), Unstructured(0.3), Unstructured(0.9), NM(2, 4))
CUTS = (Channel(0.25), Channel(0.5))


def plans_of(model: ModelSpec, count: int, seed: int) -> list[PruningPlan]:
    """Legal plans at random; layers that share channels lose the same ones."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        chosen: dict[str, Pattern] = {layer.name: draw.choice(OWN) for layer in model.layers}
        for layer in model.layers:
            family = model.family_of(layer.name)
            if family and draw.random() < 0.4:
                cut = draw.choice(CUTS)
                chosen |= {name: cut for group in family for name in group.producers}
        found.append(PruningPlan(pruner="magnitude", patterns={n: p for n, p in chosen.items() if p != Dense()}))
    return found


class Worded(ByHand):
    """The words and intervals change with the pattern; some intervals are not known."""

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        stored = 4.0 * now.weights * pattern.density
        cost = replace(super().cost(dense, now, pattern), energy_mj=0.1 + stored / 3, weight_bytes=stored)
        if isinstance(pattern, NM):
            return replace(cost, source="vendor", derivation="modelled", energy_mj=None)
        return replace(cost, low_ms=cost.latency_ms * 0.7, high_ms=cost.latency_ms * 1.3)


def groups_of(model: ModelSpec) -> tuple[NetworkGroup, ...]:
    names = [layer.name for layer in model.layers]
    return (
        NetworkGroup(rule="cluster_threshold", layers=tuple(names[:3]), min_sparsity=0.5),
        NetworkGroup(rule="cluster_threshold", layers=tuple(names[2:]), min_sparsity=0.4),
        NetworkGroup(rule="parallel_max", layers=tuple(names[1:3])),
    )


def same(model: ModelSpec, plans: list[PruningPlan], cost_model: CostModel) -> None:
    expected = [price_plan(model, plan, {"new": cost_model})[0] for plan in plans]
    assert reprice(model, [plan.to_json() for plan in plans], "new", cost_model) == expected


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), grouped=st.booleans(), width=st.sampled_from([None, 0.2, 1.5]))
@pytest.mark.parametrize("model", [blocks(16, 2), shared_stage()], ids=["blocks", "shared stage"])
def test_prices_equal_those_of_each_plan_alone(model: ModelSpec, seed: int, grouped: bool, width: float | None) -> None:
    device = Worded(groups=groups_of(model) if grouped else (), half_width=width)
    same(model, plans_of(model, 12, seed), device)


@pytest.mark.parametrize("name", ["cpu", "eyeriss"])
def test_on_a_measured_and_an_analytical_device_and_under_a_calibration(name: str) -> None:
    device, plans = devices()[name], plans_of(MODEL, 40, 1)
    same(MODEL, plans, device)
    calibration = Calibration(profile="p", method="affine", factor=1.7, offset_ms=0.2, half_width=0.1)
    same(MODEL, plans, Calibrated(device, calibration))


def test_no_plans_have_no_prices_and_a_device_without_overhead_says_nothing_of_it() -> None:
    assert reprice(MODEL, [], "new", ByHand()) == []
    same(MODEL, plans_of(MODEL, 5, 2), ByHand(overhead_ms=0.0))


def test_a_layer_is_asked_about_once_a_combination() -> None:
    device = ByHand()
    plans = plans_of(MODEL, 10, 3)
    reprice(MODEL, [plan.to_json() for plan in plans * 50], "new", device)
    asked = len(device.asked)
    assert asked <= 10 * len(MODEL.layers)

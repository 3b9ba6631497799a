"""Limits: the tightest counts, shares are of dense, and what no plan can keep is said before anything runs."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from app.search.errors import SearchFailed
from app.search.proposals.coordinates import neutral
from app.search.proposals.decode import decode
from app.search.run import Problem
from app.search.space.limits import Limits
from app.search.space.price import price_plan
from app.search.spec import Limit
from app.search.trial import TrialCost
from costmodels.base import LayerCost, NetworkGroup, Source
from pruning.layers import LayerSpec
from pruning.patterns import Pattern
from tests.app.search.fakes import FakeExecutor, follow, problem, terrain

REACHABLE = terrain(problem()).prices.reachable


@dataclass(frozen=True)
class Fond:
    """A device on which every layer takes 1 ms, and half of that under the one pattern that it likes."""

    name: str
    kind: str
    batch: int = 1
    precision: str = "float32"
    overhead_ms: float = 0.0
    overhead_source: Source = "analytical"
    groups: tuple[NetworkGroup, ...] = ()
    half_width: float | None = None

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:  # noqa: ARG002 - shapes are free
        latency_ms = 0.5 if pattern.kind == self.kind else 1.0
        return LayerCost(latency_ms=latency_ms, source="analytical", derivation="modelled")


def opposed(share: float, **fields: Any) -> Problem:
    """Two devices that like different patterns, and the same limit on both."""
    limits = [Limit(profile=name, share=share) for name in ("one", "other")]
    spec = problem(sparsities=(0.5,), **fields).spec
    spec = replace(spec, profiles=("one", "other"), limits=tuple(limits))
    cost_models = {"one": Fond("one", "unstructured"), "other": Fond("other", "nm")}
    return replace(problem(), spec=spec, cost_models=cost_models)


def test_the_tightest_limit_counts_and_shares_are_of_dense() -> None:
    dense_ms = REACHABLE["cpu"].dense_ms
    asked = [Limit(profile="cpu", share=0.5), Limit(profile="cpu", latency_ms=0.4 * dense_ms)]
    found = Limits.of(problem(limits=asked).spec, REACHABLE)
    assert found.by_profile_ms == {"cpu": 0.4 * dense_ms}
    assert found.tightened("cpu", 0.3).by_profile_ms["cpu"] == min(0.3, 0.4 * dense_ms)
    assert found.tightened("cpu", 1e9) == found
    assert set(found.tightened("eyeriss", 1.0).by_profile_ms) == {"cpu", "eyeriss"}


@pytest.mark.parametrize(("latency_ms", "holds"), [(1.0, True), (1.0 + 1e-12, True), (1.001, False)])
def test_a_limit_holds_up_to_rounding(latency_ms: float, holds: bool) -> None:
    costs = [TrialCost(profile=name, latency_ms=latency_ms, sources={}, derivations={}) for name in ("a", "b")]
    assert Limits({"b": 1.0}).hold(costs) is holds
    assert Limits({}).hold(costs)


@pytest.mark.parametrize("device", ["one", "other"])
@pytest.mark.parametrize("band", [0.8, 0.9, 1.0])
def test_limits_that_only_a_plan_between_the_fronts_keeps_are_kept_at_little_error(device: str, band: float) -> None:
    """Each front is good for its own device alone. Against every plan there is, with the target and without."""
    here = terrain(opposed(0.85))
    space, errors = here.prices.space, here.errors
    strongest_ms, mildest_ms = here.band_ms(device)
    aimed = here.limits.tightened(device, strongest_ms + band * (mildest_ms - strongest_ms))
    found = decode(neutral(here, device=device, band=band, pruner="magnitude"), here)
    holding = []
    for choice in product(*(range(len(unit.options)) for unit in space.units)):
        plan = space.plan(choice, "magnitude")
        if aimed.hold(price_plan(here.prices.model, plan, here.prices.cost_models)):
            holding.append((sum(float(e[i]) for e, i in zip(errors, choice, strict=True)), plan))
    best = min(error for error, _ in holding)
    assert aimed.hold(found.costs)
    assert min(error for error, plan in holding if plan == found.plan) == pytest.approx(best), "exact"


def test_a_target_that_excludes_the_limits_is_given_up() -> None:
    here = terrain(opposed(0.85))
    for device in ("one", "other"):
        found = decode(neutral(here, device=device, band=0.0, pruner="magnitude"), here)
        assert here.limits.hold(found.costs)
    trials = follow(opposed(0.85, trials=6), FakeExecutor()).history()[2:]
    assert all(here.limits.hold(trial.costs) for trial in trials)
    assert {trial.state for trial in trials} == {"complete"}


def test_limits_that_exclude_each_other_are_answered_before_anything_runs() -> None:
    executor = FakeExecutor()
    with pytest.raises(SearchFailed, match="each limit can be kept, but no plan was found") as caught:
        follow(opposed(0.6), executor)
    assert executor.submitted == []
    assert caught.value.code == "limit_unreachable"
    assert set(caught.value.details["lowest_ms"]) == {"one", "other"}

"""Coupled tables against the network function: equal where two sides hold a price, never above it elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.solve.chain import Chain, NotAChain
from app.search.space.build import space
from app.search.space.coupling import Coupling, coupled, coupling
from app.search.spec import SearchSpec
from tests.app.search.coupled_spaces import ESTIMATED, EXACT, Ground, ground

SEEDS = st.integers(0, 10**6)


def of(here: Ground) -> Coupling:
    return coupling(here.model, here.space, here.cost_model, here.errors)


@pytest.mark.parametrize("device", ["cpu", "eyeriss"])
@pytest.mark.parametrize("name", sorted(EXACT))
def test_prices_and_errors_of_any_choice_are_the_network_functions(name: str, device: str) -> None:
    here = ground(name, device)
    found = of(here)
    assert found.exact and found.floor is found.problem and coupled(here.space)

    @settings(max_examples=25, deadline=None)
    @given(SEEDS)
    def holds(seed: int) -> None:
        choices = here.drawn(seed)
        costs, error = found.problem.priced(found.widths(choices), frozenset())
        assert costs[0] == pytest.approx(here.exact_ms(choices), rel=1e-12)
        assert error == pytest.approx(here.error(choices))

    holds()


@pytest.mark.parametrize("name", [*sorted(EXACT), *ESTIMATED])
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_widths_and_choices_are_each_others_inverse(name: str, seed: int) -> None:
    here = ground(name)
    choices, found = here.drawn(seed), of(here)
    assert here.space.plan(found.choices(found.widths(choices)), "") == here.space.plan(choices, "")


@pytest.mark.parametrize("name", ESTIMATED)
def test_what_two_sides_cannot_hold_is_named_and_its_floor_is_never_above(name: str) -> None:
    here = ground(name)
    found = of(here)
    assert set(found.estimated) == {"concat": {"reader"}, "parallel": {"first", "second"}}.get(
        name, {"first", "reader"}
    )
    below, off = [], []
    for seed in range(60):
        choices = here.drawn(seed)
        widths, exact_ms = found.widths(choices), here.exact_ms(choices)
        below.append(float(found.floor.priced(widths, frozenset())[0][0]) / exact_ms)
        off.append(float(found.problem.priced(widths, frozenset())[0][0]) / exact_ms)
    assert max(below) <= 1 + 1e-12
    assert np.median(below) > 0.7, "of some use"
    assert max(np.abs(np.array(off) - 1)) > 1e-3, "else there was nothing to name"


def test_one_branch_of_a_concat_alone_is_exact() -> None:
    here = ground("concat")
    found = of(here)
    for number, unit in enumerate(here.space.units):
        for option in range(len(unit.options)):
            choices = [0] * len(here.space.units)
            choices[number] = option
            costs, _ = found.problem.priced(found.widths(choices), frozenset())
            assert costs[0] == pytest.approx(here.exact_ms(choices))


@pytest.mark.parametrize("name", [*sorted(EXACT), "concat"])
def test_plain_and_residual_nets_are_chains(name: str) -> None:
    Chain.of(of(ground(name)).problem)


def test_without_its_blocks_a_residual_net_is_a_ring() -> None:
    problem = of(ground("residual")).problem
    with pytest.raises(NotAChain):
        Chain.of(replace(problem, layers=[replace(layer, block=None) for layer in problem.layers]))


def test_other_errors_leave_prices_as_they_are() -> None:
    here = ground("residual")
    found, choices = of(here), here.drawn(3)
    twice = found.trusting([2.0 * error for error in here.errors])
    one, other = (each.problem.priced(each.widths(choices), frozenset()) for each in (found, twice))
    assert other[0] == pytest.approx(one[0]) and other[1] == pytest.approx(2.0 * one[1])


def test_a_space_without_channels_is_not_coupled() -> None:
    here = ground("residual")
    spec = SearchSpec(model="m", dataset="d", profiles=("e",), patterns=("unstructured",))
    assert not coupled(space(here.model, spec, {"e": here.cost_model}))

"""Fronts and offers against brute force at exact prices."""

import numpy as np
import pytest

from app.search.solve.milp import Effort
from app.search.space.coupled_front import Couplings, coupled_front
from app.search.space.coupling import coupling
from tests.app.search.coupled_spaces import ESTIMATED, Ground, ground


def couplings(here: Ground) -> Couplings:
    return Couplings(here.model, here.space, {"d": here.cost_model})


@pytest.mark.parametrize("name", ["chain", "shared", "separable"])
def test_offers_are_the_best_plans_within_any_limit(name: str) -> None:
    here = ground(name)
    known = [(here.exact_ms(choices), here.error(choices)) for choices in here.every()]
    lowest, dense = min(ms for ms, _ in known), here.exact_ms([0] * len(here.space.units))
    for share in (0.0, 0.1, 0.3, 0.6, 1.0):
        limit_ms = lowest + share * (dense - lowest)
        offered = list(couplings(here).offers("d", here.errors, limit_ms))
        best = min(error for ms, error in known if ms <= limit_ms * (1 + 1e-9))
        assert here.error(offered[0]) == pytest.approx(best)
        assert all(here.exact_ms(choices) <= limit_ms * (1 + 1e-9) for choices in offered)
        assert len({str(choices) for choices in offered}) == len(offered)
    assert list(couplings(here).offers("d", here.errors, 0.9 * lowest)) == []


@pytest.mark.parametrize("name", ["chain", "residual"])
def test_the_front_is_proven_where_it_says_so(name: str) -> None:
    here = ground(name)
    front = couplings(here).front("d", here.errors)
    assert np.all(np.diff(front.latencies_ms) > 0) and np.all(np.diff(front.errors) < 0)
    for choices, ms, error in zip(front.choices, front.latencies_ms, front.errors, strict=True):
        assert ms == pytest.approx(here.exact_ms(choices)) and error == pytest.approx(here.error(choices))
    assert np.mean(front.gaps <= 1e-6 * front.errors + 1e-9) > 0.8
    for seed in range(200):
        choices = here.drawn(seed)
        assert front.bound.at(here.exact_ms(choices)) <= here.error(choices) + 1e-12


@pytest.mark.parametrize("name", ESTIMATED)
def test_where_prices_are_estimated_plans_keep_their_limit_all_the_same(name: str) -> None:
    here = ground(name)
    front = couplings(here).front("d", here.errors)
    assert all(front.bound.at(here.exact_ms(c)) <= here.error(c) + 1e-12 for c in map(here.drawn, range(200)))
    limit_ms = 0.5 * here.exact_ms([0] * len(here.space.units))
    first = next(couplings(here).offers("d", here.errors, limit_ms))
    assert here.exact_ms(first) <= limit_ms * (1 + 1e-9)


def test_a_graph_that_is_no_chain_gives_its_supported_plans_and_more_with_an_effort(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.search.space.coupling.in_blocks", lambda problem: problem)  # so a ring stays one
    here = ground("residual")
    found = coupling(here.model, here.space, here.cost_model, here.errors)
    plain = coupled_front(found, here.exact_ms, limits=6)
    more = coupled_front(found, here.exact_ms, limits=6, effort=Effort(nodes=50))
    assert np.all(plain.gaps <= 1e-6 * plain.errors + 1e-9), "supported plans are proven at their own prices"
    assert len(more.errors) > len(plain.errors) > 2
    limit_ms = float(plain.latencies_ms[len(plain.errors) // 2])
    first = next(couplings(here).offers("d", here.errors, limit_ms))
    assert here.error(first) == pytest.approx(float(plain.errors[len(plain.errors) // 2]))

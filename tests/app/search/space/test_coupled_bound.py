"""The bound against brute force at exact prices: never on the wrong side, and close."""

import numpy as np
import pytest

from app.search.space import coupled_bound
from app.search.space.coupled_bound import bound_of
from app.search.space.coupling import coupling
from tests.app.search.coupled_spaces import ESTIMATED, ground

SPARSITIES = (0.5, 0.9)


def every(name: str, device: str) -> tuple[np.ndarray, np.ndarray]:
    here = ground(name, device, SPARSITIES)
    pairs = [(here.exact_ms(choices), here.error(choices)) for choices in here.every()]
    return np.array([ms for ms, _ in pairs]), np.array([error for _, error in pairs])


@pytest.mark.parametrize("device", ["cpu", "eyeriss"])
@pytest.mark.parametrize("name", ["chain", "shared", "separable", *ESTIMATED])
def test_no_plan_at_its_exact_price_is_below_the_bound(name: str, device: str) -> None:
    here = ground(name, device, SPARSITIES)
    found = coupling(here.model, here.space, here.cost_model, here.errors)
    bound, _ = bound_of(found.floor)
    latencies_ms, errors = every(name, device)
    assert np.all(bound.at(latencies_ms) <= errors + 1e-12)
    assert bound.lowest <= latencies_ms.min() * (1 + 1e-12)
    if found.exact:
        assert bound.lowest == pytest.approx(latencies_ms.min())
        assert bound.at(bound.highest) == pytest.approx(0.0, abs=1e-9)
        assert np.isinf(bound.at(0.99 * bound.lowest))


@pytest.mark.parametrize("name", ["chain", "shared", "separable"])
def test_its_lines_touch_the_convex_hull_of_all_plans(name: str) -> None:
    here = ground(name, "eyeriss", SPARSITIES)
    bound, met = bound_of(coupling(here.model, here.space, here.cost_model, here.errors).problem)
    latencies_ms, errors = every(name, "eyeriss")
    for price, value in zip(bound.prices, bound.values, strict=True):
        assert value == pytest.approx(float(np.min(errors + price * latencies_ms)))
    assert len(met) >= 3


def test_tables_too_large_to_hold_lower_the_bound_but_never_raise_it(monkeypatch: pytest.MonkeyPatch) -> None:
    here = ground("residual")
    problem = coupling(here.model, here.space, here.cost_model, here.errors).problem
    sharp, _ = bound_of(problem)
    monkeypatch.setattr(coupled_bound, "_CELLS", 1)
    blunt, _ = bound_of(problem)
    rooms = np.linspace(sharp.lowest, sharp.highest, 50)
    assert np.all(blunt.at(rooms) <= sharp.at(rooms) + 1e-9)
    assert np.any(blunt.at(rooms) < sharp.at(rooms) - 1e-3)

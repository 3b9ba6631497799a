"""Uniform plans: the same everywhere it is legal, the mildest that keeps its target."""

import pytest

from app.search.coordinates import neutral
from app.search.uniform import families, uniform_plan
from tests.app.search.fakes import problem, terrain

HERE = terrain(problem())


def test_a_family_has_a_plan_for_every_strength_from_the_mildest_on() -> None:
    space = HERE.prices.space
    found = families(space)
    assert len(found) == 3, "unstructured, 2:4 and channels"
    for plans in found:
        densities = []
        for choices in plans:
            patterns = space.patterns(choices).values()
            assert len({pattern.kind for pattern in patterns}) == 1
            densities.append(sum(pattern.density for pattern in patterns) / len(patterns))
        assert densities == sorted(densities, reverse=True)


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("band", [0.1, 0.4, 0.8])
def test_it_is_the_mildest_of_its_family_within_the_target(turn: int, band: float) -> None:
    at = neutral(HERE, device="eyeriss", band=band, pruner="magnitude")
    found = uniform_plan(HERE, at, turn)
    assert found is not None
    target_ms = HERE.target_ms("eyeriss", band)
    latency_ms = {cost.profile: cost.latency_ms for cost in found.costs}["eyeriss"]
    assert latency_ms <= target_ms * (1 + 1e-9)
    kinds = {pattern.kind for pattern in found.plan.patterns.values()}
    assert len(kinds) == 1
    again = uniform_plan(
        HERE, neutral(HERE, device="eyeriss", band=band, pruner="magnitude"), turn, [found.plan.digest]
    )
    assert again is None or {pattern.kind for pattern in again.plan.patterns.values()} != kinds


def test_when_every_family_was_tried_there_is_none() -> None:
    at = neutral(HERE, device="eyeriss", band=0.3, pruner="magnitude")
    taken: list[str] = []
    while found := uniform_plan(HERE, at, 0, taken):
        taken.append(found.plan.digest)
    assert 1 <= len(taken) <= 3

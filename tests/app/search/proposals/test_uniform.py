"""Uniform plans: the same everywhere it is legal, the mildest that keeps its target."""

from typing import Any

import pytest

from app.search.proposals.coordinates import neutral
from app.search.proposals.decode import priced
from app.search.proposals.uniform import families, uniform_plan
from pruning.plan import PruningPlan
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


@pytest.mark.parametrize("band", [0.1, 0.4, 0.8])
def test_it_is_the_mildest_of_its_family_within_the_target_and_the_best_of_all_families(band: float) -> None:
    at = neutral(HERE, device="eyeriss", band=band, pruner="magnitude")
    found = uniform_plan(HERE, at)
    assert found is not None
    best = min(error for error, _ in mildest(at))
    assert best == pytest.approx(min(error for error, plan in mildest(at) if plan == found.plan))


def mildest(at: dict[str, Any]) -> list[tuple[float, PruningPlan]]:
    """Slowly: by family the first plan within the target, with its error under the usual sharpness."""
    space, found = HERE.prices.space, []
    for plans in families(space):
        for choices in plans:
            proposal = priced(choices, at, HERE)
            latency_ms = {cost.profile: cost.latency_ms for cost in proposal.costs}["eyeriss"]
            if latency_ms <= HERE.target_ms("eyeriss", at["band"]) * (1 + 1e-9):
                indices = [[choice] if isinstance(choice, int) else choice for choice in choices]
                pairs = zip(HERE.errors, indices, strict=True)
                found.append((sum(float(errors[i]) ** 2 for errors, row in pairs for i in row), proposal.plan))
                break
    return found


def test_when_every_family_was_tried_there_is_none() -> None:
    at = neutral(HERE, device="eyeriss", band=0.3, pruner="magnitude")
    taken: list[str] = []
    while found := uniform_plan(HERE, at, taken):
        assert found.plan.digest not in taken
        taken.append(found.plan.digest)
    assert len(taken) == len({plan.digest for _, plan in mildest(at)})

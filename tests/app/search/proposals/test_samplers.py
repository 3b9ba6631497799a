"""Samplers alone: replayable, deaf or not, constrained, and refused where they do not serve."""

from collections.abc import Callable
from math import log

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from app.search.errors import SearchFailed
from app.search.proposals.samplers import GENERATION, MOST_GP_DIMENSIONS, Draw, Sampling, Told, check
from app.search.spec import SamplerName
from tests.app.search.fakes import problem

SPACE: dict[str, BaseDistribution] = {
    "band": FloatDistribution(0.0, 1.0),
    "x": FloatDistribution(-1.0, 1.0),
    "tau": FloatDistribution(0.01, 1.0, log=True),
    "pruner": CategoricalDistribution(("a", "b")),
}
SAMPLERS: tuple[SamplerName, ...] = ("tpe", "nsga2", "gp", "qmc", "random", "grid")


def sampling(sampler: SamplerName, told: int = 0, bad: Callable[[float], float] = lambda _: 0.0) -> Sampling:
    """A sampler after `told` random trials whose loss is x²; `bad` is by how much x breaks a limit."""
    found = Sampling(problem(sampler=sampler, seed=4).spec, SPACE, 4, 2)
    given = Sampling(problem(sampler="random").spec, SPACE, 4, 2)
    for number in range(told):
        at, _ = given.draw(Draw(number=number, turn=number, fixed={}))
        found.tell(
            Told(
                coordinates=at,
                values=(at["x"] ** 2, at["band"]),
                attributes={GENERATION: 0},
                violations={"limit": bad(at["x"])},
            )
        )
    return found


def draws(of: Sampling, numbers: range) -> list[dict[str, object]]:
    return [of.draw(Draw(number=n, turn=n, fixed={"band": 0.25}))[0] for n in numbers]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_draw_keeps_what_is_fixed_and_is_the_same_again(sampler: SamplerName) -> None:
    found = draws(sampling(sampler, 6), range(6, 9))
    assert found == draws(sampling(sampler, 6), range(6, 9))
    for at in found:
        assert list(at) == list(SPACE)
        assert at["band"] == 0.25
        assert all(SPACE[name]._contains(SPACE[name].to_internal_repr(value)) for name, value in at.items())


@pytest.mark.parametrize("sampler", ["qmc", "grid"])
def test_a_sequence_covers_every_value_evenly(sampler: SamplerName) -> None:
    found = draws(sampling(sampler), range(18))
    assert sum(at["pruner"] == "a" for at in found) in (8, 9, 10)
    logs = sorted(log(float(str(at["tau"]))) for at in found)
    assert logs[0] < log(0.03) and logs[-1] > log(0.3)
    assert len({tuple(at.values()) for at in found}) == 18, "18 points of a grid of 3 x 3 x 2, or of a sequence"
    if sampler == "grid":
        assert draws(sampling(sampler), range(18, 36)) == found, "and then from the start"


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp"])
def test_distributions_that_trials_share_draw_as_copies_of_them_do(
    sampler: SamplerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = sampling(sampler, 12)
    found = draws(shared, range(12, 15))
    assert len({id(trial.distributions) for trial in shared._study.get_trials(deepcopy=False)[:12]}) == 1
    monkeypatch.delattr("app.search.proposals.samplers._Shared.__deepcopy__")
    copied = sampling(sampler, 12)
    assert draws(copied, range(12, 15)) == found
    assert len({id(trial.distributions) for trial in copied._study.get_trials(deepcopy=False)[:12]}) == 12


def test_broken_limits_are_told_as_constraints() -> None:
    """Right of zero the loss is as good, but a limit is broken: the draws move to the left."""
    free = draws(sampling("tpe", 30), range(30, 45))
    bound = draws(sampling("tpe", 30, bad=lambda x: x), range(30, 45))
    assert sum(float(str(at["x"])) > 0.1 for at in bound) < sum(float(str(at["x"])) > 0.1 for at in free)


def test_given_coordinates_are_the_first_generation_of_nsga2_alone() -> None:
    at = draws(sampling("random"), range(1))[0]
    assert sampling("nsga2").give(at) == {GENERATION: 0}
    assert sampling("tpe").give(at) == {}


def test_gp_and_grid_are_refused_where_they_do_not_serve() -> None:
    wide: dict[str, BaseDistribution] = {
        f"x{index}": FloatDistribution(0.0, 1.0) for index in range(MOST_GP_DIMENSIONS + 1)
    }
    for sampler in ("gp", "grid"):
        with pytest.raises(SearchFailed, match="use '") as caught:
            check(problem(sampler=sampler).spec, wide, ())
        assert caught.value.code == "sampler"
    check(problem(sampler="gp").spec, wide, ("x0",))
    check(problem(sampler="tpe").spec, wide, ())

"""Proposals: first trials along the front, and samplers that know what was before, after any replay."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.samplers import NSGAIISampler

from app.search.coordinates import Terrain
from app.search.propose import FIRST, propose, seeds
from app.search.spec import Recovery, SamplerName
from app.search.trial import Trial
from tests.app.search.fakes import FakeExecutor, follow, problem, terrain

GENERATION = "NSGAIISampler:generation"


def test_the_first_trials_go_evenly_along_the_front_of_every_device() -> None:
    found = seeds(problem(trials=24).spec)
    for device in ("cpu", "eyeriss"):
        bands = [at["band"] for at in found if at["device"] == device]
        assert bands == pytest.approx(np.linspace(0, 1, len(bands)).tolist())
        assert {at["pruner"] for at in found if at["device"] == device} == {"magnitude", "pdp"}
    assert 8 <= len(found) <= 14
    assert all(value == 0.0 for at in found for name, value in at.items() if name.startswith("bias"))
    assert len(seeds(problem(trials=1).spec)) == 1


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
    drawn = [trial.coordinates["band"] for trial in before[FIRST + len(seeds(here.spec)) :]]
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
    generations = [trial.sampler_attributes[GENERATION] for trial in before[FIRST:]]
    assert set(generations[: len(seeds(here.spec))]) == {0}
    assert generations[-1] >= 1, "24 trials are enough for a second generation"
    bare = [trial.evolve(sampler_attributes={}) for trial in before]
    found, forgetful = propose(here, before, [26])[0], propose(here, bare, [26])[0]
    assert found.sampler_attributes[GENERATION] > forgetful.sampler_attributes[GENERATION] == 0
    assert found.coordinates != forgetful.coordinates


def test_failed_trials_teach_nothing_but_do_no_harm() -> None:
    here, before = history("tpe", 12)
    broken = [t.evolve(state="failed", measurements=()) if t.number % 3 == 0 else t for t in before]
    (found,) = propose(here, broken, [14])
    assert found.state == "queued"


def test_the_generation_is_kept_under_optunas_own_key() -> None:
    assert NSGAIISampler._get_generation_key() == GENERATION
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=NSGAIISampler(population_size=2, seed=0))
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)), n_trials=3)
    assert [trial.system_attrs[GENERATION] for trial in study.trials] == [0, 0, 1]


def test_the_first_trials_become_parents_after_a_replay() -> None:
    """By ancestry: a child has its parents' coordinates, a random draw has nobody's."""
    here, before = history("nsga2", 24)  # twelve first trials: one population
    population = before[FIRST : FIRST + 12]
    bare = [trial.evolve(sampler_attributes={}) for trial in before]

    def inherited(past: list[Trial]) -> float:
        found = propose(here, past, range(26, 34))
        known = {(name, value) for trial in past[FIRST:] for name, value in trial.coordinates.items()}
        drawn = [pair for trial in found for pair in trial.coordinates.items() if isinstance(pair[1], float)]
        return sum(pair in known for pair in drawn) / len(drawn)

    assert {trial.sampler_attributes[GENERATION] for trial in population} == {0}
    assert inherited(before) > 0.5
    assert inherited(bare) == 0.0


def test_without_recovery_there_is_one_pruner_and_no_temperature() -> None:
    asked = problem(recovery=Recovery(steps=0))
    found = propose(terrain(asked), follow(asked, FakeExecutor()).history()[:FIRST], range(2, 12))
    assert {trial.plan.pruner for trial in found} == {"magnitude"}
    assert not any({"tau", "pruner"} & set(trial.coordinates) for trial in found)


def test_temperatures_go_down_to_what_channels_want() -> None:
    asked = problem(sampler="random", trials=60, pruners=("pdp",), profiles=("eyeriss",))
    found = [trial.plan.settings["tau"] for trial in propose(terrain(asked), [], range(32, 62))]
    assert 0.005 <= min(found) < 0.02
    assert 0.2 < max(found) <= 0.5


def test_trials_of_an_unfinished_batch_are_not_what_the_next_is_asked_from() -> None:
    here, before = history("tpe", 12)
    alone = propose(here, before, [14])
    assert propose(here, before, range(14, 16))[0] == alone[0]
    assert propose(here, before, range(14, 16))[1].coordinates != alone[0].coordinates

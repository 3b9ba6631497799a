"""Learning rate and steps as coordinates: each trial has its own, repeats and pays for them, and drops out nowhere."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.search.bound import bound, gaps
from app.search.events import SearchEnded, TrialsAsked
from app.search.exports.exporting import Request
from app.search.proposals.coordinates import RECOVERY_KNOBS, distributions, neutral
from app.search.proposals.propose import FIRST, SOURCE, propose
from app.search.proposals.raw import raw_distributions
from app.search.proposals.refit import observe
from app.search.proposals.rungs import as_whole, fidelity_of, final_losses, first_steps, losses_of
from app.search.proposals.warm import recall
from app.search.run import run
from app.search.spec import Budget, Recovery, SearchSpec, SpecError
from app.search.table.memory import Memory
from app.search.trial import Trial, learning_rate_factor
from app.search.work.spending import Purse
from tests.app.search.fakes import MODEL, FakeExecutor, FakeStore, follow, problem, terrain

STEPS, BATCH = 100, 8
VARIED: dict[str, Any] = {
    "vary": ("learning_rate", "steps"),
    "recovery": Recovery(steps=STEPS, batch=BATCH),
    "trials": 16,
    "profiles": ("eyeriss",),
}
BEFORE: dict[str, Any] = {"measurements": (), "report": {}, "attempts": 0}
ASKED = problem(**VARIED)
EXECUTOR = FakeExecutor()
STORE = follow(ASKED, EXECUTOR)
TRIALS = STORE.history()
SEARCHED = TRIALS[FIRST:]
SAMPLED = [trial for trial in SEARCHED if trial.sampler_attributes[SOURCE] == "sampler"]


def test_by_default_nothing_varies() -> None:
    plain = problem()
    names = {*distributions(plain.spec, MODEL), *raw_distributions(plain.spec, terrain(plain).prices.space)}
    assert not set(RECOVERY_KNOBS) & names
    assert {trial.learning_rate_factor for trial in follow(problem(trials=4), FakeExecutor()).history()} == {1.0}


@pytest.mark.parametrize("vary", [("learning_rate",), ("steps",), ("steps", "learning_rate")])
def test_what_varies_is_a_coordinate_of_solver_and_raw_search_alike(vary: Any) -> None:
    here = terrain(problem(vary=vary))
    at = neutral(here, device="cpu", band=0.5, pruner="pdp")
    for found in (distributions(here.spec, MODEL), raw_distributions(here.spec, here.prices.space)):
        assert set(RECOVERY_KNOBS) & set(found) == set(vary)
    for name in vary:
        assert at[name] == 1.0 and found[name]._contains(1.0)


def test_the_sampler_draws_steps_and_rates_and_the_solvers_own_trials_begin_with_the_usual_ones() -> None:
    for trial in TRIALS[: FIRST + 2]:
        assert (trial.learning_rate_factor, trial.recovery_steps) == (1.0, STEPS if trial.number else 0)
    assert len({trial.recovery_steps for trial in SAMPLED}) > 2 and len({t.learning_rate_factor for t in SAMPLED}) > 2
    for trial in SEARCHED:
        assert trial.state == "complete"
        assert trial.recovery_steps == max(1, round(trial.coordinates["steps"] * STEPS))
        assert STEPS / 4 <= trial.recovery_steps <= STEPS and 0.25 <= trial.learning_rate_factor <= 4.0
        assert list(losses_of(trial)) == [trial.recovery_steps]
    assert TRIALS[1].role == "dense_recovered" and not TRIALS[1].coordinates


def test_a_task_is_told_the_steps_and_the_rate_and_a_stored_trial_says_them_again() -> None:
    told = {
        task.payload["trial"]["number"]: task.payload["trial"] for task in EXECUTOR.submitted if task.kind == "trial"
    }
    for trial in TRIALS:
        asked = told[trial.number]
        assert asked["recovery_steps"] == trial.recovery_steps
        assert learning_rate_factor(asked["coordinates"]) == trial.learning_rate_factor
        again = Request(trial=Trial.from_json(trial.to_json()), stored={}, formats=()).trial
        assert again.learning_rate_factor == trial.learning_rate_factor


@pytest.mark.parametrize("coordinates", ["solver", "raw"])
def test_killed_anywhere_it_comes_to_the_same_end(coordinates: str) -> None:
    asked = problem(**VARIED, coordinates=coordinates, budget=Budget(sample_passes=60_000))
    calm = follow(asked, FakeExecutor())
    store = FakeStore()
    for life in range(8):
        follow(asked, FakeExecutor(seed=life, slots=1 + life % 3, lose=0.2), store, stop_after=9 + 4 * life)
    assert follow(asked, FakeExecutor(seed=99), store).identity() == calm.identity()
    assert len({trial["recovery_steps"] for trial in calm.identity()}) > 3


def test_later_trials_of_the_solver_recover_like_what_won_nearby() -> None:
    here = terrain(ASKED)
    like = [t.evolve(coordinates=t.coordinates | {"learning_rate": 2.0, "steps": 0.5}) for t in SEARCHED]
    later = propose(here, [*TRIALS[:FIRST], *like], range(len(TRIALS), len(TRIALS) + 6))
    found = [trial for trial in later if trial.sampler_attributes[SOURCE] == "solver"]
    taken = {(t.learning_rate_factor, t.recovery_steps) for t in found}
    assert (2.0, STEPS // 2) in taken and taken <= {(2.0, STEPS // 2), (1.0, STEPS)}


def test_a_trial_with_fewer_steps_has_a_final_loss_and_its_own() -> None:
    found = final_losses(TRIALS, ASKED.spec)
    assert found == {trial.number: losses_of(trial)[trial.recovery_steps] for trial in SEARCHED}
    assert {fidelity_of(trial, ASKED.spec) for trial in SEARCHED} == {STEPS}


def test_all_complete_trials_correct_the_table_and_heal_the_bound() -> None:
    here = terrain(ASKED)
    whole = as_whole(SEARCHED, STEPS)
    seen = observe(whole, here.prices.space)
    assert seen is not None and len(seen.losses) == len(SEARCHED)
    np.testing.assert_array_equal(seen.losses, [losses_of(t)[t.recovery_steps] for t in SEARCHED])
    found = gaps(bound(here), TRIALS, here)
    assert found == gaps(bound(here), [*TRIALS[:FIRST], *whole], here)
    assert found != gaps(bound(here), [*TRIALS[:FIRST], *(t.evolve(coordinates={}) for t in SEARCHED)], here)


def test_what_was_posted_or_does_not_vary_is_filed_as_it_was() -> None:
    assert as_whole(TRIALS[:FIRST], 7) == TRIALS[:FIRST]
    posted = replace(SAMPLED[0].measurements[0], origin={"by": "post"})
    (found,) = as_whole([SAMPLED[0].evolve(measurements=(*SAMPLED[0].measurements, posted))], 7)
    assert [m.fidelity for m in found.measurements] == [7] * len(SAMPLED[0].measurements) + [posted.fidelity]


def test_a_warm_search_recalls_trials_of_fewer_steps() -> None:
    here = terrain(problem(profiles=("eyeriss",)))
    assert len(recall(Memory(trials=tuple(SEARCHED)), here).trials) == len(SEARCHED)


def test_fewer_steps_cost_less_and_a_budget_pays_for_more_of_them() -> None:
    purse = Purse(spec=ASKED.spec, table_passes=0, measured_samples=200)
    assert purse.spent(TRIALS).recoveries == len(TRIALS) - 1
    for trial in TRIALS:
        assert trial.report["sample_passes"] == 3 * trial.recovery_steps * BATCH + 200
    scored = STORE.scores
    assert scored is not None
    most = scored["sample_passes"] + purse.spent(TRIALS[:13]).sample_passes
    events = list(run(problem(**VARIED, budget=Budget(sample_passes=most)), FakeExecutor()))
    asked = [trial for event in events if isinstance(event, TrialsAsked) for trial in event.trials]
    assert asked == [trial.evolve(state="queued", **BEFORE) for trial in TRIALS[:13]], "to the last pass"
    assert isinstance(events[-1], SearchEnded) and events[-1].because == "sample_passes"
    less = list(run(problem(**VARIED, budget=Budget(sample_passes=most - 1)), FakeExecutor()))
    assert sum(len(event.trials) for event in less if isinstance(event, TrialsAsked)) == 12


def test_steps_are_whole_and_at_least_one() -> None:
    tiny = problem(vary=("steps",), recovery=Recovery(steps=1)).spec
    assert first_steps({"steps": 0.25}, tiny) == 1
    assert first_steps({"steps": 0.333}, ASKED.spec) == 33
    assert first_steps({}, ASKED.spec) == STEPS
    assert first_steps({"learning_rate": 2.0}, problem(rungs=(0, 20)).spec) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vary": ("momentum",)}, "/vary: 'momentum' is unknown; known are .*'learning_rate', 'steps'"),
        ({"vary": ("steps", "steps")}, "/vary: names 'steps' twice"),
        ({"vary": ("steps",), "rungs": (0, 20)}, "/vary: rungs say how many steps .* leave out the rungs, or vary"),
        ({"vary": ("steps",), "recovery": Recovery(steps=0)}, "/vary: recovery.steps is 0, .*: give it steps, or"),
        ({"vary": ("learning_rate",), "recovery": Recovery(steps=0)}, "/vary: recovery.steps is 0"),
    ],
)
def test_what_cannot_vary_is_refused_with_the_way_out(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        problem(**wrong)
    assert caught.value.field == "/vary"


def test_the_rate_varies_beside_rungs_and_specs_survive_json() -> None:
    ladder = problem(vary=("learning_rate",), rungs=(0, 20), recovery=Recovery(steps=100), trials=6)
    assert SearchSpec.from_json(ladder.spec.to_json()) == ladder.spec
    stored = ladder.spec.to_json()
    del stored["vary"]
    assert SearchSpec.from_json(stored) == replace(ladder.spec, vary=())
    assert problem(vary=("steps",), recovery=Recovery(steps=0, epochs=1.0)).spec.vary == ("steps",)
    trials = follow(ladder, FakeExecutor()).history()[FIRST:]
    assert {trial.state for trial in trials} == {"complete", "stopped"}
    assert len({trial.learning_rate_factor for trial in trials}) > 1

"""Who climbs: the best of each band, what nothing dominates, and nobody else; whatever happened since."""

from dataclasses import replace

import pytest

from app.search.proposals.rungs import bracket, fidelities, final_losses, losses_of, verdicts
from app.search.spec import Recovery
from app.search.trial import Measurement, Trial, TrialCost
from pruning.plan import PruningPlan
from tests.app.search.fakes import problem, terrain

ASKED = problem(rungs=(0, 20), keep=1 / 3, recovery=Recovery(steps=100), profiles=("eyeriss",), trials=12)
HERE = terrain(ASKED)
LOW_MS, HIGH_MS = HERE.band_ms("eyeriss")


def trial(number: int, place: float, loss: float, fidelity: int = 0) -> Trial:
    """A trial at a place of the axis in [0, 1]."""
    latency_ms = LOW_MS + place * (HIGH_MS - LOW_MS)
    cost = TrialCost(profile="eyeriss", latency_ms=latency_ms, sources={}, derivations={})
    return Trial(
        number=number,
        role="searched",
        state="queued",
        plan=PruningPlan(pruner="magnitude"),
        seed=0,
        recovery_steps=fidelity,
        costs=(cost,),
        measurements=(measured(loss, fidelity),),
    )


def measured(loss: float, fidelity: int) -> Measurement:
    return Measurement(
        metric="loss", value=loss, standard_error=0.0, samples=9, seed=0, fidelity=fidelity, split="validation"
    )


def promoted(pool: list[Trial]) -> set[int]:
    found = verdicts(HERE, pool, [trial.number for trial in pool], 0)
    for verdict in found.values():
        assert verdict.promoted == (verdict.failure is None)
    return {number for number, verdict in found.items() if verdict.promoted}


def test_of_rivals_at_one_latency_the_best_third_goes_on() -> None:
    rivals = [trial(2 + n, 0.5 - n / 1000, loss) for n, loss in enumerate([0.5, 0.3, 0.4])]
    assert promoted(rivals) == {3}
    reason = verdicts(HERE, rivals, [2], 0)[2].failure
    assert reason and reason.code == "rung" and "number 3 of 3" in reason.reason
    assert promoted(rivals + [trial(5, 0.5, 0.2)]) == {3, 5}, "two of four: a third, rounded up"


def test_bands_are_ranked_by_themselves_so_mild_pruning_does_not_take_every_place() -> None:
    strong = [trial(2 + n, 0.1, 0.9 + n / 100) for n in range(3)]
    mild = [trial(5 + n, 0.9, 0.1 + n / 100) for n in range(3)]
    assert promoted(strong + mild) == {2, 5}


def test_what_nothing_nearly_as_fast_beats_goes_on_too() -> None:
    band = [trial(2, 0.501, 0.50), trial(3, 0.515, 0.45), trial(4, 0.62, 0.30)]
    assert promoted(band) == {2, 3, 4} - {2}, "2 is all but as slow as 3, and worse; 3 is half a band faster than 4"


def test_trials_of_earlier_brackets_count_whatever_became_of_them() -> None:
    before = trial(2, 0.5, 0.2).evolve(state="failed", recovery_steps=20)
    found = verdicts(HERE, [before, trial(3, 0.5, 0.3), trial(4, 0.5, 0.4)], [3, 4], 0)
    assert [found[number].promoted for number in (3, 4)] == [False, False]


def test_final_losses_of_stopped_trials_are_brought_to_full_recovery() -> None:
    both = [trial(2 + n, 0.5, loss) for n, loss in enumerate([0.8, 0.6, 0.4])]
    both = [t.evolve(measurements=(*t.measurements, measured(t.measurements[0].value / 2, 100))) for t in both]
    stopped = trial(9, 0.5, 1.0)
    found = final_losses([*both, stopped], ASKED.spec)
    assert found == pytest.approx({2: 0.4, 3: 0.3, 4: 0.2, 9: 0.5})
    assert final_losses([stopped], ASKED.spec) == {}, "nothing to go by"


def test_fidelities_and_brackets() -> None:
    assert fidelities(ASKED.spec) == (0, 20, 100)
    assert bracket(ASKED.spec) == 6
    assert bracket(problem(width=5).spec) == 5
    assert bracket(replace(ASKED.spec, width=12)) == 12


def test_what_a_team_posts_later_is_no_loss_of_the_search() -> None:
    posted = replace(measured(9.0, 0), origin={"by": "post"})
    known = trial(2, 0.5, 0.3)
    assert losses_of(known.evolve(measurements=(*known.measurements, posted))) == {0: 0.3}

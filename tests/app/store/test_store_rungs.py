"""Rungs and extensions as rows: a trial gains measurements until it ends, a search gains trials."""

import pytest

from app.search.trial import Measurement
from app.store import searches, trials
from app.store.database import Database
from app.store.errors import Conflict, NotFound
from tests.app.store.made import accuracy, asked, project, search, spec


def loss(value: float, fidelity: int) -> Measurement:
    return Measurement(
        metric="loss", value=value, standard_error=0.1, samples=9, seed=2, fidelity=fidelity, split="validation"
    )


def test_a_trial_gains_a_measurement_a_rung_and_keeps_all_of_them(database: Database) -> None:
    first = asked(2, recovery_steps=0)
    low = first.evolve(measurements=(loss(0.9, 0),), report={"runs": {"0": 5}}, attempts=1)
    promoted = low.evolve(recovery_steps=10)
    end = promoted.evolve(
        state="complete", measurements=(loss(0.9, 0), loss(0.2, 10), accuracy(0.7)), report={}, attempts=2
    )
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [first])
        trials.set_running(s, key, 2, 1)
        assert trials.measured(s, key, low)
        assert trials.history(s, key) == [low]
        for _ in range(2):
            trials.promote(s, key, [promoted])
        assert trials.history(s, key) == [promoted]
        assert not trials.measured(s, key, low), "it is further up already"
        assert trials.record(s, key, end)
        trials.promote(s, key, [promoted.evolve(recovery_steps=99)])
        assert not trials.measured(s, key, promoted)
        assert trials.history(s, key) == [end]


def test_a_stopped_trial_keeps_its_measurements_and_is_on_no_front(database: Database) -> None:
    low = asked(2, recovery_steps=0).evolve(measurements=(loss(0.9, 0), accuracy(0.5, fidelity=0)))
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [low.evolve(measurements=())])
        trials.measured(s, key, low)
        assert trials.record(s, key, low.evolve(state="stopped"))
        assert trials.history(s, key)[0].measurements == low.measurements
        assert trials.progress(s, [key])[key].best_quality is None
        with pytest.raises(NotFound):
            trials.measured(s, key, asked(7))


def test_extensions_are_added_up_and_a_search_that_succeeded_is_queued_again(database: Database) -> None:
    with database.begin() as s:
        key = search(s)
        claimed = searches.claim(s, holder="a", epoch=1)
        assert claimed and searches.extended(s, claimed) is None
        searches.extend(s, project(s), key, 4)
        longer = searches.extended(s, claimed)
        assert longer and list(longer.spec["extensions"]) == [4]
        assert longer.state == "running"
        searches.finish(s, key, state="succeeded")
        again = searches.extend(s, project(s), key, 2)
        assert (again.state, again.started_at, again.finished_at) == ("queued", None, None)
        assert list(again.spec["extensions"]) == [4, 2]
        claimed = searches.claim(s, holder="a", epoch=1)
        assert claimed and claimed.id == key and claimed.started_at is not None


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_what_failed_or_was_cancelled_is_not_extended(database: Database, end: str) -> None:
    with database.begin() as s:
        key = search(s)
        searches.finish(s, key, state=end)
        with pytest.raises(Conflict, match="warm_start"):
            searches.extend(s, project(s), key, 1)


def test_a_submission_sent_again_finds_the_extended_search(database: Database) -> None:
    with database.begin() as s:
        first = searches.add(s, project_id=project(s), spec=spec(), idempotency_key="k")
        searches.extend(s, project(s), first.id, 4)
        again = searches.add(s, project_id=project(s), spec=spec(), idempotency_key="k")
        assert again.id == first.id

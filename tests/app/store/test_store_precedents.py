"""What searches took, from their trials alone; and estimates that are kept once and compared once."""

from dataclasses import replace

import pytest

from app.store import precedents, searches, trials
from app.store.database import Database
from tests.app.store.made import accuracy, asked, complete, project, search


def run_out(database: Database, **changes: object) -> str:
    """A claimed search with a dense trial, one that climbed two rungs, one that died and one that never ran."""
    with database.begin() as s:
        key = search(s, **changes)
        searches.claim(s, holder="w", epoch=1)
        trials.add_asked(s, key, [asked(n, recovery_steps=0 if n == 0 else 10) for n in range(4)])
        dense = complete(asked(0, recovery_steps=0), 0.9)
        climbed = complete(asked(1), 0.8)
        trials.record(s, key, dense.evolve(report={"sample_passes": 100, "runs": {"0": 100}}))
        runs = {"0": 100, "5": 2 * 10**9, "10": 3 * 10**9}
        trials.record(s, key, climbed.evolve(report={"sample_passes": sum(runs.values()), "runs": runs}))
        trials.record(s, key, asked(3).evolve(state="stopped"))
    return key


def test_what_it_took_is_counted_from_the_trials(database: Database) -> None:
    key = run_out(database)
    with database.begin() as s:
        found = precedents.spent(s, key)
        assert (found["trials"], found["recoveries"], found["sample_passes"]) == (2, 2, 5_000_000_200)
        assert 0 <= found["seconds"] < 60
        trials.record(s, key, asked(2).evolve(state="failed", attempts=3))
        found = precedents.spent(s, key)
        assert (found["trials"], found["recoveries"], found["sample_passes"]) == (3, 3, None)
    with database.begin() as s:
        nothing = precedents.spent(s, search(s))
        assert nothing == {"seconds": 0.0, "trials": 0, "recoveries": 0, "sample_passes": 0}


def test_the_first_estimate_and_the_first_end_stand(database: Database) -> None:
    key = run_out(database)
    with database.begin() as s:
        assert searches.set_estimate(s, key, {"trials": 4}).estimate == {"trials": 4}
        assert searches.set_estimate(s, key, {"trials": 5}).estimate == {"trials": 4}
        assert precedents.estimated(s, project(s), limit=5) == []
        searches.finish(s, key, state="succeeded")
        (ended,) = precedents.estimated(s, project(s), limit=5)
        assert ended.actual is not None and ended.actual["trials"] == 2 and ended.actual["wall_s"] >= 0
        assert precedents.estimated(s, project(s), limit=5, after=key) == []


@pytest.mark.parametrize("model", ["m", "other"])
def test_what_ended_is_found_by_model(database: Database, model: str) -> None:
    key = run_out(database)
    with database.begin() as s:
        searches.finish(s, key, state="cancelled")
        search(s)
        found = precedents.of_project(s, project(s), limit=5, model_id=model)
        assert [record.id for record in found] == ([key] if model == "m" else [])
        assert [record.id for record in precedents.of_project(s, project(s), limit=5)] == [key]


def test_known_plans_are_complete_trials_with_their_noise(database: Database) -> None:
    key = run_out(database)
    with database.read() as s:
        found = precedents.known_plans(s, [key], metric="accuracy", limit=10)
        assert [(one.quality, one.standard_error, one.recovery_steps) for one in found] == [
            (0.9, 0.01, 0),
            (0.8, 0.01, 10),
        ]
        assert found[0].plan["pruner"] == "magnitude"
        assert [one.quality for one in precedents.known_plans(s, [key], metric="r2", limit=1)] == [0.9]
        assert precedents.known_plans(s, [], metric="accuracy", limit=10) == []


def test_the_noise_is_the_searches_own(database: Database) -> None:
    key = run_out(database)
    with database.begin() as s:
        posted = replace(accuracy(0.5), standard_error=5.0, origin={"by": "post"})
        trials.add_measurements(s, key, 0, [posted])
        found = precedents.known_plans(s, [key], metric="accuracy", limit=9)
        assert [(plan.quality, plan.standard_error) for plan in found] == [(0.9, 0.01), (0.8, 0.01)]

"""Prices that came later: stored beside the others, replaced as a whole, measurements and other fronts untouched."""

import pytest

from app.search.trial import TrialCost
from app.store import fronts, profiles, repricings, searches, trials
from app.store.database import Database
from app.store.records import FleetRow, SearchRecord
from tests.app.store.made import OTHER_PROFILE, PROFILE, asked, complete, other_project, project, search, spec


def filled(database: Database) -> tuple[str, str]:
    """A search with two complete trials and one that failed, and a profile that is not its own."""
    with database.begin() as s:
        key = search(s)
        later = profiles.add(s, project_id=project(s), name="later", document={"rows": []}).id
        trials.add_asked(s, key, [asked(0, latency_ms=2.0), asked(1, latency_ms=1.0), asked(2)])
        trials.record(s, key, complete(asked(0, latency_ms=2.0), 0.9))
        trials.record(s, key, complete(asked(1, latency_ms=1.0), 0.8))
        trials.record(s, key, asked(2).evolve(state="failed"))
        fronts.update(s, key, [PROFILE, OTHER_PROFILE])
    return key, later


def price(database: Database, key: str, later: str, *latencies_ms: float) -> None:
    with database.begin() as s:
        plans = repricings.complete_plans(s, key)
        costs = [
            TrialCost(
                profile=later,
                latency_ms=ms,
                sources={"vendor": 1.0},
                derivations={"exact": 1.0},
                low_ms=ms / 2,
                energy_mj=3 * ms,
            )
            for ms in latencies_ms
        ]
        repricings.store(s, key, later, None, list(zip(plans, costs, strict=False)))


def test_later_prices_stand_beside_those_of_the_search(database: Database) -> None:
    key, later = filled(database)
    with database.read() as s:
        before, was = trials.history(s, key), fronts.get(s, key, PROFILE)
    price(database, key, later, 1.0, 3.0)
    with database.read() as s:
        after = trials.history(s, key)
        assert [trial.evolve(costs=trial.costs[:2]) for trial in after] == before
        assert [[cost.latency_ms for cost in trial.costs] for trial in after] == [
            [2.0, 2.0, 1.0],
            [1.0, 1.0, 3.0],
            [1, 1],
        ]
        assert (after[0].cost(later).energy_mj, after[0].cost(later).weight_bytes) == (3.0, None)
        assert after[0].cost(later).low_ms == 0.5 and after[0].cost(later).sources == {"vendor": 1.0}
        assert fronts.get(s, key, PROFILE) == was and [point.number for point in was] == [1, 0]
        assert [point.number for point in fronts.get(s, key, later)] == [0]
        assert fronts.get(s, key, later) == fronts.recomputed(s, key, later)
        assert list(repricings.of_search(s, key)) == [later]
        assert repricings.latencies_ms(s, key, later, [1, 2, 7]) == {1: 3.0}


def test_they_are_replaced_as_a_whole(database: Database) -> None:
    key, later = filled(database)
    price(database, key, later, 1.0, 3.0)
    price(database, key, later, 5.0)
    with database.read() as s:
        assert [point.latency_ms for point in fronts.get(s, key, later)] == [5.0]
        assert repricings.latencies_ms(s, key, later, [0, 1]) == {0: 5.0}
        assert len(repricings.of_search(s, key)) == 1


def test_a_store_that_is_rolled_back_leaves_all_as_it_was(database: Database) -> None:
    key, later = filled(database)
    price(database, key, later, 1.0, 3.0)
    with pytest.raises(ZeroDivisionError), database.begin() as s:
        _ = repricings.store(s, key, later, None, []), 1 / 0
    with database.read() as s:
        assert len(fronts.get(s, key, later)) == 1


def test_the_whole_fleet_in_one_query(database: Database) -> None:
    key, later = filled(database)
    price(database, key, later, 1.5)
    with database.read() as s:
        assert fronts.everywhere(s, key) == [
            FleetRow(number=0, quality=0.9, latency_ms={PROFILE: 2.0, OTHER_PROFILE: 2.0, later: 1.5}),
            FleetRow(number=1, quality=0.8, latency_ms={PROFILE: 1.0, OTHER_PROFILE: 1.0}),
        ]


def test_the_searches_of_a_model_are_the_projects_own(database: Database) -> None:
    def ids(found: list[SearchRecord]) -> list[str]:
        return [record.id for record in found]

    with database.begin() as s:
        first, _, last = search(s, model="m1"), search(s, model="m2"), search(s, model="m1")
        stranger = other_project(s)
        searches.add(s, project_id=stranger, spec=spec(model="m1"))
        assert ids(searches.of_model(s, project(s), "m1")) == [last, first]
        assert searches.of_model(s, project(s), "m1' OR '1'='1") == []

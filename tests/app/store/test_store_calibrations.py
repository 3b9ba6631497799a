"""Calibrations as rows: versions that are written once, the newest of each profile, nobody else's."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.search.trial import TrialCost
from app.store import calibrations, profiles, trials
from app.store.database import Database
from app.store.errors import Conflict, NotFound, NotJson
from tests.app.store.made import asked, complete, other_project, project, search


def made(s: Session, name: str = "board") -> str:
    return profiles.add(s, project_id=project(s), name=name, document={"rows": []}, digest="0" * 64).id


def add(s: Session, profile: str, version: int, **document: Any) -> str:
    return calibrations.add(s, project_id=project(s), profile_id=profile, version=version, document=document).id


def test_versions_are_read_newest_first_in_pages(database: Database) -> None:
    with database.begin() as s:
        profile, other = made(s), made(s)
        ids = [add(s, profile, version, factor=version) for version in (1, 2, 3)]
        add(s, other, 1)
    with database.read() as s:
        first = calibrations.page(s, project(s), profile, limit=2)
        assert [(c.id, c.version, c.document["factor"]) for c in first] == [(ids[2], 3, 3), (ids[1], 2, 2)]
        rest = calibrations.page(s, project(s), profile, limit=2, after=first[-1].id)
        assert [c.id for c in rest] == ids[:1]
        assert calibrations.of_version(s, project(s), profile, 2) == first[1]
        assert calibrations.get(s, project(s), ids[0]) == rest[0]


def test_a_version_is_written_once(database: Database) -> None:
    with database.begin() as s:
        profile = made(s)
        add(s, profile, 1, factor=1.0)
        with pytest.raises(Conflict, match="meanwhile"):
            add(s, profile, 1, factor=2.0)
        add(s, profile, 2)  # and the transaction goes on
    with database.read() as s:
        assert calibrations.of_version(s, project(s), profile, 1).document == {"factor": 1.0}


def test_the_newest_of_each_profile(database: Database) -> None:
    with database.begin() as s:
        a, b, none = made(s, "a"), made(s, "b"), made(s, "c")
        for version in (1, 2):
            newest = add(s, a, version)
        only = add(s, b, 1)
    with database.read() as s:
        found = calibrations.latest(s, project(s), [a, b, none, "no key\x00"])
        assert {profile: record.id for profile, record in found.items()} == {a: newest, b: only}
        assert calibrations.latest(s, project(s), []) == {}


def test_what_a_search_pinned(database: Database) -> None:
    with database.begin() as s:
        profile = made(s)
        key = add(s, profile, 1)
    with database.read() as s:
        pinned = calibrations.pinned(s, project(s), {"calibrations": {profile: key, "other": None}})
        assert {name: record.id for name, record in pinned.items()} == {profile: key}
        assert calibrations.pinned(s, project(s), {}) == {}, "a search from before calibrations were"


def test_another_project_sees_nothing(database: Database) -> None:
    with database.begin() as s:
        profile = made(s)
        key = add(s, profile, 1)
        theirs = other_project(s)
    with database.read() as s:
        for ask in (
            lambda: calibrations.get(s, theirs, key),
            lambda: calibrations.get(s, project(s), "nobody"),
            lambda: calibrations.of_version(s, theirs, profile, 1),
        ):
            with pytest.raises(NotFound):
                ask()
        assert calibrations.page(s, theirs, profile, limit=9) == []
        assert calibrations.latest(s, theirs, [profile]) == {}


def test_intervals_energy_and_bytes_are_kept_with_the_costs(database: Database) -> None:
    shares: dict[str, Any] = {"sources": {"measured": 1.0}, "derivations": {"exact": 1.0}}
    costs = (
        TrialCost(profile="a", latency_ms=2.0, low_ms=1.5, high_ms=2.5, **shares),
        TrialCost(profile="b", latency_ms=3.0, energy_mj=0.25, weight_bytes=1024.0, **shares),
    )
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [asked(0, costs=costs)])
        trials.record(s, key, complete(asked(0, costs=costs), 0.9))
    with database.read() as s:
        assert trials.get(s, key, 0).trial.costs == costs
        assert trials.for_front(s, key, "a")[0].cost == costs[0]
        assert trials.for_front(s, key, "b")[0].cost == costs[1]
    for number, name in enumerate(("high_ms", "energy_mj", "weight_bytes"), start=1):
        bad = TrialCost(profile="a", **{"latency_ms": 2.0, name: float("inf"), **shares})
        with database.begin() as s, pytest.raises(NotJson, match=name):
            trials.add_asked(s, key, [asked(number, costs=(bad,))])

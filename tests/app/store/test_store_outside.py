"""What comes from outside (keys, cursors, names, numbers) has the same end on both databases, and never a crash."""

import pytest
from sqlalchemy import text

from app.search.trial import Measurement
from app.store import datasets, events, fronts, models, profiles, searches, trials
from app.store.database import Database
from app.store.errors import NotFound, NotJson
from tests.app.store.made import PROFILE, asked, complete, project, search, spec

ODD_KEYS = ["", "\0", "a\0" * 18, "x" * 36, "\ud800" * 36, "0" * 5000, "'; DROP TABLE searches; --", "%"]
ODD_NAMES = ["nul\0nul", "half a pair \ud800", "line\nbreak\x1b[31m", "long " * 100, "Bäume 木 🌳"]
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize("key", ODD_KEYS)
def test_what_is_no_key_is_not_found(database: Database, key: str) -> None:
    with database.begin() as s:
        mine = project(s)
        search(s)
        for noun in (models, datasets, profiles, searches):
            with pytest.raises(NotFound):
                noun.get(s, mine, key)
            assert noun.page(s, mine, limit=9, after=key) == []
        assert searches.page(s, mine, limit=9, after=key, state="queued") == []
        with pytest.raises(NotFound):
            searches.request_cancel(s, mine, key)
    with database.read() as s:
        assert len(searches.page(s, mine, limit=9)) == 1


@pytest.mark.parametrize("number", [-1, 2**31, 2**63, 10**30])
def test_a_number_no_trial_can_have_is_not_found(database: Database, number: int) -> None:
    with database.begin() as s:
        mine, key = project(s), search(s)
        trials.add_asked(s, key, [asked(0)])
        events.add(s, project_id=mine, search_id=key, kind="k", payload={})
        with pytest.raises(NotFound, match=str(number)):
            trials.get(s, key, number)
        assert len(trials.page(s, key, limit=9, after_number=number)) == (number < 0)
        assert len(events.after(s, mine, search_id=key, after_id=number)) == (number < 2**31)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_are_kept_as_far_as_text_columns_hold_them(database: Database, name: str) -> None:
    with database.begin() as s:
        mine = project(s)
        added = [
            models.add(s, project_id=mine, name=name, upload_digest="0" * 64),
            datasets.add(s, project_id=mine, name=name, kind="digits"),
            profiles.add(s, project_id=mine, name=name, request={"note": name}),
        ]
    with database.read() as s:
        kept = [noun.get(s, mine, row.id) for noun, row in zip((models, datasets, profiles), added, strict=True)]
    assert kept == added and len({record.name for record in kept}) == 1
    shown = kept[0].name
    assert len(shown) <= 200 and not any(c < " " for c in shown) and shown[:3] == name[:3]
    assert kept[2].request == {"note": name}, "documents are JSON, which holds any text"


def test_a_search_with_an_odd_name_keeps_its_spec(database: Database) -> None:
    with database.begin() as s:
        mine = project(s)
        added = searches.add(s, project_id=mine, spec=spec(name="nul\0nul"), idempotency_key="k")
        again = searches.add(s, project_id=mine, spec=spec(name="nul\0nul"), idempotency_key="k")
    assert (added.name, added.spec["name"], again) == ("nul\ufffdnul", "nul\0nul", added)


@pytest.mark.parametrize("wrong", [NAN, INFINITY, -INFINITY])
def test_numbers_that_are_none_are_refused_and_nothing_is_written(database: Database, wrong: float) -> None:
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [asked(2)])
    diverged = Measurement(
        metric="loss", value=wrong, standard_error=0.0, samples=1, seed=0, fidelity=1, split="validation"
    )
    done = complete(asked(2), 0.5)
    ends = [done.evolve(measurements=(*done.measurements, diverged)), done.evolve(report={"loss": wrong})]
    for end in ends:
        with pytest.raises(NotJson, match=r"Trial 2 .* validation loss|not JSON"), database.begin() as s:
            trials.record(s, key, end)
    with pytest.raises(NotJson, match="latency"), database.begin() as s:
        trials.add_asked(s, key, [asked(3, latency_ms=wrong)])
    with database.begin() as s:
        assert trials.history(s, key) == [asked(2)]
        assert s.execute(text("SELECT count(*) FROM measurements")).scalar() == 0
        fronts.update(s, key, [PROFILE])
        assert fronts.get(s, key, PROFILE) == []

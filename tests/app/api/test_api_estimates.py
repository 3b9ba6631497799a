"""Estimates over REST: honest without a past, built on it where there is one, kept and compared at the end."""

import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.store import datasets, models, searches, tables, trials
from tests.app.api.world import API, MODEL, World, catalogue_profile, measured_profile


def ask(world: World, status: int = 200, **changes: Any) -> dict[str, Any]:
    answer = world.http.post(f"{API}/searches/estimate", json=world.spec(**changes))
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def past(world: World, **changes: Any) -> str:
    """A finished search whose trials took ten seconds."""
    search = world.finished_search(**changes)
    with world.service.database.begin() as session:
        row = session.get(tables.Search, search)
        assert row is not None
        row.started_at = tables.now() - timedelta(seconds=12)
        row.actual = {"wall_s": 12.0, "seconds": 10.0, "trials": 5, "recoveries": 4, "sample_passes": 200_000}
    return search


def test_without_a_past_nothing_is_made_up(world: World) -> None:
    found = ask(world)
    assert (found["basis"], found["precedents"], found["ends_by"]) == ("assumed", 0, "trials")
    assert found["trials"] == 26 and found["recoveries"] == 25
    assert found["seconds"]["p90"] / found["seconds"]["p10"] > 10
    (expected,) = found["profiles"]
    assert expected["dense_ms"] == pytest.approx(5.5) and 0 < expected["lowest_ms"] < 5.5
    assert all(level["quality"] is None and level["excess_loss"] is None for level in expected["front"])
    notes = " ".join(found["notes"])
    assert "not guessed" in notes and "assumed rate" in notes and "still being read" in notes


def test_earlier_searches_say_how_long_and_how_good(world: World) -> None:
    search = past(world)
    with world.service.database.begin() as session:
        searches.set_bound(session, search, {world.profile: [{"latency_ms": 1.0, "error": 0.25}]})
    found = ask(world)
    assert (found["basis"], found["precedents"]) == ("this_model", 1)
    front = {round(level["share"], 2): level for level in found["profiles"][0]["front"]}
    assert front[1.0]["quality"]["p50"] == 0.98 and front[0.7]["quality"]["p50"] == 0.96
    assert front[0.5]["quality"]["p50"] == 0.9 and front[1.0]["quality"]["p90"] <= 1.0
    assert front[0.5]["quality"]["p10"] < 0.9 < front[0.5]["quality"]["p90"]
    assert front[1.0]["excess_loss"] == 0.25 and front[1.0]["searches"] == 1
    assert "5 trials of 1 earlier search(es)" in " ".join(found["notes"])


def test_a_device_that_nobody_has_searched_gets_the_old_trials_at_its_own_prices(world: World) -> None:
    past(world)
    rows = tuple(replace(row, latency_ms=3 * row.latency_ms) for row in measured_profile().rows)
    slower = measured_profile(name="slower", rows=rows)
    found = ask(world, profiles=[world.profile, world.add_profile(slower)])
    one, other = found["profiles"]
    assert [level["quality"] for level in one["front"]] == [level["quality"] for level in other["front"]]
    assert other["front"][0]["latency_ms"] == pytest.approx(3 * one["front"][0]["latency_ms"])
    assert one["front"][0]["quality"] and all(level["excess_loss"] is None for level in other["front"])


def test_other_data_do_not_speak_for_these(world: World) -> None:
    past(world)
    with world.service.database.begin() as session:
        other = datasets.add(
            session, project_id=world.service.project_id, name="other", kind="digits", upload_digest=None, options={}
        ).id
    found = ask(world, dataset=other)
    assert found["basis"] == "this_model" and all(lv["quality"] is None for lv in found["profiles"][0]["front"])


def test_another_models_past_is_rough(world: World) -> None:
    past(world)
    with world.service.database.begin() as session:
        project = world.service.project_id
        second = models.add(session, project_id=project, name="second", upload_digest="4" * 64).id
        models.set_ready(session, second, graph_digest="1" * 64, weights_digest="5" * 64, spec=MODEL.to_json())
    assert ask(world, model=second)["basis"] == "other_models"


def test_limits_out_of_reach_are_named_with_the_range_and_not_refused(world: World) -> None:
    limits = [{"profile": world.profile, "share": 0.9}, {"profile": world.profile, "latency_ms": 0.01}]
    found = ask(world, limits=limits)
    (missed,) = found["unreachable"]
    assert (missed["pointer"], missed["limit_ms"]) == ("/limits/1", 0.01)
    assert missed["lowest_ms"] == found["profiles"][0]["lowest_ms"] and "Raise it" in missed["detail"]
    refused = world.http.post(f"{API}/searches", json=world.spec(limits=limits)).json()
    assert refused["errors"][0]["pointer"] == "/limits/1"
    assert refused["reachable"]["lowest_ms"] == pytest.approx(missed["lowest_ms"])


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"model": "nobody"}, "unknown_model", "/model"),
        ({"profiles": ["nobody"]}, "unknown_profile", "/profiles/0"),
        ({"trials": 0}, "invalid", "/trials"),
        ({"frozen_layers": ["nobody"]}, "unknown_layer", "/frozen_layers/0"),
        ({"batch": 8}, "batch_mismatch", "/profiles/0"),
    ],
)
def test_a_search_that_cannot_be_is_refused_as_at_submission(
    calm: World, change: dict[str, Any], code: str, pointer: str
) -> None:
    found = ask(calm, 422, **change)
    assert (found["code"], found["errors"][0]["pointer"]) == (code, pointer)
    assert calm.http.post(f"{API}/searches", json=calm.spec(**change)).json()["code"] == code


def test_a_model_that_is_still_read_cannot_be_estimated_yet(world: World) -> None:
    with world.service.database.begin() as session:
        unread = models.add(session, project_id=world.service.project_id, name="new", upload_digest="3" * 64).id
    assert ask(world, 409, model=unread)["code"] == "not_ready"
    submitted = world.http.post(f"{API}/searches", json=world.spec(model=unread))
    assert submitted.status_code == 202 and submitted.json()["estimate"] is None


def test_the_estimate_is_kept_and_compared_with_what_it_took(world: World) -> None:
    key = {"Idempotency-Key": "once"}
    first = world.http.post(f"{API}/searches", json=world.spec(trials=3), headers=key).json()
    again = world.http.post(f"{API}/searches", json=world.spec(trials=3), headers=key).json()
    assert first["estimate"]["predicted"]["trials"] == 5 and first["estimate"]["actual"] is None
    assert again["estimate"] == first["estimate"]
    assert world.http.get(f"{API}/estimates").json()["items"] == []
    search, made = first["id"], past(world)
    with world.service.database.begin() as session:
        searches.claim(session, holder="w", epoch=1)
        done = [
            trial.evolve(report={"sample_passes": 500, "runs": {"0": 100, "200": 400}})
            for trial in trials.history(session, made)
        ]
    world.record(search, done)
    with world.service.database.begin() as session:
        searches.finish(session, search, state="succeeded")
    actual = world.http.get(f"{API}/searches/{search}").json()["estimate"]["actual"]
    assert (actual["trials"], actual["recoveries"], actual["sample_passes"]) == (5, 5, 2500)
    assert 0 < actual["seconds"] < 60 and actual["wall_s"] > 0
    listed = world.http.get(f"{API}/estimates").json()
    (item,) = listed["items"]
    assert item["id"] == search and listed["next"] is None
    assert item["recoveries"]["ratio"] == pytest.approx(5 / item["recoveries"]["predicted"])
    assert (
        listed["median_ratio"]
        == item["seconds"]["ratio"]
        == pytest.approx(actual["wall_s"] / item["seconds"]["predicted"])
    )
    assert listed["inside_share"] == float(item["inside"])


def test_an_estimate_needs_no_torch(world: World) -> None:
    before = {name for name in sys.modules if name == "torch" or name.startswith("optuna")}
    ask(world)
    assert {name for name in sys.modules if name == "torch" or name.startswith("optuna")} == before


def test_it_is_kept_even_where_limits_and_devices_are_several(world: World) -> None:
    second = world.add_profile(catalogue_profile("eyeriss-v2", 1))
    wish = world.spec(
        profiles=[world.profile, second], acknowledge=["precision"], limits=[{"profile": second, "share": 0.9}]
    )
    answer = world.http.post(f"{API}/searches", json=wish).json()
    assert [p["profile"] for p in answer["estimate"]["predicted"]["profiles"]] == [world.profile, second]

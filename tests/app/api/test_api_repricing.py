"""Re-pricing a model's trials on a profile that came later: prices as if priced alone, measurements untouched."""

from dataclasses import replace
from typing import Any

import pytest

from app.search.space.price import price_plan
from app.store import fronts, models, trials
from costmodels.catalogue import cost_model
from costmodels.profile import Profile
from pruning.plan import PruningPlan
from tests.app.api.world import API, MODEL, World, catalogue_profile, measured_profile


def slow_body(**changes: Any) -> Profile:
    """A board on which zeros inside `body` cost time, and channels save it."""
    rows = tuple(
        replace(row, latency_ms=4.4) if row.pattern == "unstructured@0.9" else row for row in measured_profile().rows
    )
    return measured_profile(**{"name": "other board", "rows": rows, **changes})


def reprice(world: World, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = world.http.post(f"{API}/models/{world.model}/reprice", json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def stored(world: World, search: str) -> list[Any]:
    with world.service.database.read() as session:
        return trials.history(session, search)


def test_a_new_profile_gets_a_front_and_the_old_one_stays(world: World) -> None:
    search = world.finished_search()
    before, was = stored(world, search), world.http.get(f"{API}/searches/{search}/front").json()
    new = world.add_profile(slow_body())
    answer = reprice(world, profile=new)
    (change,) = answer["searches"]
    assert (answer["trials"], answer["passed_over"]) == (5, [])
    assert (change["search"], change["against"], change["trials"]) == (search, world.profile, 5)
    assert [point["number"] for point in change["left"]] == [3] and change["entered"] == []
    assert change["left"][0]["latency_ms"] > change["left"][0]["against_ms"]
    assert change["left"][0]["quality"] == 0.9
    front = world.http.get(f"{API}/searches/{search}/front?profile={new}").json()
    assert front["profile_name"] == "other board"
    assert sorted(point["number"] for point in front["points"]) == sorted(change["stayed"])
    assert world.http.get(change["front"]).json() == front
    assert world.http.get(f"{API}/searches/{search}/front").json() == was
    after = stored(world, search)
    device = cost_model(slow_body(), MODEL)
    for old, now in zip(before, after, strict=True):
        assert now.measurements == old.measurements and now.costs[:-1] == old.costs
        assert now.costs[-1:] == price_plan(MODEL, now.plan, {new: device})


def test_prices_equal_a_search_that_had_the_profile_from_the_start(world: World) -> None:
    search = world.finished_search()
    new = world.add_profile(catalogue_profile("eyeriss-v2", 1))
    reprice(world, profile=new, acknowledge=["batch", "precision"])
    with world.service.database.read() as session:
        assert fronts.get(session, search, new) == fronts.recomputed(session, search, new)
    profile = catalogue_profile("eyeriss-v2", 1)
    expected = [price_plan(MODEL, t.plan, {new: cost_model(profile, MODEL)})[0] for t in stored(world, search)]
    assert [trial.cost(new) for trial in stored(world, search)] == expected


def test_asked_again_it_replaces_and_prices_what_has_come_since(world: World) -> None:
    search, later = world.finished_search(), world.search(name="later")
    new = world.add_profile(slow_body())
    first = reprice(world, profile=new)
    assert [entry["search"] for entry in first["passed_over"]] == [later]
    assert reprice(world, profile=new)["searches"] == first["searches"]
    world.http.post(f"{API}/profiles/{new}/calibrations", json={"points": [{"predicted_ms": 1, "measured_ms": 2}]})
    (calibrated,) = reprice(world, profile=new)["searches"]
    front = world.http.get(f"{API}/searches/{search}/front?profile={new}").json()
    assert front["calibration"]["version"] == 1
    (plain,) = reprice(world, profile=new, calibration=None)["searches"]
    assert plain["left"][0]["latency_ms"] == first["searches"][0]["left"][0]["latency_ms"]
    assert calibrated["left"][0]["latency_ms"] > plain["left"][0]["latency_ms"]
    assert world.http.get(f"{API}/searches/{search}/front?profile={new}").json()["calibration"] is None


def test_fronts_are_compared_with_a_later_profile_too(world: World) -> None:
    world.finished_search()
    one, two = world.add_profile(slow_body()), world.add_profile(measured_profile(name="bench again"))
    reprice(world, profile=one)
    (change,) = reprice(world, profile=two, against=one)["searches"]
    assert change["against"] == one
    assert [point["number"] for point in change["entered"]] == [3]
    assert change["entered"][0]["against_ms"] > change["entered"][0]["latency_ms"]


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({}, 422, "invalid", "/profile"),
        ({"profile": "nobody"}, 422, "unknown_profile", "/profile"),
        ({"profile": "\x00"}, 422, "invalid", "/profile"),
        ({"profile": "p", "colour": 1}, 422, "invalid", "/colour"),
        ({"profile": "NEW", "against": "nobody"}, 422, "unknown_profile", "/against"),
        ({"profile": "NEW", "calibration": "nobody"}, 422, "unknown_calibration", "/calibration"),
        ({"profile": "OWN"}, 422, "nothing_to_price", "/profile"),
        ({"profile": "BATCH"}, 422, "nothing_to_price", "/profile"),
        ({"profile": "STRANGE"}, 422, "match_failed", "/profile"),
    ],
)
def test_what_cannot_be_priced_is_said(
    world: World, body: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    world.finished_search()
    there = {
        "NEW": lambda: world.add_profile(slow_body()),
        "OWN": lambda: world.profile,
        "BATCH": lambda: world.add_profile(slow_body(batch=8)),
        "STRANGE": lambda: world.add_profile(
            measured_profile(rows=tuple(replace(r, layer=f"other {r.layer}") for r in measured_profile().rows[:3]))
        ),
    }
    profile = body.get("profile")
    sent = body | ({"profile": there[profile]()} if profile in there else {})
    problem = reprice(world, status, **sent)
    if code != "match_failed":
        assert problem["code"] == code
    assert problem["errors"][0]["pointer"] == pointer and problem["detail"]


def test_another_batch_can_be_acknowledged(world: World) -> None:
    world.finished_search()
    new = world.add_profile(slow_body(batch=8))
    assert len(reprice(world, profile=new, acknowledge=["batch"])["searches"]) == 1


def test_without_trials_or_a_model_there_is_nothing_to_price(world: World) -> None:
    assert reprice(world, 409, profile=world.profile)["code"] == "no_trials"
    assert world.http.post(f"{API}/models/nobody/reprice", json={"profile": world.profile}).status_code == 404
    with world.service.database.begin() as session:
        unread = models.add(
            session, project_id=world.service.project_id, name="new", upload_digest="3" * 64
        ).id  # fmt: skip
    answer = world.http.post(f"{API}/models/{unread}/reprice", json={"profile": world.profile})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
    with world.service.database.begin() as session:
        from app.store import profiles

        waiting = profiles.add(session, project_id=world.service.project_id, name="w", request={"measure": {}}).id
    assert reprice(world, 409, profile=waiting)["code"] == "not_ready"


def test_trials_that_did_not_end_well_are_not_priced(world: World) -> None:
    search = world.finished_search()
    plan = PruningPlan(pruner="magnitude")
    done = stored(world, search)[2]
    failed = done.evolve(number=5, plan=plan, state="failed", measurements=())
    world.record(search, [failed])
    new = world.add_profile(slow_body())
    assert reprice(world, profile=new)["trials"] == 5
    assert new not in [cost.profile for cost in stored(world, search)[5].costs]

"""Numbers that come later: posted by a team, or measured by a worker; and the mark on what was shipped."""

from typing import Any

import pytest

from app.jobs.verifying import VERIFY
from app.search.trial import Trial
from app.store import calibrations, trial_requests, trials
from tests.app.api.world import API, World, measured_profile

PATH = API + "/searches/{}/trials/{}"
ROW: dict[str, Any] = {
    "backend": "onnxruntime",
    "device": "board",
    "runtime": "onnxruntime 1.31",
    "warning": "",
    "trial": {"p10_ms": 2.0, "median_ms": 2.1, "std_ms": 0.3, "runs": 9},
    "dense": {"p10_ms": 6.0, "median_ms": 6.2, "std_ms": 0.4, "runs": 9},
    "ratio": 0.34,
}


def with_weights(world: World, **changes: Any) -> tuple[str, Trial]:
    """A finished search whose trial 3 has left its weights and its model."""
    search = world.finished_search(**changes)
    with world.service.database.begin() as session:
        trials.add_files(session, search, 3, {"weights": "0" * 64, "model": "1" * 64})
        return search, trials.get(session, search, 3).trial


def done(world: World, request: str, *rows: dict[str, Any]) -> dict[str, Any]:
    """What a worker does when the task is over; the request then."""
    with world.service.database.begin() as session:
        VERIFY.set_ready(session, request, VERIFY.ready({"rows": list(rows)}, {}))
        return dict(trial_requests.one(session, request).result or {})


def asked(world: World, search: str, **body: Any) -> str:
    answer = world.http.post(PATH.format(search, 3) + "/verify", json={"batch": 1, **body})
    assert answer.status_code == 202, answer.text
    assert answer.json()["kind"] == "verify"
    return str(answer.json()["id"])


@pytest.fixture
def same_place(world: World) -> World:
    """A world whose profile was measured in the place of ROW."""
    profile = measured_profile(runtime="onnxruntime 1.31, 1 thread", statistic="p10", name="here")
    object.__setattr__(world, "profile", world.add_profile(profile))
    return world


def test_a_verification_stands_beside_the_prediction_and_calibrates_the_profile(same_place: World) -> None:
    world = same_place
    search, before = with_weights(world)
    front = world.http.get(f"{API}/searches/{search}/front").json()["points"]
    result = done(world, asked(world, search), ROW, {"backend": "compile", "failure": "no compiler"})
    predicted_ms = before.cost(world.profile).latency_ms
    assert result["rows"][0]["profile"] == world.profile
    assert (result["rows"][0]["predicted_ms"], result["rows"][0]["calibration"]) == (predicted_ms, "version 1")
    assert result["rows"][1] == {"backend": "compile", "failure": "no compiler"}
    (found,) = [m for m in world.http.get(PATH.format(search, 3)).json()["measurements"] if m["origin"]]
    assert (found["metric"], found["value"], found["profile"]) == ("latency_ms", 2.0, world.profile)
    assert found["standard_error"] == pytest.approx(0.1)
    assert found["origin"]["dense_ms"] == 6.0
    assert found["origin"]["statistic"] == "p10"
    with world.service.database.read() as session:
        newest = calibrations.latest(session, world.service.project_id, [world.profile])[world.profile]
    assert newest.document["points"] == [
        {"predicted_ms": predicted_ms, "measured_ms": 2.0, "label": f"search {search}, trial 3"}
    ]
    after = world.http.get(f"{API}/searches/{search}/front").json()["points"]
    assert [(p["number"], p["latency_ms"]) for p in after] == [(p["number"], p["latency_ms"]) for p in front]


def test_another_place_or_a_busy_machine_calibrates_nothing(same_place: World) -> None:
    world = same_place
    search, _ = with_weights(world)
    busy = ROW | {"warning": "the machine was busy"}
    assert "busy" in done(world, asked(world, search), busy)["rows"][0]["calibration"]
    elsewhere = ROW | {"device": "another"}
    assert "profile" not in done(world, asked(world, search, threads=2), elsewhere)["rows"][0]
    measurements = world.http.get(PATH.format(search, 3)).json()["measurements"]
    assert [m["profile"] for m in measurements if m["origin"]] == [world.profile, None]
    assert [m["value"] for m in measurements if m["origin"]] == [2.0, 2.1]  # the profile's decile; the median
    with world.service.database.read() as session:
        assert not calibrations.latest(session, world.service.project_id, [world.profile])


def test_the_second_end_of_a_verification_changes_nothing(same_place: World) -> None:
    search, _ = with_weights(same_place)
    request = asked(same_place, search)
    done(same_place, request, ROW)
    done(same_place, request, ROW)
    measurements = same_place.http.get(PATH.format(search, 3)).json()["measurements"]
    assert len([m for m in measurements if m["origin"]]) == 1
    with same_place.service.database.read() as session:
        (only,) = calibrations.page(session, same_place.service.project_id, same_place.profile, limit=9)
    assert (only.version, len(only.document["points"])) == (1, 1)


def test_another_precision_calibrates_nothing(same_place: World) -> None:
    search, _ = with_weights(same_place)
    (row,) = done(same_place, asked(same_place, search, precision="float16"), ROW)["rows"]
    assert "profile" not in row and "calibration" not in row


def test_a_version_that_somebody_wrote_meanwhile_is_built_upon(
    same_place: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PostgreSQL has it: what is read before the other commits is not the newest when we write."""
    search, _ = with_weights(same_place)
    newest, stale = calibrations.latest, [{}]
    done(same_place, asked(same_place, search), ROW)
    monkeypatch.setattr(calibrations, "latest", lambda *rest: stale.pop() if stale else newest(*rest))
    assert done(same_place, asked(same_place, search), ROW)["rows"][0]["calibration"] == "version 2"
    monkeypatch.setattr(calibrations, "latest", lambda *_: {})
    result = done(same_place, asked(same_place, search), ROW)
    assert result["rows"][0]["calibration"].startswith("no new version: Version 1"), "the times are kept all the same"


def test_a_calibration_that_is_full_loses_no_verification(same_place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costmodels.calibrate.MAX_POINTS", 1)
    search, _ = with_weights(same_place)
    done(same_place, asked(same_place, search), ROW)
    assert "more than 1" in done(same_place, asked(same_place, search), ROW)["rows"][0]["calibration"]
    measurements = same_place.http.get(PATH.format(search, 3)).json()["measurements"]
    assert len([m for m in measurements if m["origin"]]) == 2


def test_a_team_posts_its_own_numbers_and_no_front_moves(world: World) -> None:
    search, _ = with_weights(world)
    before = world.http.get(f"{API}/searches/{search}/front").json()
    path = PATH.format(search, 3) + "/measurements"
    accuracy = {"metric": "accuracy", "value": 1.0, "split": "validation", "samples": 10, "note": "our own training"}
    latency = {"metric": "latency_ms", "value": 3.5, "profile": world.profile, "device": "lab board 7"}
    assert world.http.post(path, json=accuracy).status_code == 201
    trial = world.http.post(path, json=latency).json()
    assert trial["accuracy"] == pytest.approx(0.9)
    posted = [m for m in trial["measurements"] if m["origin"]]
    assert [m["origin"]["by"] for m in posted] == ["post", "post"]
    assert posted[0]["origin"]["note"] == "our own training"
    assert posted[1]["origin"]["device"] == "lab board 7"
    after = world.http.get(f"{API}/searches/{search}/front").json()
    assert [p["accuracy"] for p in after["points"]] == [p["accuracy"] for p in before["points"]]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"metric": "latency_ms", "value": 0.0}, 422, "not_positive"),
        ({"metric": "accuracy", "value": 93.1}, 422, "not_a_share"),
        ({"metric": "accuracy", "value": 0.5, "profile": "nobody"}, 422, "unknown_profile"),
        ({"metric": "joules", "value": 0.5}, 422, None),
        ({"metric": "accuracy", "value": 0.5, "origin": {"by": "search"}}, 422, None),
    ],
)
def test_what_cannot_be_posted_is_refused(world: World, body: dict[str, Any], status: int, code: str | None) -> None:
    search, _ = with_weights(world)
    answer = world.http.post(PATH.format(search, 3) + "/measurements", json=body)
    assert answer.status_code == status
    if code:
        assert answer.json()["code"] == code


def test_a_trial_is_shipped_once_it_is_complete(world: World) -> None:
    search, _ = with_weights(world)
    path = PATH.format(search, 3) + "/shipped"
    assert world.http.put(path, json={"note": "release 7"}).json()["shipped"]["note"] == "release 7"
    assert world.http.get(PATH.format(search, 3)).json()["shipped"]["at"]
    assert world.http.delete(path).json()["shipped"] is None
    queued = world.search()
    plan = with_weights(world)[1]
    with world.service.database.begin() as session:
        trials.add_asked(session, queued, [plan.evolve(number=0, state="queued", measurements=(), files={})])
    answer = world.http.put(PATH.format(queued, 0) + "/shipped", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_complete")
    refused = world.http.post(PATH.format(queued, 0) + "/verify", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_complete")

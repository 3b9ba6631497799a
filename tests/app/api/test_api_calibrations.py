"""Calibrations: versions from measured latencies, trials fed back uncalibrated, pinned by the searches to come."""

from typing import Any

import pytest

from app.search.space.price import price_plan
from app.store import calibrations
from costmodels.calibrate import Calibrated, Calibration
from costmodels.catalogue import cost_model
from tests.app.api.world import API, MODEL, World, finished_trial, measured_profile, plans_and_accuracies

POINTS = [{"predicted_ms": 5.5, "measured_ms": 5.0, "label": "dense"}, {"predicted_ms": 3.3, "measured_ms": 3.2}]


def add(world: World, *points: Any, **body: Any) -> Any:
    return world.http.post(f"{API}/profiles/{world.profile}/calibrations", json={"points": list(points), **body})


def test_every_addition_is_a_version_of_all_points_so_far(world: World) -> None:
    first = add(world, POINTS[0])
    assert first.status_code == 201, first.text
    assert (first.json()["version"], first.json()["method"]) == (1, "scale")
    assert first.json()["factor"] == pytest.approx(5.0 / 5.5)
    second = add(world, POINTS[1]).json()
    assert (second["version"], second["method"], second["parent"]) == (2, "affine", first.json()["digest"])
    for point, given in zip(second["points"], POINTS, strict=True):
        assert point["calibrated_ms"] == pytest.approx(given["measured_ms"])
        assert point["residual"] == pytest.approx(0.0, abs=1e-9)
    fresh = add(world, POINTS[0], start_over=True).json()
    assert (fresh["version"], len(fresh["points"]), fresh["parent"]) == (3, 1, "")
    listed = world.http.get(f"{API}/profiles/{world.profile}/calibrations").json()["items"]
    assert [version["version"] for version in listed] == [3, 2, 1]
    assert world.http.get(first.headers["location"]).json() == first.json() == listed[2]


def test_what_is_far_off_is_warned_about(world: World) -> None:
    assert "outside 0.6 ... 1.1" in add(world, {"predicted_ms": 10.0, "measured_ms": 2.0}).json()["warning"]


@pytest.mark.parametrize(
    ("points", "where"),
    [
        ([], "/points"),
        ([{"measured_ms": 1.0}], "/points/0"),
        ([{"measured_ms": 1.0, "predicted_ms": 1.0, "search": "s", "trial": 1}], "/points/0"),
        ([{"measured_ms": 1.0, "search": "s"}], "/points/0"),
        ([POINTS[0], {"measured_ms": -1.0, "predicted_ms": 1.0}], "/points/1/measured_ms"),
        ([{"measured_ms": 1.0, "search": "nobody", "trial": 1}], "/points/0"),
        ([{"measured_ms": 1.0, "predicted_ms": 1.0, "label": "a\x07b"}], "/points/0/label"),
    ],
)
def test_wrong_points_are_pointed_at(calm: World, points: Any, where: str) -> None:
    answer = add(calm, *points)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == where


def test_nan_is_no_measurement(calm: World) -> None:
    raw = b'{"points": [{"predicted_ms": 1.0, "measured_ms": NaN}]}'
    path, headers = f"{API}/profiles/{calm.profile}/calibrations", {"Content-Type": "application/json"}
    assert calm.http.post(path, content=raw, headers=headers).status_code == 422


def test_too_many_points(world: World) -> None:
    assert add(world, *[POINTS[0]] * 600).status_code == 201
    answer = add(world, *[POINTS[0]] * 600)
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_points")


def test_a_profile_that_is_not_ready(world: World) -> None:
    wish = world.http.post(f"{API}/profiles", json={"measure": {"model": world.model}}).json()["id"]
    answer = world.http.post(f"{API}/profiles/{wish}/calibrations", json={"points": POINTS})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
    assert world.http.get(f"{API}/profiles/nobody/calibrations").status_code == 404
    assert world.http.get(f"{API}/profiles/{world.profile}/calibrations/7").status_code == 404


def test_a_trial_counts_with_what_was_predicted_before_any_calibration(world: World) -> None:
    plain = world.finished_search()
    raw_ms = world.http.get(f"{API}/searches/{plain}/trials/2").json()["costs"][0]["latency_ms"]
    one = add(world, {"search": plain, "trial": 2, "measured_ms": 3.0}).json()
    assert one["points"][0]["predicted_ms"] == pytest.approx(raw_ms)
    assert one["points"][0]["label"] == f"search {plain}, trial 2"
    calibrated = add(world, POINTS[0]).json()
    search = world.search(calibrations={world.profile: calibrated["id"]})
    with world.service.database.read() as session:
        found = calibrations.get(session, world.service.project_id, calibrated["id"])
    prices = Calibrated(cost_model(measured_profile(), MODEL), Calibration.from_json(dict(found.document)))
    plan, accuracy = plans_and_accuracies()[3]
    costs = price_plan(MODEL, plan, {world.profile: prices})
    world.record(search, [finished_trial(2, plan, accuracy, world.profile).evolve(costs=costs)])
    (raw,) = price_plan(MODEL, plan, {world.profile: cost_model(measured_profile(), MODEL)})
    assert costs[0].latency_ms != pytest.approx(raw.latency_ms)
    last = add(world, {"search": search, "trial": 2, "measured_ms": 2.0, "label": "again"}).json()
    assert last["points"][-1]["predicted_ms"] == pytest.approx(raw.latency_ms)
    shown = world.http.get(f"{API}/searches/{search}/trials/2").json()
    assert shown["devices"][0]["after_ms"] == pytest.approx(costs[0].latency_ms), "priced under the pinned version"
    front = world.http.get(f"{API}/searches/{search}/front").json()
    assert (front["calibration"]["version"], front["calibration"]["points"]) == (2, 2)


def test_the_newest_version_is_pinned_at_submission(world: World) -> None:
    first = add(world, POINTS[0]).json()

    def submit(key: str | None = None, **changes: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        return world.http.post(f"{API}/searches", json=world.spec(**changes), headers=headers)

    assert submit("once").json()["spec"]["calibrations"] == {world.profile: first["id"]}
    second = add(world, POINTS[1]).json()
    again = submit("once")
    assert again.json()["spec"]["calibrations"] == {world.profile: first["id"]}, "the same search as before"
    assert submit().json()["spec"]["calibrations"] == {world.profile: second["id"]}
    assert (
        submit(calibrations={world.profile: first["id"]}).json()["spec"]["calibrations"][world.profile] == first["id"]
    )
    assert submit(calibrations={world.profile: None}).json()["spec"]["calibrations"] == {world.profile: None}
    other = submit("once", calibrations={world.profile: second["id"]})
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


def test_limits_are_judged_under_the_calibration(world: World) -> None:
    limits = [{"profile": world.profile, "latency_ms": 1.2}]
    assert world.http.post(f"{API}/searches", json=world.spec(limits=limits)).status_code == 422
    add(world, {"predicted_ms": 5.5, "measured_ms": 0.55})
    assert world.http.post(f"{API}/searches", json=world.spec(limits=limits)).status_code == 202


def test_a_calibration_that_cannot_be_pinned(world: World) -> None:
    add(world, POINTS[0])
    other = world.add_profile(measured_profile(name="other"))
    theirs = world.http.post(f"{API}/profiles/{other}/calibrations", json={"points": POINTS}).json()["id"]
    for chosen, code in (("nobody", "unknown_calibration"), (theirs, "calibration_mismatch")):
        answer = world.http.post(f"{API}/searches", json=world.spec(calibrations={world.profile: chosen}))
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert answer.json()["errors"][0]["pointer"] == f"/calibrations/{world.profile}"
    stray = world.http.post(f"{API}/searches", json=world.spec(calibrations={"elsewhere": None}))
    assert stray.json()["errors"][0]["pointer"] == "/calibrations"

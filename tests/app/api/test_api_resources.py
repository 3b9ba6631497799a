"""Energy and bytes of weights over REST: limits on them, what a trial is predicted to take, and what nobody knows."""

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from app.search.space.price import price_plan
from app.store.tables import Profile
from costmodels.catalogue import accelerator_profile, cost_model
from costmodels.network import network_cost
from pruning.plan import PruningPlan
from tests.app.api.world import API, MODEL, World, finished_trial, measured_profile, plans_and_accuracies

CHIP = accelerator_profile("eyeriss-v1-like", 1, "int16")
DENSE = network_cost(MODEL, PruningPlan(pruner=""), cost_model(CHIP, MODEL))


def chip_spec(world: World, *limits: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A search on a device that knows its energy, and on one that does not."""
    key = world.add_profile(CHIP)
    named = [{"profile": key if limit.get("profile") is None else limit["profile"]} | limit for limit in limits]
    return world.spec(profiles=[world.profile, key], acknowledge=["precision"], limits=named, **changes)


def test_a_limit_within_reach_is_accepted_and_stored(world: World) -> None:
    assert DENSE.energy_mj is not None and DENSE.weight_bytes is not None
    body = chip_spec(world, {"energy_mj": 0.9 * DENSE.energy_mj}, {"weight_bytes": DENSE.weight_bytes})
    answer = world.http.post(f"{API}/searches", json=body)
    assert answer.status_code == 202, answer.text
    stored = world.http.get(f"{API}/searches/{answer.json()['id']}").json()["spec"]["limits"]
    assert [limit["energy_mj"] for limit in stored] == [pytest.approx(0.9 * DENSE.energy_mj), None]
    front = world.http.get(f"{API}/searches/{answer.json()['id']}/front?profile={body['profiles'][1]}").json()
    assert front["limits"] == [], "only a latency can be drawn beside latencies"
    assert world.http.get(f"{API}/searches/{answer.json()['id']}/fleet?by=limit").status_code == 409


@pytest.mark.parametrize(("name", "least"), [("energy_mj", 1e-9), ("weight_bytes", 1)])
def test_a_limit_out_of_reach_is_answered_with_the_range(world: World, name: str, least: float) -> None:
    body = chip_spec(world, {"share": 1.0}, {name: least})
    refused = world.http.post(f"{API}/searches", json=body)
    document = refused.json()
    assert (refused.status_code, document["code"]) == (422, "limit_unreachable")
    assert document["errors"][0]["pointer"] == "/limits/1"
    reach = document["reachable"]
    assert reach["limit"] == least < reach["lowest"] < reach["dense"] == pytest.approx(getattr(DENSE, name))
    (missed,) = world.http.post(f"{API}/searches/estimate", json=body).json()["unreachable"]
    assert (missed["pointer"], missed["resource"], missed["lowest"]) == ("/limits/1", name, reach["lowest"])
    assert missed["limit_ms"] is missed["lowest_ms"] is None and missed["detail"] == document["detail"]


def test_a_resource_that_the_profile_cannot_price_is_refused(world: World) -> None:
    body = chip_spec(world, {"profile": world.profile, "energy_mj": 3.0})
    with world.service.database.begin() as session:  # people named it later, as one may name a measured profile
        session.execute(update(Profile).where(Profile.id == world.profile).values(name="the bench"))
    refused = world.http.post(f"{API}/searches", json=body)
    document = refused.json()
    assert (refused.status_code, document["code"]) == (422, "resource_unknown")
    assert document["errors"][0]["pointer"] == "/limits/0"
    assert "'the bench'" in document["detail"] and "'eyeriss-v1-like'" in document["detail"]
    (missed,) = world.http.post(f"{API}/searches/estimate", json=body).json()["unreachable"]
    assert (missed["lowest"], missed["dense"], missed["detail"]) == (None, None, document["detail"])


def test_the_lowest_that_a_refusal_names_can_be_asked_for(world: World) -> None:
    """Rounded to the nearest it may lie below what can be reached."""
    for limit in ({"energy_mj": 1e-9}, {"weight_bytes": 1}, {"latency_ms": 1e-6}):
        (name,) = limit
        body = chip_spec(world, limit)
        refused = world.http.post(f"{API}/searches", json=body).json()
        said = re.search(r"(?:goes from|at least) ([\d.,e-]+)", refused["detail"])
        assert said is not None, refused["detail"]
        body["limits"][0][name] = float(said[1].replace(",", ""))
        assert world.http.post(f"{API}/searches", json=body).status_code == 202, refused["detail"]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-1", "0", "1e300"])
def test_no_odd_number_is_a_limit(world: World, text: str) -> None:
    body = json.dumps(chip_spec(world, {"energy_mj": "ODD"})).replace('"ODD"', text)
    refused = world.http.post(f"{API}/searches", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == "/limits/0/energy_mj"


@pytest.mark.parametrize("limit", [{}, {"energy_mj": 1.0, "share": 0.5}, {"energy_mj": 0.0}, {"watts": 1.0}])
def test_a_limit_says_one_thing(world: World, limit: dict[str, float]) -> None:
    refused = world.http.post(f"{API}/searches", json=world.spec(limits=[{"profile": world.profile, **limit}]))
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"].startswith("/limits/0")


def priced_search(world: World) -> tuple[str, str]:
    """A finished search on both devices, and the id of the one that knows its energy."""
    key = world.add_profile(CHIP)
    search = world.search(profiles=(world.profile, key), acknowledge=("precision",), trials=3)
    made = []
    for number, (plan, accuracy) in enumerate(plans_and_accuracies()):
        trial = finished_trial(number, plan, accuracy, world.profile)
        made.append(trial.evolve(costs=(*trial.costs, *price_plan(MODEL, plan, {key: cost_model(CHIP, MODEL)}))))
    world.record(search, made)
    return search, key


def test_what_a_trial_takes_is_told_where_it_is_known(world: World) -> None:
    search, key = priced_search(world)
    trial = world.http.get(f"{API}/searches/{search}/trials/3").json()
    blind, known = trial["costs"]
    assert blind["energy_mj"] is blind["weight_bytes"] is None
    assert 0 < known["energy_mj"] < DENSE.energy_mj and 0 < known["weight_bytes"] < DENSE.weight_bytes
    device = next(device for device in trial["devices"] if device["id"] == key)
    assert (device["before_mj"], device["after_mj"]) == (pytest.approx(DENSE.energy_mj), known["energy_mj"])
    assert device["after_weight_bytes"] == known["weight_bytes"] < device["before_weight_bytes"]
    front = world.http.get(f"{API}/searches/{search}/front?profile={key}").json()
    assert {point["number"]: point["energy_mj"] for point in front["trials"]}[3] == known["energy_mj"]
    text = world.http.get(f"{API}/searches/{search}/front.csv?profile={key}").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert float(rows[3]["weight_bytes"]) == known["weight_bytes"]
    (unknown,) = {row["energy_mj"] for row in csv.DictReader(io.StringIO(csv_of(world, search)))}
    assert unknown == ""


def csv_of(world: World, search: str) -> str:
    return str(world.http.get(f"{API}/searches/{search}/front.csv").text)


def test_a_measured_profile_with_energies_of_some_rows_prices_what_it_can(world: World) -> None:
    """The dense rows and one sparse row are known; plans that need another figure keep no limit."""
    known = measured_profile()
    rows = [replace(row, energy_mj=2 * row.latency_ms) for row in known.rows if row.in_channels is None]
    key = world.add_profile(replace(known, name="metered", rows=(*rows, *known.rows[3:5])))
    most = {"profile": key, "energy_mj": 8.0}
    answer = world.http.post(f"{API}/searches", json=world.spec(profiles=[key], limits=[most]))
    assert answer.status_code == 202, answer.text
    tight = world.spec(profiles=[key], limits=[most | {"energy_mj": 0.1}])
    refused = world.http.post(f"{API}/searches", json=tight).json()
    assert refused["reachable"]["lowest"] < 8.0 < refused["reachable"]["dense"] == pytest.approx(11.0)
    assert "options without a figure left out" in refused["detail"]

"""A fleet over REST: the front of the worst device and the fewest trials for a list of limits."""

from typing import Any

import pytest

from app.search.spec import Limit
from tests.app.api.test_api_repricing import slow_body
from tests.app.api.world import API, World

EASY = ({"profile": "P", "share": 1.0, "least_quality": 0.97},)


def ask(world: World, search: str, status: int = 200, **query: Any) -> dict[str, Any]:
    answer = world.http.get(f"{API}/searches/{search}/fleet", params=query)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def cover(world: World, search: str, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = world.http.post(f"{API}/searches/{search}/fleet", json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def repriced(world: World, search: str) -> str:
    other = world.add_profile(slow_body())
    assert world.http.post(f"{API}/models/{world.model}/reprice", json={"profile": other}).status_code == 200
    assert world.http.get(f"{API}/searches/{search}/front?profile={other}").status_code == 200
    return other


def test_the_worst_device_decides(world: World) -> None:
    search = world.finished_search()
    alone = ask(world, search)
    assert (alone["by"], alone["profiles"]) == ("dense", [world.profile])
    front = world.http.get(f"{API}/searches/{search}/front").json()
    assert [p["number"] for p in alone["points"]] == [p["number"] for p in front["points"]]
    assert [p["share"] for p in alone["points"]] == pytest.approx([p["latency_share"] for p in front["points"]])
    other = repriced(world, search)
    both = ask(world, search)
    assert both["profiles"] == [world.profile, other]
    assert 3 not in [p["number"] for p in both["points"]]  # slow on the other board
    assert ask(world, search, profiles=world.profile)["points"] == alone["points"]


def test_limits_can_be_what_counts_as_one(world: World) -> None:
    search = world.finished_search(limits=(Limit(profile=world.profile, share=0.5),))
    repriced(world, search)
    found = ask(world, search, by="limit")
    assert found["reference_ms"] == {world.profile: pytest.approx(2.75)}
    assert all(p["share"] == pytest.approx(2 * ask_share(world, search, p["number"])) for p in found["points"])


def ask_share(world: World, search: str, number: int) -> float:
    front = world.http.get(f"{API}/searches/{search}/front").json()
    return float(next(p["latency_share"] for p in front["trials"] if p["number"] == number))


def test_the_fewest_trials_for_limits_across_the_fleet(world: World) -> None:
    search = world.finished_search()
    other = repriced(world, search)
    limits = [{"profile": world.profile, "latency_ms": 2.5}, {"profile": other, "share": 1.0, "least_quality": 0.97}]
    found = cover(world, search, limits=limits)
    assert (found["numbers"], found["fewest"], found["proven"]) == ([1, 3], 2, True)
    assert [served["number"] for served in found["limits"]] == [3, 1]
    assert found["mean_quality"] == pytest.approx((0.9 + 0.98) / 2) and found["min_quality"] == 0.9
    loose = [{"profile": world.profile, "share": 0.7}, {"profile": other, "share": 1.0}]
    assert cover(world, search, limits=loose)["numbers"] == [2]
    assert cover(world, search, limits=loose, k=2, objective="min")["numbers"] == [1, 2]


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"limits": []}, "invalid", "/limits"),
        ({"limits": [{"profile": "P"}]}, "invalid", "/limits/0"),
        ({"limits": [{"profile": "P", "latency_ms": -1}]}, "invalid", "/limits/0/latency_ms"),
        ({"limits": [{"profile": "nobody", "latency_ms": 1}]}, "unknown_profile", "/limits/0/profile"),
        ({"limits": [*EASY, {"profile": "P", "latency_ms": 0.1}]}, "limit_unreachable", "/limits/1"),
        ({"limits": [{"profile": "P", "share": 0.5, "least_quality": 0.99}]}, "limit_unreachable", "/limits/0"),
        ({"limits": [*EASY, {"profile": "P", "latency_ms": 2.5}], "k": 1}, "too_few_models", "/k"),
        ({"limits": [{"profile": "P", "share": 1}], "k": 0}, "invalid", "/k"),
    ],
)  # fmt: skip
def test_what_a_fleet_cannot_have_is_said(world: World, body: dict[str, Any], code: str, pointer: str) -> None:
    search = world.finished_search()
    limits = [
        limit | ({"profile": world.profile} if limit["profile"] == "P" else {}) for limit in body.get("limits", [])
    ]
    problem = cover(world, search, 422, **{**body, "limits": limits})
    assert (problem["code"], problem["errors"][0]["pointer"]) == (code, pointer)
    assert problem["detail"]


def test_fleets_that_are_not_there(world: World) -> None:
    empty = world.search()
    assert ask(world, empty, 409)["code"] == "no_trials"
    assert ask(world, "nobody", 404)["code"] == "not_found"
    search = world.finished_search()
    assert ask(world, search, 422, profiles="nobody")["errors"][0]["parameter"] == "profiles"
    assert ask(world, search, 422, by="limit")["code"] == "no_limits"

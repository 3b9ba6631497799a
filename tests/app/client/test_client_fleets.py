"""The client's half about estimates, later profiles and fleets."""

import pytest

from app.client import ApiError, Client
from tests.app.api.test_api_repricing import slow_body
from tests.app.api.world import World


def test_estimates_before_and_after(client: Client, world: World) -> None:
    found = client.estimate_search(world.spec(trials=4))
    assert found["trials"] == 6 and list(client.pages("searches")) == []
    search = client.submit_search(world.spec(trials=4))
    assert search.document["estimate"]["predicted"] == found
    assert client.list_estimates()["items"] == []


def test_a_later_profile_and_a_fleet(client: Client, world: World) -> None:
    search = world.finished_search()
    later = world.add_profile(slow_body())
    assert client.reprice_model(world.model, later, against=world.profile)["trials"] == 5
    assert client.reprice_model(world.model, later, calibration=None)["calibration"] is None
    assert client.get_front(search, later)["profile"] == later
    assert client.get_fleet(search)["profiles"] == [world.profile, later]
    assert client.get_fleet(search, profiles=[later])["profiles"] == [later]
    assert client.cover_fleet(search, [{"profile": later, "share": 1.0}], objective="min")["numbers"] == [1]
    with pytest.raises(ApiError) as refused:
        client.cover_fleet(search, [{"profile": later, "latency_ms": 0.1}])
    assert refused.value.code == "limit_unreachable"

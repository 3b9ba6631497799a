"""Trials: the list, the per-layer table, the files."""

import pytest

from app.search.trial import Failure
from tests.app.api.world import API, LAYERS, World, finished_trial, plans_and_accuracies


def test_trials_are_listed_by_number_in_pages(world: World) -> None:
    search = world.finished_search()
    first = world.http.get(f"{API}/searches/{search}/trials?limit=3").json()
    assert [item["number"] for item in first["items"]] == [0, 1, 2]
    rest = world.http.get(f"{API}/searches/{search}/trials", params={"limit": 3, "after": first["next"]}).json()
    assert ([item["number"] for item in rest["items"]], rest["next"]) == ([3, 4], None)
    assert first["items"][2]["patterns"] == {"channel": 1}
    assert rest["items"][0]["patterns"] == {"channel": 1, "unstructured": 1}
    assert rest["items"][0]["pruner"] == "pdp"
    assert world.http.get(f"{API}/searches/{search}/trials?state=failed").json()["items"] == []
    assert world.http.get(f"{API}/searches/nobody/trials").status_code == 404


def test_one_trial_says_what_each_layer_lost_and_what_that_buys(world: World) -> None:
    search = world.finished_search()
    trial = world.http.get(f"{API}/searches/{search}/trials/3").json()
    assert [layer["name"] for layer in trial["layers"]] == [layer.name for layer in LAYERS]
    stem, body, head = trial["layers"]
    assert stem["pattern"] == "channel@0.5"
    assert stem["out_channels"] == {"before": 16, "after": 8}
    assert body["in_channels"] == {"before": 16, "after": 8}
    assert body["sparsity"] == pytest.approx(0.9)
    assert head["pattern"] == "dense"
    cost = stem["latency"][world.profile]
    assert (cost["before_ms"], cost["after_ms"], cost["source"], cost["derivation"]) == (1.0, 0.6, "measured", "exact")
    assert body["latency"][world.profile]["after_ms"] < 2.2
    device = trial["devices"][0]
    assert device["before_ms"] == pytest.approx(5.5)
    assert device["after_ms"] == pytest.approx(trial["costs"][0]["latency_ms"])
    assert sum(layer["latency"][world.profile]["after_ms"] for layer in trial["layers"]) == pytest.approx(
        device["after_ms"]
    )
    assert (trial["checks"], trial["plan"]["settings"]) == ({"exact_zeros": True}, {"tau": 0.1})
    assert trial["macs_after"] == 5
    assert {m["split"] for m in trial["measurements"]} == {"validation", "test"}


def test_a_trial_says_by_what_its_recovery_multiplied_the_learning_rate(world: World) -> None:
    search = world.search()
    plan, accuracy = plans_and_accuracies()[2]
    own = {"learning_rate": 0.3456789, "steps": 0.25}
    for number, coordinates in ((2, own), (3, {})):
        trial = finished_trial(number, plan, accuracy, world.profile).evolve(coordinates=coordinates)
        world.record(search, [trial])
    told = [world.http.get(f"{API}/searches/{search}/trials/{number}").json() for number in (2, 3)]
    assert [trial["learning_rate_factor"] for trial in told] == [own["learning_rate"], 1.0]
    pages = [world.http.get(trial["links"]["page"]).text for trial in told]
    assert "200 recovery steps at 0.346 times the learning rate" in pages[0]
    assert "200 recovery steps</li>" in pages[1]


def test_a_trial_that_failed_says_why_and_has_a_table_all_the_same(world: World) -> None:
    search = world.search()
    plan, _ = plans_and_accuracies()[3]
    failed = finished_trial(2, plan, 0.9, world.profile).evolve(
        state="failed",
        measurements=(),
        report={},
        failure=Failure(code="out_of_memory", reason="2 GiB were not enough"),
    )
    world.record(search, [failed])
    trial = world.http.get(f"{API}/searches/{search}/trials/2").json()
    assert trial["failure"]["reason"] == "2 GiB were not enough"
    assert (trial["accuracy"], trial["layers"][0]["sparsity"], trial["macs_after"]) == (None, None, None)
    assert world.http.get(f"{API}/searches/{search}").json()["progress"]["failed"] == 1


def test_files_are_downloads_with_harmless_names(world: World) -> None:
    search = world.search(name='x"\r\n../../<b>é')
    plan, accuracy = plans_and_accuracies()[2]
    digest = world.artefact(b"tensors", "weights")
    world.record(search, [finished_trial(2, plan, accuracy, world.profile).evolve(files={"weights": digest})])
    trial = world.http.get(f"{API}/searches/{search}/trials/2").json()
    answer = world.http.get(trial["links"]["weights"])
    assert (answer.status_code, answer.content) == (200, b"tensors")
    assert answer.headers["content-disposition"] == 'attachment; filename="x-b-trial-2.safetensors"'
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "model" not in trial["links"]
    missing = world.http.get(f"{API}/searches/{search}/trials/2/files/model")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_file")
    assert world.http.get(f"{API}/searches/{search}/trials/2/files/passwd").status_code == 422


def test_numbers_that_are_not_there(world: World) -> None:
    search = world.finished_search()
    assert world.http.get(f"{API}/searches/{search}/trials/99").status_code == 404
    assert world.http.get(f"{API}/searches/{search}/trials/two").status_code == 422

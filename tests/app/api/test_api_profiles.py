"""The four ways to bring a profile, and the wrong ones."""

from typing import Any

import pytest

from costmodels.accelerator import load, names
from costmodels.profile import Profile
from tests.app.api.world import API, World, measured_profile


def post(world: World, body: Any) -> Any:
    return world.http.post(f"{API}/profiles", json=body)


def test_a_document_is_ready_at_once(world: World) -> None:
    document = measured_profile(name="second").to_json()
    answer = post(world, document)
    assert answer.status_code == 201
    profile = answer.json()
    assert (profile["state"], profile["device"], profile["source"], profile["rows"]) == (
        "ready",
        "board",
        "measured",
        6,
    )
    assert Profile.from_json(world.http.get(answer.headers["location"]).json()["document"]) == measured_profile(
        name="second"
    )


def test_a_spreadsheet_says_the_same_as_its_export(world: World) -> None:
    text = world.http.get(f"{API}/profiles/{world.profile}.csv")
    assert text.headers["content-disposition"].startswith("attachment")
    files = {"file": ("bench.csv", text.content)}
    answer = world.http.post(f"{API}/profiles", files=files)
    assert answer.status_code == 201, answer.text
    again = Profile.from_json(answer.json()["document"])
    assert set(again.rows) == set(measured_profile().rows)
    plain = world.http.post(f"{API}/profiles", content=text.content, headers={"Content-Type": "text/csv"})
    assert plain.status_code == 201


def test_a_form_says_what_the_spreadsheet_leaves_out(world: World) -> None:
    rows = "layer,latency_ms\nstem,1.0\nbody,4.0\nhead,0.5\n"
    fields = {"name": "mine", "device": "board", "precision": "int8", "batch": "4", "source": "vendor"}
    answer = world.http.post(f"{API}/profiles", files={"file": ("p.csv", rows)}, data=fields)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["batch"], answer.json()["precision"]) == ("mine", 4, "int8")
    wrong = world.http.post(f"{API}/profiles", files={"file": ("p.csv", rows)}, data={**fields, "batch": "four"})
    assert wrong.json()["errors"][0]["pointer"] == "/batch"


@pytest.mark.parametrize("name", names())
def test_every_accelerator_of_the_catalogue(calm: World, name: str) -> None:
    entry = calm.http.get(f"{API}/accelerators/{name}").json()
    assert entry["rewards"] and entry["document"]["peak_macs_per_s"]
    answer = post(calm, {"accelerator": name, "batch": 8, "precision": entry["precisions"][0]})
    assert answer.status_code == 201
    profile = answer.json()
    assert (profile["source"], profile["batch"], profile["document"]["accelerator"]) == ("analytical", 8, name)


def test_the_catalogue_lists_what_there_is(calm: World) -> None:
    items = calm.http.get(f"{API}/accelerators").json()["items"]
    assert [item["name"] for item in items] == list(names())
    assert {item["name"]: tuple(item["precisions"]) for item in items} == {n: load(n).precisions for n in names()}
    assert calm.http.get(f"{API}/accelerators/abacus").status_code == 404


def test_a_wish_to_measure_waits_for_a_worker(world: World) -> None:
    answer = post(world, {"measure": {"model": world.model, "batch": 64, "threads": 2}, "name": "here"})
    assert answer.status_code == 202
    profile = answer.json()
    assert (profile["state"], profile["name"], profile["document"]) == ("requested", "here", None)
    assert profile["request"] == {"model": world.model, "batch": 64, "threads": 2}
    early = world.http.get(f"{API}/profiles/{profile['id']}.csv")
    assert (early.status_code, early.json()["code"]) == (409, "not_ready")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"measure": {"model": "nobody"}}, "/measure/model"),
        ({"measure": {"model": "m", "batch": 0}}, "/measure/batch"),
        ({"measure": {"model": "m"}, "colour": 1}, "/colour"),
        ({"measure": 5}, "/measure"),
        ({"accelerator": "abacus"}, "/accelerator"),
        ({"accelerator": "eyeriss-v2", "precision": "float128"}, "/accelerator"),
        ({"accelerator": "eyeriss-v2", "batch": 1.5}, "/batch"),
        ([1], ""),
        ({}, ""),
    ],
)
def test_wrong_wishes_are_pointed_at(calm: World, body: Any, where: str) -> None:
    answer = post(calm, body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == where


def test_every_wrong_row_is_named(calm: World) -> None:
    document = measured_profile().to_json()
    document["rows"][0]["latency_ms"] = -1.0
    document["rows"][2]["latency_ms"] = "fast"
    answer = post(calm, document)
    assert answer.status_code == 422
    assert answer.json()["code"] == "profile_refused"
    text = " ".join(entry["detail"] for entry in answer.json()["errors"])
    assert "row 3" in text


def test_nan_is_no_latency(calm: World) -> None:
    head = b'"name": "n", "device": "d", "batch": 1, "precision": "int8", "source": "measured"'
    raw = b"{" + head + b', "rows": [{"layer": "a", "latency_ms": NaN}]}'
    answer = calm.http.post(f"{API}/profiles", content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert "NaN" in answer.json()["detail"]


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"", b"[" * 50_000])
def test_what_is_no_json(calm: World, raw: bytes) -> None:
    answer = calm.http.post(f"{API}/profiles", content=raw, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "json_invalid")


def test_a_form_without_a_file(calm: World) -> None:
    answer = calm.http.post(f"{API}/profiles", files={"other": ("p.csv", b"x")})
    assert answer.json()["errors"][0]["pointer"] == "/file"

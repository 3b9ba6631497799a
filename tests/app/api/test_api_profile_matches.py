"""Mapping report, a person's word on what is ambiguous, and what pays, as JSON and as a spreadsheet."""

import csv
import io
from typing import Any

import pytest

from app.store import models
from costmodels.match import match
from costmodels.pays import does_it_pay
from costmodels.profile import Profile, ProfileLayer, ProfileRow
from tests.app.api.world import API, MODEL, World, ambiguous_profile, catalogue_profile, measured_profile


def fit(world: World, profile: str) -> Any:
    answer = world.http.get(f"{API}/profiles/{profile}/match?model={world.model}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_report_says_how_each_layer_was_matched(calm: World) -> None:
    found = fit(calm, calm.profile)
    assert found["gate"] == {"verdict": "ok", "acknowledge": [], "reason": ""}
    assert (found["macs_share"], found["time_share"], found["rules"]) == (1.0, 1.0, {"name": 3})
    stem, body, head = found["layers"]
    assert (stem["partners"], stem["rule"], stem["share"], stem["dense_ms"]) == (["stem"], "name", 1.0, 1.0)
    assert sum(layer["macs_share"] for layer in found["layers"]) == pytest.approx(1.0)
    assert body["time_share"] == pytest.approx(4.0 / 5.5) and head["state"] == "matched"


def test_the_gate_names_the_fewest_words_that_open_it(calm: World) -> None:
    asked = fit(calm, calm.add_profile(ambiguous_profile()))
    assert (asked["gate"]["verdict"], asked["gate"]["acknowledge"]) == ("acknowledge", ["coverage", "ambiguity"])
    assert asked["layers"][0]["state"] == "ambiguous" and asked["layers"][0]["dense_ms"] is None
    assert asked["ambiguous"][0]["candidates"] == ["stem + relu", "stem + add"]
    rows = tuple(row for row in measured_profile().rows if row.layer != "stem")
    assert fit(calm, calm.add_profile(measured_profile(rows=rows)))["gate"]["acknowledge"] == ["coverage"]
    only = tuple(row for row in rows if row.layer != "body")
    poor = fit(calm, calm.add_profile(measured_profile(rows=(*only, ProfileRow(layer="pool", latency_ms=1.0)))))
    assert poor["gate"]["verdict"] == "refused" and "80%" in poor["gate"]["reason"]
    assert {layer["name"] for layer in poor["unused"]} == {"pool"}


def test_an_analytical_profile_has_nothing_to_match(calm: World) -> None:
    found = fit(calm, calm.add_profile(catalogue_profile("eyeriss-v2", 1)))
    assert (found["gate"]["verdict"], found["macs_share"]) == ("ok", None)
    assert {layer["state"] for layer in found["layers"]} == {"analytical"}


def test_a_person_settles_an_ambiguity_in_a_new_profile(world: World) -> None:
    old = world.add_profile(ambiguous_profile())
    answer = world.http.post(f"{API}/profiles/{old}/aliases", json={"aliases": {"stem + add": "stem"}})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    profile = Profile.from_json(made["document"])
    assert (profile.parent, made["digest"]) == (ambiguous_profile().digest, profile.digest)
    assert made["request"] == {"aliases": {"stem + add": "stem"}, "of": old}
    found = fit(world, made["id"])
    assert found["gate"]["verdict"] == "ok" and found["layers"][0]["partners"] == ["stem + add"]
    assert [layer["name"] for layer in found["unused"]] == ["stem + relu"]
    assert fit(world, old)["gate"]["verdict"] == "acknowledge", "the old one is as it was"


@pytest.mark.parametrize(
    "names", [("stem + relu", "stem + add"), ("STEM:0", "module.stem")], ids=["fused by two", "two of one name"]
)
def test_what_names_leave_open_is_settled_too(world: World, names: tuple[str, str]) -> None:
    layers = (*(ProfileLayer(name=name) for name in names), ProfileLayer(name="body"), ProfileLayer(name="head"))
    rows = tuple(ProfileRow(layer=layer.name, latency_ms=1.0) for layer in layers)
    old = world.add_profile(measured_profile(layers=layers, rows=rows))
    assert fit(world, old)["layers"][0]["state"] == "ambiguous"
    made = world.http.post(f"{API}/profiles/{old}/aliases", json={"aliases": {names[1]: "stem"}, "name": "mine"})
    assert made.json()["name"] == "mine"
    assert fit(world, made.json()["id"])["layers"][0]["partners"] == [names[1]]


def test_the_order_of_the_layers_survives_an_alias(world: World) -> None:
    made = world.http.post(f"{API}/profiles/{world.profile}/aliases", json={"aliases": {"body": "trunk"}}).json()
    kept = Profile.from_json(made["document"])
    assert [layer.name for layer in kept.described] == ["stem", "body", "head"]
    assert kept.rows == measured_profile().rows


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"aliases": {}}, "/aliases"),
        ({"aliases": {"nobody": "stem"}}, "/aliases/nobody"),
        ({"aliases": {"body": "a\x00b"}}, "/aliases"),
        ({"aliases": {"body": ""}}, "/aliases/body"),
        ({"aliases": {"body": "b"}, "colour": 1}, "/colour"),
    ],
)
def test_wrong_aliases_are_pointed_at(calm: World, body: Any, where: str) -> None:
    answer = calm.http.post(f"{API}/profiles/{calm.profile}/aliases", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == where


def test_what_pays_is_what_the_cost_models_say(calm: World) -> None:
    from costmodels.profile_table import profile_table

    chip = calm.add_profile(catalogue_profile("eyeriss-v2", 1))
    found = calm.http.get(f"{API}/models/{calm.model}/pays?profiles={calm.profile},{chip}").json()
    assert [profile["id"] for profile in found["profiles"]] == [calm.profile, chip]
    assert found["kinds"] == ["unstructured", "keep2of4", "keep1of4", "channel"]
    profile = measured_profile()
    table = profile_table(profile, MODEL, match(profile, MODEL))
    truth = {(p.layer, p.kind): p for p in does_it_pay(MODEL, {"bench": table})}
    mine = [item for item in found["items"] if item["profile"] == calm.profile]
    assert len(mine) == len(truth) == 12
    for item in mine:
        payoff = truth[item["layer"], item["kind"]]
        assert (item["verdict"], item["reason"], item["device"]) == (payoff.verdict, payoff.reason, "bench")
        assert item["saved_share"] == pytest.approx(payoff.saved_share)
    alone = calm.http.get(f"{API}/profiles/{calm.profile}/pays?model={calm.model}").json()
    assert alone["items"] == mine


def test_kinds_of_which_the_profile_has_rows_are_asked_about(calm: World) -> None:
    rows = (*measured_profile().rows, ProfileRow(layer="body", pattern="block4x1@0.75", latency_ms=2.0))
    key = calm.add_profile(measured_profile(rows=rows))
    found = calm.http.get(f"{API}/profiles/{key}/pays?model={calm.model}").json()
    assert "block4x1" in found["kinds"]


def test_the_sheet_of_what_pays_is_armoured(world: World) -> None:
    first, *rest = MODEL.to_json()["layers"]
    spec = MODEL.to_json() | {"layers": [first | {"name": "=cmd()"}, *rest], "groups": []}
    with world.service.database.begin() as session:
        made = models.add(session, project_id=world.service.project_id, name="=net", upload_digest="0" * 64)
        models.set_ready(session, made.id, graph_digest="1" * 64, weights_digest="2" * 64, spec=spec)
    chip = world.add_profile(catalogue_profile("eyeriss-v2", 1))
    for path in (f"profiles/{chip}/pays.csv?model={made.id}", f"models/{made.id}/pays.csv?profiles={chip}"):
        answer = world.http.get(f"{API}/{path}")
        assert answer.headers["content-disposition"] == 'attachment; filename="pays-net.csv"'
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(lines) == 12 and lines[0]["layer"] == "'=cmd()"


def test_what_cannot_be_asked(world: World) -> None:
    get = world.http.get
    assert get(f"{API}/profiles/{world.profile}/match").status_code == 422
    assert get(f"{API}/profiles/{world.profile}/match?model=nobody").status_code == 404
    assert get(f"{API}/profiles/nobody/pays?model={world.model}").status_code == 404
    many = ",".join(f"p{n}" for n in range(9))
    answer = get(f"{API}/models/{world.model}/pays?profiles={many}")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "profiles")
    wish = world.http.post(f"{API}/profiles", json={"measure": {"model": world.model}}).json()["id"]
    assert get(f"{API}/profiles/{wish}/match?model={world.model}").json()["code"] == "not_ready"
    poor = world.add_profile(measured_profile(rows=(ProfileRow(layer="head", latency_ms=1.0),)))
    answer = get(f"{API}/profiles/{poor}/pays?model={world.model}")
    assert (answer.status_code, answer.json()["code"]) == (422, "profile_mismatch")
    assert answer.json()["match"]["macs_share"] < 0.8

"""Exports over REST: what can be asked for, what is refused, and what a passport is before anybody asked."""

import json
from typing import Any

import pytest

from app.store import models, trial_requests
from tests.app.api.world import API, MODEL, World, finished_trial, plans_and_accuracies


def one_trial(world: World, **files: str) -> str:
    """The address of a complete trial with these files."""
    search = world.search()
    plan, accuracy = plans_and_accuracies()[2]
    world.record(search, [finished_trial(2, plan, accuracy, world.profile).evolve(files=files)])
    return f"{API}/searches/{search}/trials/2"


def test_a_wish_is_answered_at_once_and_followed_at_its_address(world: World) -> None:
    trial = one_trial(world, weights=world.artefact(b"w", "weights"))
    answer = world.http.post(f"{trial}/exports", json={"formats": ["state", "onnx", "state"]})
    wish = answer.json()
    assert (answer.status_code, wish["state"], wish["kind"]) == (202, "queued", "export")
    assert wish["body"] == {"formats": ["onnx", "state"]}
    assert answer.headers["location"] == wish["links"]["self"] == f"{trial}/requests/{wish['id']}"
    assert world.http.get(wish["links"]["self"]).json() == wish
    assert world.http.get(f"{trial}/requests").json() == {"items": [wish]}
    assert world.http.get(trial).json()["links"]["exports"] == f"{trial}/exports"
    assert world.http.get(f"{trial.replace('/2', '/3')}/requests/{wish['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"formats": []}, "/formats"),
        ({"formats": ["tflite"]}, "/formats/0"),
        ({}, "/formats"),
        ({"formats": ["onnx"], "quality": 9}, "/quality"),
    ],
)
def test_what_cannot_be_asked_for(calm: World, body: Any, pointer: str) -> None:
    answer = calm.http.post(f"{API}/searches/{calm.search()}/trials/0/exports", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_only_complete_trials_become_files(calm: World) -> None:
    answer = calm.http.post(f"{one_trial(calm)}/exports", json={"formats": ["onnx"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_complete")
    missing = calm.http.post(f"{API}/searches/{calm.search()}/trials/9/exports", json={"formats": ["onnx"]})
    assert missing.status_code == 404


def test_the_passport_is_the_stored_document(calm: World) -> None:
    none = calm.http.get(f"{one_trial(calm)}/passport")
    assert (none.status_code, none.json()["code"]) == (404, "no_passport")
    document = {"schema": 1, "hops": []}
    digest = calm.artefact(json.dumps(document).encode(), "passport")
    trial = one_trial(calm, passport=digest, onnx=calm.artefact(b"graph", "onnx"))
    assert calm.http.get(f"{trial}/passport").json() == document
    links = calm.http.get(trial).json()["links"]
    answer = calm.http.get(links["onnx"])
    assert answer.content == b"graph"
    assert answer.headers["content-disposition"].endswith('trial-2.onnx"')


def test_a_plan_is_applied_to_a_model_that_is_there_and_the_same(world: World) -> None:
    trial = one_trial(world, weights=world.artefact(b"w", "weights"))
    service = world.service
    with service.database.begin() as s:
        known = [models.add(s, project_id=service.project_id, name=name, upload_digest="7" * 64).id for name in "abc"]
        ready = {"graph_digest": "1" * 64, "weights_digest": "2" * 64}
        models.set_ready(s, known[0], **ready, spec=MODEL.to_json())
        other = {**MODEL.to_json(), "layers": MODEL.to_json()["layers"][:2]}
        models.set_ready(s, known[1], **ready, spec=other)
        models.set_refused(s, known[2], {"code": "x", "reason": "y"})
    same, shorter, refused = (world.http.post(f"{trial}/apply", json={"model": model}) for model in known)
    assert (same.status_code, same.json()["body"]) == (202, {"model": known[0]})
    assert (shorter.status_code, shorter.json()["code"]) == (422, "other_model")
    assert "it has 2 prunable layers, the plan's model 3" in shorter.json()["detail"]
    assert (refused.status_code, refused.json()["code"]) == (422, "model_refused")
    nobody = world.http.post(f"{trial}/apply", json={"model": "nobody"})
    assert (nobody.status_code, nobody.json()["errors"][0]["pointer"]) == (422, "/model")
    made = {"weights": world.artefact(b"new", "weights")}
    with service.database.begin() as s:
        trial_requests.set_ready(s, same.json()["id"], result={}, files=made)
    done = world.http.get(same.json()["links"]["self"]).json()
    assert world.http.get(done["links"]["weights"]).content == b"new"
    missing = world.http.get(f"{done['links']['self']}/files/model")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_file")

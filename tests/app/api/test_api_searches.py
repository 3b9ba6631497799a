"""Submitting: what is accepted, what is refused before any training, and what is only submitted once."""

import json
from typing import Any

import pytest

from app.store import datasets, models, searches
from costmodels.profile import ProfileRow
from pruning.intake.document import GraphDocument, Input, Node, Parameter, Ref
from tests.app.api.world import API, MODEL, World, catalogue_profile, measured_profile


def submit(world: World, headers: dict[str, str] | None = None, **changes: Any) -> Any:
    return world.http.post(f"{API}/searches", json=world.spec(**changes), headers=headers)


def add_profile(world: World, **changes: Any) -> str:
    return str(world.http.post(f"{API}/profiles", json=measured_profile(**changes).to_json()).json()["id"])


def refused(answer: Any, code: str, where: str, status: int = 422) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    document: dict[str, Any] = answer.json()
    assert (document["code"], document["errors"][0]["pointer"]) == (code, where)
    return document


def test_a_search_is_accepted_and_found_again(world: World) -> None:
    answer = submit(world, name="first", trials=5)
    assert answer.status_code == 202, answer.text
    search = answer.json()
    assert (search["state"], search["name"], search["spec"]["trials"], search["phase"]) == ("queued", "first", 5, None)
    assert search["progress"] == {
        "done": 0, "total": 7, "failed": 0, "best_accuracy": None, "seconds_left": None, "metric": "accuracy",
        "best": None, "infeasible": 0, "stopped": 0,
    }  # fmt: skip
    assert answer.headers["location"] == search["links"]["self"] == f"{API}/searches/{search['id']}"
    assert world.http.get(answer.headers["location"]).json() == search
    assert [item["id"] for item in world.http.get(f"{API}/searches").json()["items"]] == [search["id"]]
    assert world.http.get(f"{API}/searches?state=running").json()["items"] == []
    assert world.http.get(f"{API}/searches?state=lost").status_code == 422


@pytest.mark.parametrize(("field", "code", "where"), [
    ("model", "unknown_model", "/model"),
    ("dataset", "unknown_dataset", "/dataset"),
    ("profiles", "unknown_profile", "/profiles/1"),
])  # fmt: skip
def test_what_is_not_there_is_pointed_at(world: World, field: str, code: str, where: str) -> None:
    value: Any = [world.profile, "nobody"] if field == "profiles" else "nobody"
    assert "'nobody'" in refused(submit(world, **{field: value}), code, where)["detail"]
    assert world.http.get(f"{API}/searches").json()["items"] == []


def test_what_was_refused_is_not_searched(world: World) -> None:
    failure = {"code": "model_refused", "reason": "weight 3 is a pickle", "details": {}}
    with world.service.database.begin() as session:
        bad = models.add(session, project_id=world.service.project_id, name="bad", upload_digest="3" * 64)
        models.set_refused(session, bad.id, failure)
        data = datasets.add(
            session, project_id=world.service.project_id, name="d", kind="npz", upload_digest="4" * 64, options={}
        )
        datasets.set_refused(session, data.id, {"code": "x", "reason": "shapes differ", "details": {}})
    assert "is a pickle" in refused(submit(world, model=bad.id), "model_refused", "/model", 409)["detail"]
    assert "shapes differ" in refused(submit(world, dataset=data.id), "dataset_refused", "/dataset", 409)["detail"]
    assert world.http.get(f"{API}/models/{bad.id}").json()["failure"] == failure


@pytest.mark.parametrize(("change", "word"), [({"batch": 64}, "batch"), ({"precision": "int8"}, "precision")])
def test_another_batch_or_precision_must_be_acknowledged(world: World, change: dict[str, Any], word: str) -> None:
    document = refused(submit(world, **change), f"{word}_mismatch", "/profiles/0")
    assert "acknowledge" in document["detail"]
    assert submit(world, **change, acknowledge=[word]).status_code == 202


def test_a_profile_yet_to_be_measured_is_checked_by_its_wish(world: World) -> None:
    wish = {"measure": {"model": world.model, "batch": 64}}
    waiting = world.http.post(f"{API}/profiles", json=wish).json()["id"]
    refused(submit(world, profiles=[waiting]), "batch_mismatch", "/profiles/0")
    assert submit(world, profiles=[waiting], batch=64).status_code == 202


def test_a_profile_of_another_model_is_refused_with_names_of_both(world: World) -> None:
    rows = (ProfileRow(layer="conv1", latency_ms=1.0), ProfileRow(layer="conv2", latency_ms=2.0))
    other = add_profile(world, rows=rows)
    document = refused(submit(world, profiles=[world.profile, other]), "profile_mismatch", "/profiles/1")
    assert "'stem'" in document["detail"] and "'conv1'" in document["detail"]
    assert document["match"]["macs_share"] == 0.0


def test_a_profile_with_a_gap_needs_coverage_acknowledged(world: World) -> None:
    partial = add_profile(world, rows=(ProfileRow(layer="body", latency_ms=4.0),))
    refused(submit(world, profiles=[partial]), "profile_mismatch", "/profiles/0")
    assert submit(world, profiles=[partial], acknowledge=["coverage"]).status_code == 202


@pytest.mark.parametrize("limit", [{"latency_ms": 0.01}, {"share": 0.01}])
def test_an_impossible_limit_is_answered_with_the_range(world: World, limit: dict[str, float]) -> None:
    body = [{"profile": world.profile, **limit}]
    document = refused(submit(world, limits=body), "limit_unreachable", "/limits/0")
    reach = document["reachable"]
    assert reach["dense_ms"] == pytest.approx(5.5)
    assert 0.5 < reach["lowest_ms"] < 5.5
    assert f"{reach['lowest_ms']:.4g} ms" in document["detail"]
    just_right = [{"profile": world.profile, "latency_ms": reach["lowest_ms"] * 1.001}]
    assert submit(world, limits=just_right).status_code == 202


def test_limits_wait_until_the_model_was_read(world: World) -> None:
    with world.service.database.begin() as session:
        unread = models.add(session, project_id=world.service.project_id, name="new", upload_digest="5" * 64)
    body = [{"profile": world.profile, "latency_ms": 0.001}]
    assert submit(world, model=unread.id, limits=body).status_code == 202


def test_layers_and_outputs_must_exist(world: World) -> None:
    document = refused(submit(world, frozen_layers=["stem", "bodi"]), "unknown_layer", "/frozen_layers/1")
    assert "body" in document["detail"]
    refused(submit(world, frozen_layers=[la.name for la in MODEL.layers]), "nothing_to_prune", "/frozen_layers")
    refused(submit(world, task={"output": 1}), "unknown_output", "/task/output")


@pytest.mark.parametrize(
    ("meta", "task", "where"),
    [
        ({"input_shape": [3, 32, 32]}, {}, "/dataset"),
        ({"classes": [str(n) for n in range(11)]}, {}, "/task/output"),
        ({}, {"classes": ["cat", "dog"]}, "/task/classes"),
        ({}, {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}, "/task/mean"),
        ({}, {"classes": [str(n) for n in reversed(range(10))], "mean": [0.5], "std": [0.5]}, None),
    ],
)
def test_data_that_does_not_fit_the_model(
    world: World, meta: dict[str, Any], task: dict[str, Any], where: str | None
) -> None:
    whole = {"input_shape": [1, 8, 8], "classes": [str(n) for n in range(10)], **meta}
    with world.service.database.begin() as session:
        datasets.set_ready(session, world.dataset, meta=whole, arrays_digest="6" * 64)
    answer = submit(world, task=task)
    if where is None:
        assert answer.status_code == 202, answer.text
    else:
        refused(answer, "dataset_mismatch", where)


def test_a_vocabulary_that_the_models_embedding_lacks_is_found_at_once(world: World) -> None:
    """From the model's stored graph, which is plain JSON: no worker and no torch are asked."""
    words = Parameter(id="p0", name="words", kind="parameter", shape=(40, 6), dtype="float32")
    look = Node(id="n0", op="aten.embedding.default", args={"weight": Ref("p0"), "indices": Ref("i0")})
    ids = Input(id="i0", name="input_ids", shape=(None, 8), dtype="int64")
    graph = GraphDocument(inputs=(ids,), parameters=(words,), nodes=(look,), outputs=(Ref("n0"),))
    digest, _ = world.service.artefacts.put_bytes(json.dumps(graph.to_json()).encode())
    spec = MODEL.to_json() | {"input_shape": [8]}
    inputs = [{"name": "input_ids", "shape": [8], "dtype": "int32"}]
    meta = {"classes": ["0", "1"], "input_shape": [8], "inputs": inputs, "tokenizer": {"kind": "words"}}
    for size, fits in ((41, False), (40, True)):
        with world.service.database.begin() as session:
            mine = {"project_id": world.service.project_id, "name": "texts"}
            model = models.add(session, **mine, upload_digest="5" * 64).id
            models.set_ready(session, model, graph_digest=digest, weights_digest="2" * 64, spec=spec)
            data = datasets.add(session, **mine, kind="text", upload_digest="7" * 64, options={}).id
            datasets.set_ready(session, data, meta=meta | {"vocabulary": size}, arrays_digest="6" * 64)
        answer = submit(world, model=model, dataset=data)
        if fits:
            assert answer.status_code == 202, answer.text
        else:
            assert '"vocabulary": 40' in refused(answer, "dataset_mismatch", "/dataset")["detail"]


def test_a_catalogue_accelerator_needs_no_match(world: World) -> None:
    profile = catalogue_profile("eyeriss-v2", 1)
    chip = world.http.post(f"{API}/profiles", json=profile.to_json()).json()["id"]
    assert submit(world, profiles=[chip], precision=profile.precision).status_code == 202


def test_the_same_key_submits_once(world: World) -> None:
    headers = {"Idempotency-Key": "a1"}
    first = submit(world, headers, name="once")
    again = submit(world, headers, name="once")
    assert first.json()["id"] == again.json()["id"]
    assert (again.status_code, again.headers["location"]) == (202, first.headers["location"])
    other = submit(world, headers, name="twice")
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert submit(world, {"Idempotency-Key": "a2"}, name="once").json()["id"] != first.json()["id"]
    assert len(world.http.get(f"{API}/searches").json()["items"]) == 2
    assert submit(world, {"Idempotency-Key": "x" * 300}).status_code == 422


def test_cancelling_is_a_wish_and_can_be_repeated(world: World) -> None:
    search = world.search()
    for _ in range(2):
        answer = world.http.post(f"{API}/searches/{search}/cancel")
        assert answer.status_code == 202
        assert answer.json()["desired"] == "cancel"
    assert world.http.post(f"{API}/searches/nobody/cancel").status_code == 404


def test_extending_asks_for_more_trials_and_a_cancelled_search_has_none(world: World) -> None:
    search = world.search()
    for more in (5, 7):
        answer = world.http.post(f"{API}/searches/{search}/extend", json={"trials": more})
        assert answer.status_code == 202
    assert answer.json()["spec"]["extensions"] == [5, 7]
    for body in ({"trials": 0}, {}, {"trials": 1, "more": 2}):
        assert world.http.post(f"{API}/searches/{search}/extend", json=body).status_code == 422
    assert world.http.post(f"{API}/searches/nobody/extend", json={"trials": 1}).status_code == 404
    world.http.post(f"{API}/searches/{search}/cancel")
    refused = world.http.post(f"{API}/searches/{search}/extend", json={"trials": 1})
    assert refused.status_code == 409
    assert "being cancelled" in refused.json()["detail"]


def test_reading_changes_nothing(world: World) -> None:
    search = world.finished_search()
    before = world.http.get(f"{API}/searches/{search}").json()
    for part in ("front", "trials", "trials/2", "front.csv"):
        assert world.http.get(f"{API}/searches/{search}/{part}").status_code == 200
    assert world.http.get(f"{API}/searches/{search}").json() == before


def test_a_finished_search_shows_both_dense_models_and_the_best(world: World) -> None:
    search = world.http.get(f"{API}/searches/{world.finished_search()}").json()
    assert (search["state"], search["progress"]["done"], search["progress"]["total"]) == ("succeeded", 5, 5)
    assert search["progress"]["best_accuracy"] == 0.96
    assert search["dense"]["accuracy"] == 0.97
    assert search["dense_recovered"]["accuracy"] == 0.98
    assert search["dense"]["latency_ms"] == {world.profile: pytest.approx(5.5)}


def test_a_failed_search_says_why(world: World) -> None:
    search = world.search()
    failure = {"code": "score_failed", "reason": "the images have three channels", "details": {"channels": 3}}
    with world.service.database.begin() as session:
        searches.finish(session, search, state="failed", failure=failure)
    assert world.http.get(f"{API}/searches/{search}").json()["failure"] == failure

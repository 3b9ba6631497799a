"""Errors are problem details: where, what, the way out; never a trace."""

import json
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from app import errors
from app.store.errors import Conflict, NotFound, StoreError
from tests.app.api.world import API, World


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        f"{API}/models/x",
        f"{API}/searches/x",
        f"{API}/profiles/x.csv",
        f"{API}/searches/x/trials/3",
        f"{API}/datasets/x",
    ],
)
def test_what_is_not_there_is_a_404_problem(calm: World, path: str) -> None:
    answer = calm.http.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == 404
    assert document["type"] == f"urn:espalier:problem:{document['code']}"
    assert document["detail"]


def test_a_method_that_is_not_there(calm: World) -> None:
    answer = calm.http.delete(f"{API}/models")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"trials": 0}, "/trials"),
        ({"trials": "many"}, "/trials"),
        ({"colour": "red"}, "/colour"),
        ({"recovery": {"steps": -1}}, "/recovery/steps"),
        ({"recovery": {"stepz": 1}}, "/recovery/stepz"),
        ({"task": {"mean": [0.5]}}, "/task/std"),
        ({"profiles": []}, "/profiles"),
        ({"patterns": ["blob"]}, "/patterns/0"),
        ({"nm": ["1:4"]}, "/nm"),
        ({"limits": [{"profile": "p", "share": 7.0}]}, "/limits/0/share"),
        ({"limits": [{"profile": "p"}]}, "/limits/0"),
        ({"limits": [{"profile": "other", "share": 0.5}]}, "/limits"),
        ({"acknowledge": ["everything"]}, "/acknowledge/0"),
    ],
)
def test_a_wrong_search_is_pointed_at(calm: World, change: dict[str, Any], where: str) -> None:
    answer = calm.http.post(f"{API}/searches", json=calm.spec(**change))
    assert answer.status_code == 422
    assert where in [entry["pointer"] for entry in answer.json()["errors"]]


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_no_number_is_no_limit(calm: World, word: str) -> None:
    limits = f'[{{"profile": "{calm.profile}", "latency_ms": {word}}}]'
    named = f'"model": "{calm.model}", "dataset": "{calm.dataset}", "profiles": ["{calm.profile}"]'
    body = f'{{{named}, "limits": {limits}}}'
    answer = calm.http.post(f"{API}/searches", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/limits/0/latency_ms"


def test_missing_fields_and_broken_json(calm: World) -> None:
    missing = calm.http.post(f"{API}/searches", json={"model": "x"})
    assert {entry["pointer"] for entry in missing.json()["errors"]} == {"/dataset", "/profiles"}
    broken = calm.http.post(f"{API}/searches", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 422
    assert broken.json()["errors"][0]["code"] == "json_invalid"
    deep = calm.http.post(f"{API}/searches", content=b"[" * 100_000, headers={"Content-Type": "application/json"})
    assert deep.status_code in (400, 422)
    assert deep.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "\n"])
def test_text_that_no_database_takes(calm: World, text: str) -> None:
    headers = {"Content-Type": "application/json"}
    for key in ("model", "name", "frozen_layers"):
        body = calm.spec(**{key: [text] if key == "frozen_layers" else text})
        answer = calm.http.post(f"{API}/searches", content=json.dumps(body), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "unprintable"), key
    wish = json.dumps({"measure": {"model": text}})
    assert calm.http.post(f"{API}/profiles", content=wish, headers=headers).status_code == 422
    if text.isascii():
        quoted = quote(text)
        for path in (
            f"models/{quoted}",
            f"searches/{quoted}/events",
            f"accelerators/{quoted}",
            f"models?after={quoted}",
        ):
            assert calm.http.get(f"{API}/{path}").status_code in (404, 422)


@pytest.mark.parametrize("number", [10**30, 2**31, -1])
def test_numbers_that_no_database_takes(calm: World, number: int) -> None:
    for path in (f"trials/{number}", f"trials?after={number}", f"trials/{number}/files/weights"):
        assert calm.http.get(f"{API}/searches/x/{path}").status_code in (404, 422)
    answer = calm.http.get(f"{API}/searches/x/events", headers={"Last-Event-ID": str(number)})
    assert answer.status_code in (404, 422)


def test_wrong_query_parameters_are_named(calm: World) -> None:
    answer = calm.http.get(f"{API}/models?limit=0")
    assert answer.json()["errors"] == [
        {"parameter": "limit", "detail": "Input should be greater than or equal to 1", "code": "greater_than_equal"}
    ]


def test_an_unexpected_error_is_an_incident_without_a_trace() -> None:
    app = FastAPI()
    app.add_middleware(errors.Incidents)
    errors.install(app)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("secret words of line 17")

    answer = TestClient(app).get("/broken")
    assert answer.status_code == 500
    document = answer.json()
    assert len(document["incident"]) == 12
    assert document["incident"] in document["detail"]
    assert "secret" not in answer.text and "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("error", "status"),
    [(StoreError("no such host 10.1.2.3"), 503), (Conflict("taken"), 409), (NotFound("model", "x"), 404)],
)
def test_the_stores_errors_have_their_statuses(error: Exception, status: int) -> None:
    app = FastAPI()
    errors.install(app)

    @app.get("/broken")
    def broken() -> None:
        raise error

    answer = TestClient(app).get("/broken")
    assert answer.status_code == status
    assert "10.1.2.3" not in answer.text


@pytest.mark.parametrize(("cause", "incident"), [(anyio.BrokenResourceError, False), (RuntimeError, True)])
def test_a_reader_who_leaves_a_stream_is_no_incident(
    cause: type[Exception], incident: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def stream(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ExceptionGroup("a task group", [cause()])

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/events"}
    anyio.run(errors.Incidents(stream), scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert bool(caplog.records) is incident


@given(st.lists(st.one_of(st.text(max_size=5), st.integers(0, 9)), max_size=5))
def test_pointers_can_be_followed(path: list[str | int]) -> None:
    found = errors.pointer(*path)
    parts = [part.replace("~1", "/").replace("~0", "~") for part in found.split("/")[1:]]
    assert parts == [str(part) for part in path]

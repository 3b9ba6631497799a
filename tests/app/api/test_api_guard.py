"""Who gets in: this machine by its own name, or whoever has the token; nobody else, on any path."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.guard import is_loopback
from app.settings import Settings
from tests.app.api.world import API, BASE, World, open_world

TOKEN = "a-long-random-text-of-32-letters"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("guarded")
    made = open_world(Settings(data_dir=folder / "data", token=TOKEN))
    yield made
    made.close()


def operations(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(method.upper(), path) for path, found in document["paths"].items() for method in found]


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


def test_every_operation_needs_the_token(guarded: World) -> None:
    document = guarded.http.app.openapi()
    found = operations(document)
    assert len(found) > 20
    for method, path in found:
        answer = guarded.http.request(method, path.format(**dict.fromkeys(_names(path), "0")))
        wanted = 200 if path == "/healthz" else 401
        assert answer.status_code == wanted, (method, path)
        if wanted == 401:
            assert answer.json()["code"] == "unauthorized"
            assert "Basic" in answer.headers["www-authenticate"]


def _names(path: str) -> list[str]:
    return [part[1:-1].split(":")[0] for part in path.replace(".csv", "").split("/") if part.startswith("{")]


@pytest.mark.parametrize(
    "path", ["/", "/searches", "/searches/x", "/docs", "/openapi.json", "/static/front.js", "/nowhere"]
)
def test_pages_and_unknown_paths_need_it_too(guarded: World, path: str) -> None:
    assert guarded.http.get(path, follow_redirects=False).status_code == 401


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {TOKEN}"}, {"authorization": f"bearer {TOKEN}"}, basic(TOKEN)]
)
def test_the_token_lets_in(guarded: World, headers: dict[str, str]) -> None:
    assert guarded.http.get(f"{API}/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer x",
        f"Bearer {TOKEN}x",
        f"Token {TOKEN}",
        TOKEN,
        "Basic !!!",
        "Basic /w==",
        basic("no")["Authorization"],
    ],
)
def test_anything_else_does_not(guarded: World, value: str) -> None:
    assert guarded.http.get(f"{API}/models", headers={"Authorization": value}).status_code == 401


def test_with_a_token_any_name_and_peer_may_ask(guarded: World) -> None:
    outside = TestClient(guarded.http.app, base_url="http://espalier.example", client=("10.0.0.7", 1))
    assert outside.get(f"{API}/models").status_code == 401
    assert outside.get(f"{API}/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8765", "LOCALHOST", "[::1]:8765", "127.1.2.3"])
def test_this_machine_by_its_own_names(calm: World, host: str) -> None:
    assert calm.http.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.7:8765", "", "[::1", "127.0.0.1.evil.example"]
)
def test_a_rebound_name_is_refused(calm: World, host: str) -> None:
    answer = calm.http.get(f"{API}/models", headers={"Host": host})
    assert answer.status_code == 403
    assert answer.json()["code"] == "unknown_host"


def test_another_machine_is_refused_even_if_it_lies_about_the_name(calm: World) -> None:
    outside = TestClient(calm.http.app, base_url=BASE, client=("10.0.0.7", 1))
    assert outside.get("/healthz").json()["code"] == "loopback_only"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_foreign_page_changes_nothing(calm: World, headers: dict[str, str]) -> None:
    answer = calm.http.post(f"{API}/datasets", data={"kind": "digits"}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["code"] == "foreign_origin"
    assert len(calm.http.get(f"{API}/datasets").json()["items"]) == 1


def test_a_foreign_page_cannot_use_a_remembered_password(guarded: World) -> None:
    headers = {**basic(TOKEN), "Origin": "http://evil.example"}
    assert guarded.http.post(f"{API}/datasets", data={"kind": "digits"}, headers=headers).status_code == 403


def test_our_own_pages_may_post(world: World) -> None:
    answer = world.http.post(f"{API}/datasets", data={"kind": "digits"}, headers={"Origin": BASE})
    assert answer.status_code == 202


def test_every_answer_carries_the_security_headers(world: World) -> None:
    world.http.app.state.service = None  # the next handler breaks
    for path, status in (("/openapi.json", 200), ("/nowhere", 404), (f"{API}/models", 500)):
        answer = world.http.get(path)
        assert answer.status_code == status
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_a_body_that_says_it_is_too_large(calm: World) -> None:
    answer = calm.http.post(f"{API}/models", files={"file": ("m.pt2", b"PK\x03\x04" + bytes(1_100_000))})
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert "1000000 bytes" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_a_body_that_turns_out_too_large(calm: World, kind: str) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="m"\r\n\r\n'
    chunks = (head, *([b"x" * 100_000] * 12))
    path = "models" if kind.startswith("multipart") else "searches"
    answer = calm.http.post(f"{API}/{path}", content=iter(chunks), headers={"Content-Type": kind})
    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


@pytest.mark.parametrize(
    ("host", "loop"), [("::1", True), ("127.9.9.9", True), ("0.0.0.0", False), ("::", False), ("example.org", False)]
)
def test_what_counts_as_loopback(host: str, loop: bool) -> None:
    assert is_loopback(host) is loop

"""The client: a method an operation, a handle on a search, errors as exceptions."""

import inspect
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.client import ApiError, Client, Search, handles
from app.client.http import Connection
from app.client.progress import bar, describe, duration
from app.client.sse import Event, parse
from app.store import searches
from tests.app.api.test_api_architectures import WEIGHTS
from tests.app.api.world import BASE, World, finished_trial, measured_profile, plans_and_accuracies

ZIP = b"PK\x03\x04 something"


def test_every_operation_has_a_method_of_its_name(world: World) -> None:
    document = world.http.app.openapi()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            method = getattr(Client, operation["operationId"], None)
            assert callable(method), (path, operation["operationId"])
            assert inspect.getdoc(method)
            names = set(inspect.signature(method).parameters)
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    assert parameter["name"] in names, (operation["operationId"], parameter["name"])


def test_uploads_lists_and_reads(client: Client, tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(ZIP)
    model = client.upload_model(tmp_path / "net.pt2", "mine")
    assert (model["name"], client.get_model(model["id"])["id"]) == ("mine", model["id"])
    assert client.list_models(limit=1)["items"][0]["id"] == model["id"]
    (tmp_path / "net.safetensors").write_bytes(WEIGHTS)
    named = client.upload_model(tmp_path / "net.safetensors", architecture="mlp", config={"classes": 3})
    assert named["request"] == {"architecture": "mlp", "config": {"classes": 3}}
    assert "mlp" in {item["name"] for item in client.list_architectures()["items"]}
    assert len(list(client.pages("models"))) == 3
    (tmp_path / "a.npz").write_bytes(ZIP)
    dataset = client.add_dataset("npz", tmp_path / "a.npz", options={"seed": 1})
    assert client.get_dataset(dataset["id"])["options"] == {"seed": 1}
    assert client.list_datasets()["items"][0] == dataset
    assert client.health()["service"] == "espalier"


def test_profiles_in_every_form(client: Client, tmp_path: Path) -> None:
    document = client.add_profile(measured_profile(name="two").to_json())
    (tmp_path / "p.csv").write_text(client.get_profile_csv(document["id"]))
    again = client.add_profile(tmp_path / "p.csv", name="three")
    assert again["document"]["rows"] == client.get_profile(document["id"])["document"]["rows"]
    names = [entry["name"] for entry in client.list_accelerators()["items"]]
    precision = client.get_accelerator(names[0])["precisions"][0]
    assert client.add_profile({"accelerator": names[0], "batch": 2, "precision": precision})["source"] == "analytical"
    assert len(client.list_profiles()["items"]) == 4


def test_a_search_is_a_handle(world: World, client: Client) -> None:
    search = client.submit_search(world.spec(name="mine"))
    assert isinstance(search, Search)
    assert search.url == f"{BASE}/searches/{search.id}"
    assert (search.state, search.finished) == ("queued", False)
    assert client.list_searches(state="queued")["items"][0]["id"] == search.id
    assert search.extend(3).document["spec"]["extensions"] == [3]
    assert search.cancel().document["desired"] == "cancel"
    assert client.search(search.id).document == client.get_search(search.id)


def test_results_are_plain_values(world: World, client: Client) -> None:
    search = client.search(world.finished_search())
    assert search.wait(show=False).finished
    front = search.front()
    assert type(front) is dict and type(front["points"]) is list
    assert search.fronts() == {world.profile: front}
    assert client.get_front_csv(search.id).startswith("number,role,on_front")
    assert client.list_trials(search.id, limit=2)["next"] == "1"
    assert search.trial(2)["number"] == client.get_trial(search.id, 2)["number"] == 2
    told = list(client.stream_events(search.id))
    assert told[-1].kind == "end"
    assert list(client.stream_events(search.id, last_event_id=told[-2].id or 0)) == told[-1:]


def test_downloads_appear_whole_or_not_at_all(world: World, client: Client, tmp_path: Path) -> None:
    search = world.search()
    digest = world.artefact(b"tensors", "weights")
    plan, accuracy = plans_and_accuracies()[2]
    world.record(search, [finished_trial(2, plan, accuracy, world.profile).evolve(files={"weights": digest})])
    path = client.download_trial_file(search, 2, "weights", tmp_path / "w.safetensors")
    assert path.read_bytes() == b"tensors"
    with pytest.raises(ApiError):
        client.download_trial_file(search, 2, "model", tmp_path / "m.pt2")
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["w.safetensors"]


def test_waiting_sees_the_end(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    search = client.search(world.search())
    monkeypatch.setattr(handles.time, "sleep", lambda _: None)
    seen: list[str] = []

    def watch(now: Search) -> None:
        seen.append(now.state)
        if len(seen) == 2:
            with world.service.database.begin() as session:
                searches.finish(session, now.id, state="cancelled")

    search.wait(on_change=watch)
    assert seen == ["queued", "queued", "cancelled"]


def test_a_timeout_and_ctrl_c_stop_the_waiting_alone(world: World, client: Client) -> None:
    search = client.search(world.search())
    assert not search.wait(timeout_s=0.0, show=False).finished

    def interrupt(_: Search) -> None:
        raise KeyboardInterrupt

    assert not search.wait(on_change=interrupt).finished
    assert client.get_search(search.id)["desired"] == "run"


def test_problems_are_exceptions_with_their_parts(client: Client) -> None:
    with pytest.raises(ApiError, match="limit") as caught:
        client.list_models(limit=0)
    assert (caught.value.status, caught.value.code) == (422, "invalid")
    assert caught.value.errors[0]["parameter"] == "limit"
    with pytest.raises(ApiError) as missing:
        client.get_model("nobody")
    assert missing.value.code == "not_found"


class Flaky(httpx2.BaseTransport):
    """Breaks some times, then answers."""

    def __init__(self, breaks: int, broken: Any = httpx2.ConnectError) -> None:
        self.breaks, self.broken = breaks, broken
        self.keys: list[str | None] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.keys.append(request.headers.get("idempotency-key"))
        if len(self.keys) <= self.breaks:
            if isinstance(self.broken, int):
                return httpx2.Response(self.broken, request=request)
            raise self.broken("gone")
        page = {"id": "s", "state": "queued", "links": {"page": "/searches/s"}}
        return httpx2.Response(202, json=page, request=request)


@pytest.mark.parametrize("broken", [httpx2.ConnectError, httpx2.ReadTimeout, 503])
def test_a_submission_is_repeated_under_one_key(broken: Any) -> None:
    transport = Flaky(2, broken)
    client = Client(BASE, transport=transport)
    client.connection._pause = lambda _: None
    assert client.submit_search({"model": "m"}).id == "s"
    assert len(transport.keys) == 3
    assert len(set(transport.keys)) == 1 and transport.keys[0]


def test_what_is_not_safe_to_repeat_is_not_repeated() -> None:
    transport = Flaky(1)
    connection = Connection(BASE, transport=transport, pause=lambda _: None)
    with pytest.raises(httpx2.ConnectError):
        connection.send("POST", "/api/v1/profiles", json={})
    assert len(transport.keys) == 1
    again = Flaky(1, 503)
    with pytest.raises(ApiError):
        Client(BASE, transport=again).post_measurement("s", 3, "accuracy", 0.9)
    assert len(again.keys) == 1, "it would stand there twice"
    always = Flaky(99)
    with pytest.raises(httpx2.ConnectError):
        Connection(BASE, transport=always, pause=lambda _: None).get("/x")
    assert len(always.keys) == 3


def test_an_answer_that_is_no_problem_document() -> None:
    with pytest.raises(ApiError, match="answered 500"):
        Connection(BASE, transport=Flaky(1, 500), pause=lambda _: None).get("/x")


def test_the_token_is_sent() -> None:
    connection = Connection(BASE, "secret-token", transport=Flaky(0))
    assert connection.http.headers["authorization"] == "Bearer secret-token"


def test_events_are_read_off_the_wire() -> None:
    wire = ': ping\n\nevent: trial\ndata: {"number": 1}\nid: 7\n\ndata: "a"\n\nevent: end\ndata:\n\n'
    found = list(parse(wire.split("\n")))
    assert found[0] == Event(kind="trial", data={"number": 1}, id=7)
    assert found[1:] == [Event(kind="message", data="a"), Event(kind="end", data=None)]


def test_progress_in_words(capsys: pytest.CaptureFixture[str], world: World, client: Client) -> None:
    assert [duration(s) for s in (None, 5.2, 89.4, 120.0)] == ["–", "5 s", "89 s", "2 min"]
    search = client.search(world.finished_search())
    assert describe(search.document) == "succeeded · best accuracy 96.0% · – left"
    with bar(search) as update:
        update(search)
        update(search)
    assert capsys.readouterr().err.count("5/5 trials") == 1

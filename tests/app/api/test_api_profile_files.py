"""Files of any tool as a profile: recognised, kept as they came, refused with every problem; caps and hostile names."""

import hashlib
import json
from typing import Any

import pytest

from app.api import profile_forms
from costmodels import importers
from costmodels.importers import files as importer_files
from tests.app.api.world import API, World

TIMES = [{"count": 5}, *({"name": name, "timeMs": 5 * ms, "averageMs": ms, "percentage": 50.0}
                         for name, ms in (("stem", 1.0), ("body + relu", 4.0)))]  # fmt: skip
GRAPH = {"Layers": ["stem", "body + relu"], "Bindings": []}
STATED = {"device": "A100", "batch": "4", "precision": "float16"}


def parts(*named: tuple[str, object]) -> list[tuple[str, tuple[str, bytes]]]:
    return [
        ("file", (name, value if isinstance(value, bytes) else json.dumps(value).encode())) for name, value in named
    ]


def send(world: World, *named: tuple[str, object], **fields: str) -> Any:
    return world.http.post(f"{API}/profiles", files=parts(*named), data=fields)


def test_files_are_recognised_and_kept_as_they_came(world: World) -> None:
    given = (("engine.profile.json", TIMES), ("engine.graph.json", GRAPH))
    answer = send(world, *given, **STATED, name="from trtexec")
    assert answer.status_code == 201, answer.text
    profile = answer.json()
    assert (profile["name"], profile["device"], profile["batch"], profile["rows"]) == ("from trtexec", "A100", 4, 2)
    assert profile["request"] == {
        "importer": "tensorrt",
        "stated": {"name": "from trtexec", "device": "A100", "batch": 4, "precision": "float16"},
    }
    for file, (name, value) in zip(profile["files"], given, strict=True):
        raw = json.dumps(value).encode()
        assert (file["name"], file["sha256"]) == (name, hashlib.sha256(raw).hexdigest())
        came = world.http.get(file["link"])
        assert came.content == raw
        assert came.headers["content-disposition"] == f'attachment; filename="{name.replace(".", "-", 1)}"'
    assert profile["digest"] and world.http.get(answer.headers["location"]).json() == profile
    other = world.http.get(f"{API}/profiles/{world.profile}/files/{profile['files'][0]['sha256']}")
    assert (other.status_code, other.json()["code"]) == (404, "no_file")


def test_what_the_files_do_not_tell_is_asked_for_by_field(world: World) -> None:
    answer = send(world, ("p.json", TIMES))
    assert answer.status_code == 422
    assert {entry["pointer"] for entry in answer.json()["errors"]} == {"/device", "/batch", "/precision"}
    assert world.http.get(f"{API}/profiles").json()["items"][0]["id"] == world.profile, "nothing was stored"


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ({"batch": "four", "clock_hz": "-1", "colour": "red"}, ["/batch", "/clock_hz", "/colour"]),
        ({"batch": "0"}, ["/batch"]),
        ({"batch": "9" * 150}, ["/batch"]),
        ({"network_latency_ms": "nan"}, ["/network_latency_ms"]),
        ({"clock_hz": "1e999"}, ["/clock_hz"]),
        ({"device": "a\x00b"}, ["/device"]),
        ({"name": "n" * 201}, ["/name"]),
        ({"source": "measured"}, ["/source"]),
    ],
)
def test_every_wrong_field_is_pointed_at(calm: World, fields: dict[str, str], places: list[str]) -> None:
    answer = send(calm, ("p.json", TIMES), **{**STATED, **fields})
    assert answer.status_code == 422, answer.text
    assert sorted(entry["pointer"] for entry in answer.json()["errors"]) == places


def test_a_field_that_is_given_twice(calm: World) -> None:
    answer = calm.http.post(f"{API}/profiles", files=parts(("p.json", TIMES)), data={"batch": ["1", "2"]})
    assert [entry["detail"] for entry in answer.json()["errors"]] == ["is given twice"]


def test_every_wrong_row_of_a_tool_is_named(calm: World) -> None:
    rows = "layer,latency_ms\nstem,-1.0\nbody,fast\nhead,0.5\n"
    answer = send(calm, ("p.csv", rows.encode()), **STATED, source="measured")
    assert (answer.status_code, answer.json()["code"]) == (422, "profile_refused")
    assert len(answer.json()["errors"]) == 2


@pytest.mark.parametrize(
    "raw", [b"\x80\x04K\x01.", b"PK\x03\x04zip", b"\xff\xfe", b"", b"just words", b'{"traceEvents": [', b"[" * 90]
)
def test_what_nobody_reads(calm: World, raw: bytes) -> None:
    answer = send(calm, ("p.json", raw), **STATED)
    assert (answer.status_code, answer.json()["code"]) == (422, "profile_refused")


def test_tools_do_not_mix_and_can_be_stated(calm: World) -> None:
    strangers = send(calm, ("p.json", TIMES), ("p.csv", b"layer,latency_ms\nstem,1\n"), **STATED)
    assert strangers.status_code == 422 and "different tools" in strangers.json()["detail"]
    wrong = send(calm, ("p.json", TIMES), **STATED, tool="vela")
    assert wrong.status_code == 422
    assert "no importer" in send(calm, ("p.json", TIMES), **STATED, tool="abacus").json()["detail"]
    assert send(calm, ("p.json", TIMES), **STATED, tool="tensorrt").status_code == 201


def test_names_are_text(world: World) -> None:
    hostile = '../../<script>alert(1)</script>\u202e"=cmd.json'
    times = [{"count": 1}, {"name": "=HYPERLINK(1)", "timeMs": 1.0, "averageMs": 1.0, "percentage": 100.0}]
    profile = send(world, (hostile, times), **STATED).json()
    assert "/" not in profile["files"][0]["name"] and "\u202e" not in profile["files"][0]["name"]
    came = world.http.get(profile["files"][0]["link"])
    assert came.headers["content-type"] == "application/octet-stream"
    assert not set('<>"/=') & set(came.headers["content-disposition"].split('filename="')[1][:-1])
    sheet = world.http.get(profile["links"]["csv"]).text
    assert "\n=HYPERLINK" not in sheet and "'=HYPERLINK" in sheet


def test_the_caps_are_the_importers_own() -> None:
    assert profile_forms.MAX_FILES == importers.MAX_FILES
    assert profile_forms.MAX_FILE_BYTES == importer_files.MAX_BYTES


def test_too_many_too_large_and_too_long(calm: World, monkeypatch: pytest.MonkeyPatch) -> None:
    many = send(calm, *((f"{n}.json", b"{}") for n in range(257)), **STATED)
    assert (many.status_code, many.json()["code"]) == (422, "form_unreadable")
    monkeypatch.setattr(profile_forms, "MAX_FILE_BYTES", 100)
    large = send(calm, ("p.json", b" " * 101), **STATED)
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    monkeypatch.setattr(profile_forms, "MAX_FORM_BYTES", 2000)
    assert send(calm, ("p.json", b" " * 2000), **STATED).status_code == 413


def test_a_form_that_does_not_say_its_length_is_counted(calm: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_forms, "MAX_FORM_BYTES", 5000)
    read = []

    def body() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="p.json"\r\n\r\n'
        for _ in range(100):
            read.append(1)
            yield b" " * 1000

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = calm.http.post(f"{API}/profiles", content=body(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_broken_form(calm: World) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    answer = calm.http.post(f"{API}/profiles", content=b"nonsense", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "form_unreadable")

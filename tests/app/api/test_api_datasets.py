"""Registering datasets."""

import pytest

from tests.app.api.world import API, World

ZIP = b"PK\x03\x04 rows"


def test_the_digits_need_no_file(world: World) -> None:
    answer = world.http.post(f"{API}/datasets", data={"kind": "digits", "options": '{"seed": 3}'})
    assert answer.status_code == 202
    dataset = answer.json()
    assert (dataset["kind"], dataset["state"], dataset["options"]) == ("digits", "uploaded", {"seed": 3})
    assert world.http.get(answer.headers["location"]).json() == dataset
    assert world.http.get(f"{API}/datasets").json()["items"][0] == dataset


@pytest.mark.parametrize("kind", ["npz", "images"])
def test_arrays_and_images_come_as_files(world: World, kind: str) -> None:
    answer = world.http.post(f"{API}/datasets", data={"kind": kind}, files={"file": ("cats.zip", ZIP)})
    assert answer.status_code == 202
    assert answer.json()["name"] == "cats"


def test_texts_come_as_they_are_with_their_options(world: World) -> None:
    data = {"kind": "text", "options": '{"text": 1, "label": 0, "length": 64}'}
    answer = world.http.post(f"{API}/datasets", data=data, files={"file": ("sst2.tsv", b"1\tfine\n")})
    assert answer.status_code == 202
    assert answer.json()["options"] == {"text": 1, "label": 0, "length": 64}


@pytest.mark.parametrize(
    ("data", "file", "where"),
    [
        ({"kind": "npz"}, None, "/file"),
        ({"kind": "digits"}, ZIP, "/file"),
        ({"kind": "npz"}, b"\x93NUMPY", "/file"),
        ({"kind": "parquet"}, ZIP, "/kind"),
        ({"kind": "digits", "options": '{"length": 8}'}, None, "/options"),
        ({"kind": "text", "options": '{"length": 1}'}, ZIP, "/options"),
        ({"kind": "hf"}, b"1\tfine", "/file"),
        ({"kind": "digits", "options": "[1]"}, None, "/options"),
        ({"kind": "digits", "options": "{"}, None, "/options"),
        ({"kind": "digits", "options": "[" * 9_000}, None, "/options"),
    ],
)
def test_wrong_ones_are_pointed_at(calm: World, data: dict[str, str], file: bytes | None, where: str) -> None:
    files = {"file": ("f.zip", file)} if file else None
    answer = calm.http.post(f"{API}/datasets", data=data, files=files)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == where


def test_a_number_that_json_cannot_say_is_the_askers_mistake(world: World) -> None:
    answer = world.http.post(f"{API}/datasets", data={"kind": "digits", "options": '{"seed": NaN}'})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "option seed is 'nan'" in answer.json()["detail"]


@pytest.mark.parametrize("options", [r'{"text": "\ud800"}', r'{"delimiter": "\udc00"}'])
def test_options_that_no_answer_could_hold_are_refused(world: World, options: str) -> None:
    files = {"file": ("sst2.tsv", b"1\tfine\n")}
    answer = world.http.post(f"{API}/datasets", data={"kind": "text", "options": options}, files=files)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert world.http.get(f"{API}/datasets").status_code == 200

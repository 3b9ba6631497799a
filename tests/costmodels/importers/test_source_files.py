"""Uploads opened without trust: limits on size, nesting and values, and nothing that runs or expands."""

import json
import pickle

import pytest

from costmodels.errors import ProfileError
from costmodels.importers import files
from costmodels.importers.files import MAX_DEPTH, SourceFile
from tests.costmodels.importers.excerpts import source


def refused(file: SourceFile, form: str) -> str:
    with pytest.raises(ProfileError) as caught:
        list(file.rows()) if form == "rows" else getattr(file, form)
    assert caught.value.problems[0].startswith("upload: ")
    return str(caught.value)


def test_what_is_plain_is_read() -> None:
    document = {"a": [1, 2.5, "x", None, True], "b": {"c": []}}
    assert source(document).json == document
    assert source(document).yaml == document
    assert source("a:\n  - 1\n  - b: 2.5\n").yaml == {"a": [1, {"b": 2.5}]}
    assert [one.get("n") for one in source('<a><b n="1"/><b n="2">t</b></a>').xml] == ["1", "2"]
    assert list(source('a ,"b\nc"\n\n d,e\n').rows()) == [(2, ["a", "b\nc"]), (4, ["d", "e"])]
    assert source(b"\xef\xbb\xbfa").text == "a"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_are_refused_whatever_their_name(protocol: int) -> None:
    assert "pickle" in refused(source(pickle.dumps({"a": 1}, protocol)), "json")


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"\x1f\x8b\x08", b"\xff\xfe{\x00", b"\x89HDF"])
def test_archives_and_other_bytes_are_refused(data: bytes) -> None:
    assert refused(source(data), "text")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a": 1',
        "[1,]",
        "NaN",
        '{"a": Infinity}',
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        "9" * 5000,
        "'a'",
        "{}{}",
    ],
)
def test_json_that_is_none(text: str) -> None:
    file = source(text)
    assert "not valid JSON" in refused(file, "json")
    assert file.json_or_none is None


def test_nesting_is_limited_in_every_form() -> None:
    deep = MAX_DEPTH + 5
    assert "nests deeper" in refused(source("[" * deep + "]" * deep), "json")
    assert "nests deeper" in refused(source("[" * deep + "]" * deep), "yaml")
    assert "nests deeper" in refused(source("<a>" * deep + "</a>" * deep), "xml")
    assert source("[" * 40 + "]" * 40).json


@pytest.mark.parametrize(
    ("form", "text"),
    [("json", "[1,1,1,1,1,1,1]"), ("rows", "1,1,1,1,1,1,1"), ("xml", "<a><b c='1' d='2'/><b/><b/></a>")],
)
def test_values_are_limited(form: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_VALUES", 5)
    assert "more than 5" in refused(source(text), form)


def test_sizes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_YAML_VALUES", 20)
    assert "more than 20 values" in refused(source("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"), "yaml")
    monkeypatch.setattr(files, "MAX_YAML_BYTES", 10)
    assert "up to 10" in refused(source("a: 1234567890"), "yaml")
    monkeypatch.setattr(files, "MAX_LINES", 3)
    assert "more than 3 lines" in refused(source("a\n" * 5), "rows")
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    assert "at most 10" in refused(source("x" * 11), "text")


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x",
        "a: !!python/object/apply:os.system ['true']",
        "a: !thing 1",
        "a: 1\na: 2",
        "a: [",
        "? [1, 2]\n: 3",
        "a: 1\n---\nb: 2",
        "a: \x01",
    ],
)
def test_yaml_that_is_not_plain(text: str) -> None:
    assert "not plain YAML" in refused(source(text), "yaml")


@pytest.mark.parametrize(
    "text",
    [
        "<a>",
        "",
        "<a></b>",
        "<a/><b/>",
        "<a b='1' b='2'/>",
        "<a>&lol;</a>",
        "<a>\x00</a>",
        '<!DOCTYPE a [<!ENTITY lol "lol">]><a>&lol;</a>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a/>',
    ],
)
def test_xml_that_is_refused(text: str) -> None:
    assert refused(source(text), "xml")


def test_csv_that_is_refused() -> None:
    assert "no CSV line" in refused(source('"' + "a" * 200_000), "rows")


def test_the_hash_is_that_of_the_bytes() -> None:
    assert source(b"abc").sha256.startswith("ba7816bf")


def test_what_was_found_out_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    file, broken = source("[1]"), source("[1")
    assert (file.json, broken.json_or_none) == ([1], None)
    monkeypatch.setattr(json, "loads", None)
    assert (file.json, broken.json_or_none) == ([1], None)
    assert "not valid JSON" in refused(broken, "json")

"""Our own JSON and CSV through the front door: nothing changes but what is stated."""

import pytest

from costmodels.errors import ProfileError
from costmodels.importers import Given, SourceFile, import_profile, recognise
from costmodels.profile import Profile, ProfileLayer, ProfileRow
from tests.costmodels.importers.excerpts import problems_of, source

PROFILE = Profile(
    name="bench",
    device="board",
    batch=2,
    precision="int8",
    source="measured",
    layers=(ProfileLayer(name="conv", op="conv2d", members=("a", "b"), in_channels=3, out_channels=8),),
    rows=(
        ProfileRow(layer="conv", latency_ms=1.0),
        ProfileRow(layer="conv", pattern="keep2of4", latency_ms=0.5, energy_mj=0.25),
    ),
)
SHEET = "# device: board\n# batch: 1\n# precision: float32\n# source: measured\nlayer,latency_us\nconv,1500\n"


def test_json_comes_back_as_it_was() -> None:
    found = import_profile([source(PROFILE.to_json())])
    assert found == PROFILE
    assert found.digest == PROFILE.digest


def test_a_profile_of_an_accelerator_is_ours_too() -> None:
    document = {"name": "n", "device": "d", "batch": 1, "precision": "int8", "source": "analytical", "accelerator": "x"}
    assert import_profile([source(document)]).accelerator == "x"


def test_a_spreadsheet_takes_its_name_and_hash_from_the_file() -> None:
    file = source(SHEET, "bench.csv")
    found = import_profile([file])
    assert (found.name, found.rows) == ("bench.csv", (ProfileRow(layer="conv", latency_ms=1.5),))
    assert [(one.name, one.sha256, one.format) for one in found.files] == [("bench.csv", file.sha256, "profile")]


def test_a_written_spreadsheet_comes_back() -> None:
    found = import_profile([source(PROFILE.to_csv())])
    assert (found.name, found.rows) == (PROFILE.name, PROFILE.rows)


def test_what_is_stated_wins() -> None:
    stated = Given(name="mine", batch=4)
    for content in (PROFILE.to_json(), PROFILE.to_csv(), SHEET):
        found = import_profile([source(content)], stated)
        assert (found.name, found.batch, found.device) == ("mine", 4, "board")
    table = "layer,pattern,latency_ms\nconv,dense,1\n"
    assert "source is missing" in problems_of(table, given=Given(device="d", batch=1, precision="int8"))


@pytest.mark.parametrize(
    "text",
    [
        SHEET,
        "layer,latency_ms\na,1\n",
        "layer;pattern;latency_ms\na;dense;1\n",
        "layer\tlatency_s\na\t1\n",
        '"# name: x",,\n\nlayer,latency_ms,\n',
        "pattern,layer,latency\n",  # without a unit: ours, so that somebody says so
        "\ufefflayer,latency_ms\na,1\n",
    ],
)
def test_tables_of_ours_are_recognised(text: str) -> None:
    assert recognise([source(text)])[0].name == "espalier"


@pytest.mark.parametrize("text", ["", "# comment\na,b\n", "layer,time\na,1\n", "{}", '{"rows": []}', "[1]", "layer"])
def test_other_texts_are_not(text: str) -> None:
    with pytest.raises(ProfileError):
        recognise([source(text)])


def test_wrong_files_are_refused_with_their_line() -> None:
    assert "line 6" in problems_of(SHEET.replace("1500", "nan"), given=Given())
    assert "row 1" in problems_of(PROFILE.to_json() | {"rows": [{"layer": "conv", "latency_ms": -1}]}, given=Given())
    assert "2 files" in problems_of(SHEET, SHEET, given=Given())
    text = source(PROFILE.to_json()).text
    assert "not valid JSON" in problems_of(text[:-30], given=Given())


def test_the_name_of_the_file_may_be_anything() -> None:
    found = import_profile([SourceFile("\x00 \n" + "a" * 999, SHEET.encode())])
    assert found.name.startswith("aaa") and len(found.name) <= 280

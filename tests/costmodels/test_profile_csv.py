"""The spreadsheet form: what people write is understood, and every mistake is reported where it stands."""

import csv
import io

import pytest
from hypothesis import given, settings

from costmodels.errors import ProfileError
from costmodels.profile import Profile, ProfileLayer, ProfileRow
from tests.costmodels.made_profiles import described_profile, profile_of, profiles

HEADER = "# name: bench\n# device: board\n# batch: 1\n# precision: float32\n# source: measured\n"


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ProfileError) as caught:
        Profile.from_csv(text)
    return caught.value.problems


def test_formula_names_come_back_as_they_were() -> None:
    rows = [ProfileRow(layer=n, latency_ms=1.0) for n in ("=1+1", "@x", "'quoted", "-", "a,b", 'say "x"', "#c")]
    assert Profile.from_csv(profile_of(*rows).to_csv()).rows == tuple(rows)


def test_all_problems_of_a_table_are_reported_with_their_lines() -> None:
    table = (
        "layer,pattern,sparsity,in_channels,out_channels,latency_ms,latency_std_ms\n"  # line 6
        "a,dense,,,,1.5,\n"
        "a,dense,,,,1.5,\n"  # 8 repeats
        "b,dense,,,,nan,\n"  # 9
        "c,dense,,,,-1,\n"  # 10
        "d,dense,,,,0,\n"  # 11
        "e,dense,,,,fast,\n"  # 12
        "f,unstructured,80,,,1.0,\n"  # 13 percentage
        "g,1:4,,,,1.0,\n"  # 14 ambiguous
        "h,keep2of4,,,,1.0,\n"  # 15 no dense row
        "i,dense,,x,,1.0,\n"  # 16
        "j,dense,,,,1.0,inf\n"  # 17
        "k,channel@0.5,,,,1.0,\n"  # 18
        "l,dense,,,,,\n"  # 19
        '"m",dense,,,,"1,5",\n'  # 20 decimal comma
    )
    problems = problems_of(HEADER + table)
    for line in (8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19, 20):
        assert any(p.startswith(f"line {line}:") for p in problems), (line, problems)
    assert not any(p.startswith("line 7:") for p in problems)
    assert any("'h' has no dense row" in p for p in problems)
    assert any("percentage" in p for p in problems)
    assert any("point, not a comma" in p for p in problems)


@pytest.mark.parametrize("column", ["latency", "time", "Latency (ms)", "ms", "runtime"])
def test_a_column_without_a_unit_is_refused(column: str) -> None:
    problems = problems_of(f"{HEADER}layer,{column}\na,1.0\n")
    assert any("latency_ms" in p and "latency_us" in p for p in problems)


def test_units_are_converted_and_two_at_once_refused() -> None:
    profile = Profile.from_csv(HEADER + "layer,latency_us,latency_std_us\na,1500,250\n")
    assert profile.rows == (ProfileRow(layer="a", latency_ms=1.5, latency_std_ms=0.25),)
    assert any("keep one" in p for p in problems_of(HEADER + "layer,latency_us,latency_ms\na,1,2\n"))


def test_spreadsheet_habits_are_understood() -> None:
    text = "# name: bench;;\n# device: a, b;;\n# batch: 4;;\n# precision: int8;;\n# source: vendor;;\n"
    text += "\nlayer;latency_ms;note\na;1.0;x\n"
    profile = Profile.from_csv(text)
    assert (profile.device, profile.batch, profile.rows[0].layer) == ("a, b", 4, "a")


def test_shares_beside_patterns_must_agree() -> None:
    table = "layer,pattern,density,latency_ms\na,dense,1,1\na,unstructured,0.05,0.2\na,2:4,0.5,0.6\n"
    patterns_read = [row.pattern for row in Profile.from_csv(HEADER + table).rows]
    assert patterns_read == ["dense", "unstructured@0.95", "keep2of4"]
    assert any("says 0.3" in p for p in problems_of(HEADER + table.replace("0.5,0.6", "0.3,0.6")))


def test_missing_header_fields_are_named_and_can_be_given() -> None:
    table = "layer,latency_ms\na,1.0\n"
    assert sum("is missing" in p for p in problems_of(table)) == 5
    given_header = {"name": "n", "device": "d", "batch": 1, "precision": "float32", "source": "simulated"}
    assert Profile.from_csv(table, given_header).source == "simulated"


def test_a_sheet_holds_descriptions_in_their_own_order() -> None:
    profile = described_profile()
    table = profile.to_csv().splitlines()[8:]
    assert table == [
        "layer,pattern,latency_ms,energy_mj,role,op,members,layer_in_channels,kernel,conv_groups",
        "a,,,,layer,conv2d,a.conv | a.bn,16,3x3,4",
        "pool,,,,other,,,,,",
        "b,dense,1.0,,layer,,,,,",
        "a,dense,2.0,0.5,,,,,,",
        "a,keep2of4,1.5,,,,,,,",
    ]
    assert Profile.from_csv(profile.to_csv()) == profile


def test_the_natural_sheet_is_two_columns() -> None:
    profile = profile_of(ProfileRow(layer="a", latency_ms=1.5))
    assert profile.to_csv() == HEADER + "layer,latency_ms\na,1.5\n"


def test_members_with_bars_are_kept_apart() -> None:
    members = ("a | b", "c", '["d"]')
    profile = profile_of(ProfileRow(layer="x", latency_ms=1.0), layers=(ProfileLayer(name="x", members=members),))
    assert Profile.from_csv(profile.to_csv()).layers[0].members == members
    bad = problems_of(HEADER + 'layer,members,latency_ms\na,"[1, 2]",1\n')
    assert bad == ('line 7: members \'[1, 2]\' is neither names with bars between them nor a list such as ["a", "b"]',)


def test_descriptions_may_be_repeated_but_not_changed() -> None:
    table = "layer,pattern,latency_ms,kernel\na,dense,2,3x3\na,keep2of4,1,3x3\n"
    assert Profile.from_csv(HEADER + table).layers == (ProfileLayer(name="a", kernel=(3, 3)),)
    assert problems_of(HEADER + table + "a,keep1of4,1,1x1\n") == ("line 9: describes layer 'a' otherwise than line 7",)


def test_the_unit_that_was_written_is_recorded() -> None:
    table = "layer,latency_us,dense_us\na,1500,3000\n"
    profile = Profile.from_csv(HEADER + table)
    assert (profile.original_unit, profile.rows[0].dense_ms) == ("us", 3.0)
    assert Profile.from_csv(HEADER + "# original_unit: cycles\n" + table).original_unit == "cycles"
    assert Profile.from_csv(HEADER + "layer,latency_ms\na,1\n").original_unit == ""


def test_keep_and_group_stand_for_a_pattern() -> None:
    table = "layer,pattern,keep,group,latency_ms\na,,,,4\na,nm,1,4,1\na,,2,4,2\na,keep4of8,4,8,3\n"
    read = [row.pattern for row in Profile.from_csv(HEADER + table).rows]
    assert read == ["dense", "keep1of4", "keep2of4", "keep4of8"]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("nm,5,4,", ("keep 5 of 4", "keep <= group")),
        ("keep5of4,,,", ("keep 5 of 4", "keep <= group")),
        ("1:4,,,", ("ambiguous", "keep1of4", "keep3of4")),
        ("nm,1,,", ("belong together", "keep 1, group 4")),
        ("nm,,,", ("needs keep and group", "keep1of4")),
        ("nm,x,4,", ("keep 'x'", "whole number")),
        ("keep2of4,1,4,", ("not keep 1 of 4", "keep one")),
        ("unstructured,,,", ("needs its sparsity", "unstructured@0.8")),
        ("unstructured@80,,,", ("unstructured@80", "not a percentage")),
        ("unstructured@80%,,,", ("unstructured@80%", "not a percentage")),
        ("unstructured,,,80", ("sparsity '80'", "not a percentage")),
        ("unstructured,,,80%", ("sparsity '80%'", "share such as 0.8")),
        ("unstructured,,,1", ("unstructured@1", "below 1")),
    ],
)
def test_patterns_that_cannot_be_are_refused_with_the_way_out(cells: str, words: tuple[str, ...]) -> None:
    table = f"layer,pattern,keep,group,sparsity,latency_ms\na,,,,,1\na,{cells},1\n"
    problems = problems_of(HEADER + table)
    assert len(problems) == 1
    assert problems[0].startswith("line 8: ")
    assert all(word in problems[0] for word in words), problems


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("# file: {", "not a JSON object"),
        ("# file: [1]", "not an object"),
        ('# file: {"name": "x"}', "sha256 is missing"),
        ('# capability: {"pattern": "nm", "n": 2}', "'n' is not known"),
        ('# group: {"rule": "parallel_max", "members": "ab"}', "a list of texts"),
        ("# batch: 4", "stands twice"),
        ("# runs: many", "whole number"),
        ("# runs: 1_000", "whole number"),
        ("# clock: 1", "not known"),
        ("# file: " + "[" * 60_000, "not a JSON object"),
    ],
)
def test_bad_lines_before_the_table_are_refused_by_number(line: str, words: str) -> None:
    problems = problems_of(HEADER + line + "\nlayer,latency_ms\na,1\n")
    assert [p.startswith("line 6: ") and words in p for p in problems] == [True], problems


@settings(max_examples=15, deadline=None)
@given(profiles())
def test_a_spreadsheet_sees_no_formula(profile: Profile) -> None:
    for cells in csv.reader(io.StringIO(profile.to_csv())):
        assert not any(cell.startswith(("=", "+", "-", "@", "＝", "\t")) for cell in cells)

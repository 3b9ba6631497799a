"""Profiles: exact round trips, and every mistake reported where it stands."""

import csv
import io
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.errors import ProfileError
from costmodels.profile import MAX_BYTES, Profile, ProfileRow

HEADER = "# name: bench\n# device: board\n# batch: 1\n# precision: float32\n# source: measured\n"


def profile_of(*rows: ProfileRow, **fields: object) -> Profile:
    given_fields = {
        "name": "bench",
        "device": "board",
        "batch": 1,
        "precision": "float32",
        "source": "measured",
    }
    return Profile(**{**given_fields, "rows": rows, **fields})


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(ProfileError) as caught:
        Profile.from_csv(text)
    return caught.value.problems


texts = (
    st.text(st.characters(exclude_categories=("Z", "C")) | st.just(" "), min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool)
)
times = st.floats(min_value=1e-9, max_value=1e9, allow_subnormal=False)
patterns = st.sampled_from(["dense", "unstructured@0.5", "unstructured@0.95", "keep2of4", "keep1of4"])


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    names = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    rows = [ProfileRow(layer=name, latency_ms=draw(times)) for name in names]
    for name in names:
        extra = draw(st.lists(st.tuples(patterns, st.integers(1, 512), st.integers(1, 512)), max_size=3, unique=True))
        for pattern, inputs, outputs in extra:
            std_ms = draw(st.none() | st.floats(0, 10))
            row = ProfileRow(
                layer=name,
                pattern=pattern,
                in_channels=inputs,
                out_channels=outputs,
                latency_ms=draw(times),
                latency_std_ms=std_ms,
            )
            rows.append(row)
    return profile_of(
        *rows,
        name=draw(texts),
        device=draw(texts),
        runtime=draw(st.just("") | texts),
        network_latency_ms=draw(st.none() | times),
        overhead_ms=draw(st.none() | st.floats(0, 1e6)),
        batch=draw(st.integers(1, 65536)),
    )


@settings(max_examples=80, deadline=None)
@given(profiles())
def test_round_trips_are_exact(profile: Profile) -> None:
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile
    assert Profile.from_csv(profile.to_csv()) == profile
    assert Profile.from_bytes(profile.to_csv().encode("utf-8-sig")) == profile
    assert Profile.from_bytes(json.dumps(profile.to_json()).encode()).digest == profile.digest


@settings(max_examples=40, deadline=None)
@given(profiles())
def test_a_spreadsheet_sees_no_formula(profile: Profile) -> None:
    for cells in csv.reader(io.StringIO(profile.to_csv())):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_formula_names_come_back_as_they_were() -> None:
    rows = [ProfileRow(layer=n, latency_ms=1.0) for n in ("=1+1", "@x", "'quoted", "-", "a,b", 'say "x"', "#c")]
    assert Profile.from_csv(profile_of(*rows).to_csv()).rows == tuple(rows)


def test_digest_is_of_the_content() -> None:
    one = profile_of(ProfileRow(layer="a", latency_ms=1.0))
    assert one.digest == profile_of(ProfileRow(layer="a", latency_ms=1.0)).digest
    assert one.digest != replace(one, batch=2).digest
    assert one.digest != profile_of(ProfileRow(layer="a", latency_ms=math.nextafter(1.0, 2.0))).digest


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


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"latency_ms": "1.0"}, "not a number"),
        ({"latency_ms": True}, "not a number"),
        ({"latency_ms": 0.0}, "positive"),
        ({"latency_ms": 10**400}, "positive"),
        ({"cycles": 3}, "not known"),
        ({"in_channels": 2.5}, "whole number"),
        ({"pattern": "unstructured@80"}, "unknown pattern"),
        ({"pattern": "2:4"}, "keep2of4"),
        ({"layer": ""}, "empty"),
        ({"layer": "a\u0000b"}, "printed"),
        ({"layer": "x" * 301}, "longer"),
    ],
)
def test_bad_json_rows_are_refused_by_number(change: dict[str, object], word: str) -> None:
    document = profile_of(ProfileRow(layer="a", latency_ms=1.0), ProfileRow(layer="b", latency_ms=1.0)).to_json()
    document["rows"][1].update(change)
    with pytest.raises(ProfileError) as caught:
        Profile.from_json(document)
    assert any(p.startswith("row 2:") and word in p for p in caught.value.problems)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"name": NaN}',
        b'{"name": "a", "name": "b"}',
        b"\xff\xfe",
        b"{" * 100_000,
        b"x" * (MAX_BYTES + 1),
        b"",
        b"layer,latency_ms\n" + b'"' * 200_001,
        b'{"rows": 3}',
        b"[]",
    ],
)
def test_broken_files_are_refused_politely(raw: bytes) -> None:
    with pytest.raises(ProfileError):
        Profile.from_bytes(raw)


def test_rows_and_accelerator_do_not_mix() -> None:
    with pytest.raises(ProfileError, match="apart"):
        profile_of(ProfileRow(layer="a", latency_ms=1.0), accelerator="eyeriss-v2", source="analytical")
    with pytest.raises(ProfileError, match="analytical"):
        profile_of(accelerator="eyeriss-v2", source="measured")
    with pytest.raises(ProfileError, match="no rows"):
        profile_of()

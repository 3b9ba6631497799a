"""Profiles: exact round trips, and no file that does more than be read or refused."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels import profile_csv
from costmodels.errors import ProfileError
from costmodels.profile import MAX_BYTES, MAX_ROWS, Profile, ProfileGroup, ProfileRow
from tests.costmodels.made_profiles import described_profile, profile_of, profiles

HEADER = "# name: bench\n# device: board\n# batch: 1\n# precision: float32\n# source: measured\n"
SPLICES = [b"null", b"1e999", b"-1", b"NaN", b"[]", b"{}", b"true", b'"', b",", b"\n", b"\x00", b"9" * 5000, b"1:4"]


@settings(max_examples=25, deadline=None)
@given(profiles())
def test_round_trips_are_exact(profile: Profile) -> None:
    assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile
    assert Profile.from_csv(profile.to_csv()) == profile
    assert Profile.from_bytes(profile.to_csv().encode("utf-8-sig")) == profile
    assert Profile.from_bytes(json.dumps(profile.to_json()).encode()).digest == profile.digest


def test_digest_is_of_the_content() -> None:
    one = profile_of(ProfileRow(layer="a", latency_ms=1.0))
    assert one.digest == profile_of(ProfileRow(layer="a", latency_ms=1.0)).digest
    assert one.digest != replace(one, batch=2).digest
    assert one.digest != profile_of(ProfileRow(layer="a", latency_ms=math.nextafter(1.0, 2.0))).digest


@pytest.mark.parametrize(
    "raw",
    [
        b",".join(b"c%d" % n for n in range(100_000)),
        b"# name: x" + b"," * 1_000_000,
        b"# x: 1\n" * 50_000,
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


def test_what_code_builds_is_checked_as_strictly() -> None:
    with pytest.raises(ProfileError) as caught:
        profile_of(
            ProfileRow(layer=3, latency_ms="1"),  # type: ignore[arg-type]
            batch=1.5,
            layers=[],
            groups=(ProfileGroup(rule="parallel_max", members=([],)),),  # type: ignore[arg-type]
        )
    assert caught.value.problems == (
        "batch 1.5 is not a whole number",
        "group 1: members (tuple) is not a list of texts",
        "layers is not a tuple of ProfileLayer",
        "row 1: layer 3 is not text",
        "row 1: latency_ms '1' is not a number",
    )


def test_whole_numbers_and_floats_are_one_profile() -> None:
    whole, exact = (profile_of(ProfileRow(layer="a", latency_ms=time), overhead_ms=time) for time in (1, 1.0))
    assert (whole, whole.digest) == (exact, exact.digest)
    assert "float64" not in whole.to_csv()


@pytest.mark.parametrize("field", ["latency_ms", "dense_ms"])
@pytest.mark.parametrize("value", [5e-324, 1e-300, 0.0, -1.0, math.nan, math.inf, 1e10])
def test_times_that_no_clock_shows_are_refused(field: str, value: float) -> None:
    """Positive is not enough: a ratio of two of them would be infinite."""
    row = ProfileRow(**{"layer": "a", "latency_ms": 1.0, field: value})  # type: ignore[arg-type]
    with pytest.raises(ProfileError, match=f"row 1: {field}"):
        profile_of(row)


def test_a_truncated_document_or_sheet_is_refused() -> None:
    profile = described_profile()
    text = json.dumps(profile.to_json())
    for length in range(1, len(text), 37):
        with pytest.raises(ProfileError):
            Profile.from_bytes(text[:length].encode())
    sheet = profile.to_csv()
    with pytest.raises(ProfileError):
        Profile.from_bytes(sheet[: sheet.index("keep2of4")].encode())


def test_gigantic_files_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_csv, "_MAX_LINES", 1000)
    with pytest.raises(ProfileError, match="more than 1000 lines"):
        Profile.from_csv(HEADER + "layer,latency_ms\n" + "a,1\n" * 1000)
    document = {**profile_of(ProfileRow(layer="a", latency_ms=1.0)).to_json(), "rows": [{}] * (MAX_ROWS + 1)}
    with pytest.raises(ProfileError, match="more than 100000"):
        Profile.from_json(document)
    with pytest.raises(ProfileError) as caught:
        Profile.from_json({**document, "rows": [], **{f"k{n}": n for n in range(50_000)}})
    assert sum(map(len, caught.value.problems)) < 2000


@settings(max_examples=80, deadline=None)
@given(st.booleans(), st.integers(0, 700), st.integers(0, 12), st.binary(max_size=4) | st.sampled_from(SPLICES))
def test_mutated_files_are_read_or_refused(as_json: bool, start: int, gone: int, spliced: bytes) -> None:
    profile = described_profile()
    raw = json.dumps(profile.to_json()).encode() if as_json else profile.to_csv().encode()
    start %= len(raw)
    try:
        read = Profile.from_bytes(raw[:start] + spliced + raw[start + gone :])
    except ProfileError:
        return
    assert Profile.from_csv(read.to_csv()) == Profile.from_json(read.to_json()) == read

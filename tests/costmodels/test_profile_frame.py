"""The tidy table: exact both ways, the same types whatever it holds, and no contradiction goes unseen."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from costmodels.errors import ProfileError
from costmodels.profile import Profile, ProfileLayer, ProfileRow
from costmodels.profile_frame import COLUMNS
from tests.costmodels.made_profiles import profile_of, profiles


def sparse_profile(**fields: Any) -> Profile:
    return profile_of(
        ProfileRow(layer="a", latency_ms=4.0, in_channels=16, out_channels=32),
        ProfileRow(layer="a", latency_ms=2.0, pattern="keep1of4", weight_bytes=128.0),
        ProfileRow(layer="b", latency_ms=1.0),
        ProfileRow(layer="b", latency_ms=0.5, pattern="block1x8@0.75"),
        layers=(ProfileLayer(name="a", op="conv2d"), ProfileLayer(name="b", role="other", op="pool")),
        **fields,
    )


def problems_of(frame: pd.DataFrame) -> tuple[str, ...]:
    with pytest.raises(ProfileError) as caught:
        Profile.from_frame(frame)
    return caught.value.problems


@settings(max_examples=15, deadline=None)
@given(profiles())
def test_frames_round_trip_exactly_with_stable_types(profile: Profile) -> None:
    frame = profile.to_frame()
    assert Profile.from_frame(frame) == profile
    assert Profile.from_frame(frame).digest == profile.digest
    assert {column: str(kind) for column, kind in frame.dtypes.items()} == COLUMNS


def test_columns_say_what_the_pattern_says() -> None:
    frame = sparse_profile().to_frame()
    assert list(frame["density"]) == [1.0, 0.25, 1.0, 0.25]
    assert (frame["keep"][1], frame["of"][1], frame["block_rows"][3], frame["block_cols"][3]) == (1, 4, 1, 8)
    assert frame["keep"].isna().sum() == 3
    assert list(frame["role"]) == ["layer", "layer", "other", "other"]
    assert set(frame["profile_hash"]) == {sparse_profile().digest}
    assert frame.attrs["layers"][1] == {"name": "b", "role": "other", "op": "pool"}


def test_a_profile_without_rows_is_its_header() -> None:
    profile = profile_of(accelerator="eyeriss-v2", source="analytical")
    frame = profile.to_frame()
    assert (len(frame), {c: str(k) for c, k in frame.dtypes.items()}) == (0, COLUMNS)
    assert Profile.from_frame(frame) == profile


def test_a_plain_table_with_a_header_is_enough() -> None:
    frame = pd.DataFrame({"layer": ["a", "a"], "in_channels": [None, 8], "latency_ms": [2, 1]})
    header = {"name": "n", "device": "d", "batch": 1, "precision": "int8", "source": "vendor"}
    profile = Profile.from_frame(frame, header)
    assert profile.rows == (
        ProfileRow(layer="a", latency_ms=2.0),
        ProfileRow(layer="a", latency_ms=1.0, in_channels=8),
    )
    assert sum("is missing" in problem for problem in problems_of(frame)) == 5


def test_order_of_columns_and_index_do_not_matter() -> None:
    frame = sparse_profile().to_frame()
    shuffled = frame[sorted(frame.columns)].set_axis([9, 9, 3, 1])
    assert Profile.from_frame(shuffled) == sparse_profile()


def test_an_edit_makes_another_profile() -> None:
    frame = sparse_profile().to_frame()
    frame.loc[0, "latency_ms"] = 5.0
    assert Profile.from_frame(frame).digest != sparse_profile().digest


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("density", 0.5, "row 2: density 0.5 contradicts the row, which says 0.25"),
        ("keep", 2, "row 2: keep 2 contradicts the row, which says 1"),
        ("op", "linear", "row 2: op linear contradicts the row, which says conv2d"),
        ("pattern", "1:4", "row 2: '1:4' is ambiguous"),
        ("latency_ms", -1.0, "row 2: latency_ms -1.0 is not a positive finite number"),
        ("latency_ms", float("inf"), "row 2: latency_ms inf is not a positive finite number"),
        ("latency_ms", float("nan"), "row 2: latency_ms is missing"),
        ("profile_hash", "other", "the rows are of several profiles: select those of one profile_hash"),
    ],
)
def test_bad_cells_are_refused_by_row(column: str, value: object, problem: str) -> None:
    frame = sparse_profile().to_frame()
    frame.loc[1, column] = value
    assert any(found.startswith(problem) for found in problems_of(frame)), problems_of(frame)


def test_bad_columns_are_refused() -> None:
    frame = sparse_profile().to_frame()
    assert "'latency' is not known" in problems_of(frame.rename(columns={"latency_ms": "latency"}))[0]
    assert problems_of(frame.drop(columns="layer")) == ("column 'layer' is missing",)
    assert "stands twice" in problems_of(pd.concat([frame, frame[["op"]]], axis=1))[0]
    mixed = frame.astype({"latency_ms": object, "keep": object})
    mixed.loc[0, "latency_ms"] = "fast"
    assert problems_of(mixed) == ("row 1: latency_ms 'fast' is not a number",)
    mixed = frame.astype({"keep": object})
    mixed.loc[0, "keep"] = [1]
    assert problems_of(mixed) == ("column 'keep' does not hold Int64",)

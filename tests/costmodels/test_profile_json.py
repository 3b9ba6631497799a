"""The JSON form: strict, and every mistake by part and number."""

import pytest

from costmodels.errors import ProfileError
from costmodels.profile import Profile, ProfileRow
from tests.costmodels.made_profiles import described_profile, profile_of


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
    ("part", "change", "problem"),
    [
        ("layers", {"kernel": "3x3"}, "layer 2: kernel '3x3' is not a list of whole numbers"),
        ("layers", {"kernel": [3, True]}, "layer 2: kernel (tuple) is not a list of whole numbers"),
        ("layers", {"role": "pooling"}, "layer 2 'pool': role 'pooling' is not one of layer, other"),
        ("layers", {"name": "a"}, "layer 2 'a': is described by layer 1 already"),
        ("layers", {"groups": 3, "in_channels": 16}, "layer 2 'pool': groups 3 does not divide in_channels 16"),
        ("layers", {"macs": 0}, "layer 2 'pool': macs 0 is not a positive whole number"),
        ("groups", {"members": ["a", "z"]}, "group 1: member 'z' is no layer of the profile"),
        ("groups", {"members": ["a", "a"]}, "group 1: it has fewer than two members"),
        ("groups", {"rule": "cluster_threshold"}, "group 1: min_sparsity None is outside (0, 1)"),
        ("capabilities", {"keep": 5}, "capability 1: keep 5 of 4 is impossible"),
        ("capabilities", {"min_sparsity": 50}, "capability 1: min_sparsity 50.0 is outside [0, 1)"),
        ("capabilities", {"pattern": "zeros"}, "capability 1: pattern 'zeros' is not one of"),
        ("files", {"sha256": "x"}, "file 1: sha256 'x' is not 64 hexadecimal digits"),
        ("files", {"path": "x"}, "file 1: field 'path' is not known"),
        ("rows", {"weight_bytes": -1}, "row 2: weight_bytes -1.0 is not zero or a positive finite number"),
        ("rows", {"dense_ms": 0}, "row 2: dense_ms 0.0 is not a positive finite number"),
    ],
)
def test_bad_parts_are_refused_by_part_and_number(part: str, change: dict[str, object], problem: str) -> None:
    document = described_profile().to_json()
    document[part][1 if len(document[part]) > 1 else 0].update(change)
    with pytest.raises(ProfileError) as caught:
        Profile.from_json(document)
    assert any(p.startswith(problem) for p in caught.value.problems), caught.value.problems


def test_documents_of_schema_1_are_read() -> None:
    old = {
        **{"schema": 1, "name": "n", "device": "d", "batch": 1, "precision": "int8", "source": "vendor"},
        **{"runtime": "", "tool": "", "created": "", "statistic": "median", "note": "", "accelerator": None},
        **{"accelerator_digest": None, "network_latency_ms": 2, "overhead_ms": None},
        "rows": [{"layer": "a", "pattern": "dense", "latency_ms": 1, "latency_std_ms": None}],
    }
    profile = Profile.from_json(old)
    assert profile == Profile.from_json(profile.to_json())
    assert (profile.to_json()["schema"], profile.network_latency_ms, profile.layers) == (2, 2.0, ())
    for schema in (3, "2", True, None, [], 10**9):
        with pytest.raises(ProfileError, match="schema"):
            Profile.from_json({**old, "schema": schema})


def test_deep_nesting_is_refused() -> None:
    deep: object = 1
    for _ in range(900):
        deep = [deep]
    document = profile_of(ProfileRow(layer="a", latency_ms=1.0)).to_json()
    for key in ("batch", "note", "rows", "layers"):
        with pytest.raises(ProfileError):
            Profile.from_json({**document, key: deep})
    with pytest.raises(ProfileError):
        Profile.from_json({**document, "rows": [{"layer": deep, "latency_ms": {"a": deep}}]})

"""SPDY's timings: totals in seconds, layers by sparsity, and what a cut file looks like."""

import pytest

from costmodels.importers import Given, import_profile
from costmodels.profile import Profile, ProfileRow
from tests.costmodels.importers.excerpts import SPDY, STATED, problems_of, source


@pytest.fixture(scope="module")
def profile() -> Profile:
    return import_profile([source(SPDY)], STATED)


def test_seconds_become_milliseconds_and_totals_are_kept(profile: Profile) -> None:
    assert profile.network_latency_ms == pytest.approx(20.0)
    assert profile.overhead_ms == pytest.approx(2.0)  # base - prunable
    dense = [row.latency_ms for row in profile.rows if row.pattern == "dense"]
    assert sum(dense) == pytest.approx(18.0)  # prunable is the sum of the dense times
    assert profile.rows[1] == ProfileRow(layer="conv1", pattern="unstructured@0.4", latency_ms=14.0)
    assert [layer.name for layer in profile.layers] == ["conv1", "layer1.0.conv1", "fc"]
    assert (profile.source, profile.original_unit, profile.files[0].format) == ("measured", "s", "timings")


def test_half_of_the_zeros_everywhere_is_never_faster_than_dense(profile: Profile) -> None:
    half = sum(row.latency_ms for row in profile.rows if row.pattern == "unstructured@0.5")
    dense = sum(row.latency_ms for row in profile.rows if row.pattern == "dense")
    assert half > dense
    assert profile.dispatch == "forced"  # so that best-of dense and sparse does not hide it


def test_names_without_times_become_a_note() -> None:
    profile = import_profile([source(SPDY + "aux.fc\naux.conv\n")], STATED)
    assert "named without times: 'aux.fc', 'aux.conv'" in profile.note
    assert [layer.name for layer in profile.layers] == ["conv1", "layer1.0.conv1", "fc"]


def test_layers_of_a_plain_sequence_have_numbers_for_names() -> None:
    profile = import_profile([source(SPDY.replace("conv1\n", "0\n", 1).replace("fc\n", "2\n"))], STATED)
    assert [layer.name for layer in profile.layers] == ["0", "layer1.0.conv1", "2"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.0100 0.0000\n", "", "'conv1' has no line of sparsity 0"),
        ("0.0140 0.4000", "0.0140 40", "line 7: sparsity '40' is no share of zeros"),
        ("0.0140 0.4000", "0 0.4000", "line 7: '0' is not a positive number of seconds"),
        ("0.0140 0.4000", "nan 0.4000", "'nan 0.4000' has no line of sparsity 0"),
        ("0.0200\n", "0.0100\n", "base, 0.01 s, is less than prunable, 0.018 s"),
        ("0.0200\n", "many\n", "base 'many' is not a positive number of seconds"),
        ("0.0180\n", "0.0190\n", "add up to 0.018 s but prunable is 0.019 s: lines are missing or changed"),
        ("fc\n", "conv1\n", "line 15: layer 'conv1' stands twice"),
        ("0.0021 0.5000\n0.0008 0.9000\n", "", "layer 'fc' has 2 lines but all others 4: the file is cut off"),
        ("conv1\n0.0100", "0.0100", "line 5: '0.0100 0.0000' stands before the name of any layer"),
        ("0.0140 0.4000", "0.0140 0.5000", "row 3: repeats row 2"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, said: str) -> None:
    assert said in problems_of(SPDY.replace(old, new, 1))


def test_every_cut_through_a_line_end_is_refused() -> None:
    lines = SPDY.splitlines(keepends=True)
    for kept in range(3, len(lines)):
        assert problems_of("".join(lines[:kept]))
    assert "lines are missing or changed" in problems_of("".join(lines[:-5]))


def test_two_files_are_one_too_many() -> None:
    assert "2 files are tables of SPDY" in problems_of(SPDY, SPDY)


def test_device_batch_and_precision_are_asked_for() -> None:
    assert "device is not in the file" in problems_of(SPDY, given=Given())

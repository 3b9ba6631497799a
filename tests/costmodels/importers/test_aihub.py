"""Qualcomm AI Hub: times or cycles of a job's profile, and why a file of whole networks prices nothing."""

import copy
from dataclasses import replace

import pytest

from costmodels.importers import import_profile
from costmodels.profile import Profile
from tests.costmodels.importers.excerpts import AIHUB, AIHUB_NETWORKS, STATED, problems_of, shared_file, source


@pytest.fixture(scope="module")
def profile() -> Profile:
    return import_profile([source(AIHUB)], STATED)


def changed(at: int, **fields: object) -> dict[str, object]:
    document = copy.deepcopy(AIHUB)
    document["execution_detail"][at] |= fields
    return document


def test_microseconds_become_milliseconds(profile: Profile) -> None:
    assert {row.layer: row.latency_ms for row in profile.rows} == {
        "conv1": 0.4,
        "quant": 0.04,
        "fc": pytest.approx(0.3),
    }
    assert (profile.network_latency_ms, profile.original_unit, profile.runs) == (0.9, "us", 3)


def test_layers_without_time_stay_without_a_row(profile: Profile) -> None:
    assert [layer.name for layer in profile.layers] == ["conv1", "relu1", "quant", "fc"]
    assert [layer.role for layer in profile.layers] == ["layer", "other", "other", "layer"]  # Convert is no convolution
    assert "1 of 4 layers have no time" in profile.note
    assert "the network's time is the least of 3 runs" in profile.note


def test_cycles_are_read_where_there_is_no_time_and_need_the_clock() -> None:
    document = copy.deepcopy(AIHUB)
    for entry in document["execution_detail"]:
        entry["execution_time"] = None
    assert "state clock_hz" in problems_of(document)
    profile = import_profile([source(document)], replace(STATED, clock_hz=1e6))
    assert profile.rows[0].latency_ms == pytest.approx(4.0)  # 4000 cycles at 1 MHz
    assert (profile.original_unit, profile.clock_hz) == ("cycles", 1e6)


def test_a_name_that_stands_twice_is_told_apart() -> None:
    profile = import_profile([source(changed(3, name="conv1"))], STATED)
    assert [layer.name for layer in profile.layers][-1] == "conv1 #2"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (changed(0, execution_time=-1), "execution_detail 1 ('conv1'): execution_time -1 is no time"),
        (changed(0, execution_time="fast"), "execution_time 'fast' is no time"),
        (changed(0, name=""), "execution_detail 1: it is no object with a name"),
        (AIHUB | {"execution_detail": []}, "state clock_hz"),
        (AIHUB | {"execution_summary": {"estimated_inference_time": 0}}, "estimated_inference_time 0"),
    ],
)
def test_what_is_wrong_is_said_with_its_entry(document: object, said: str) -> None:
    assert said in problems_of(document)


def test_latencies_of_whole_networks_price_no_layer() -> None:
    assert "holds the latency of whole networks, none of a layer" in problems_of(AIHUB_NETWORKS)
    assert "holds the latency of whole networks" in problems_of(AIHUB, AIHUB_NETWORKS)


@pytest.mark.shared
def test_the_real_perf_file_is_refused_with_the_way_out() -> None:
    said = problems_of(shared_file("profiles", "qai-hub", "mobilenet_v2_perf.yaml").data)
    assert "download the profile of the job as JSON" in said

"""SparseML's sensitivity files: fused kernels once, the baseline as dense, names from the loss file."""

import copy

import pytest

from costmodels.importers import Given, import_profile
from costmodels.profile import Profile
from tests.costmodels.importers.excerpts import (
    SPARSEML,
    SPARSEML_LOSS,
    STATED,
    problems_of,
    sensitivity,
    shared_file,
    source,
)

ASKED = Given(device="server", precision="float32")


@pytest.fixture(scope="module")
def profile() -> Profile:
    return import_profile([source(SPARSEML), source(SPARSEML_LOSS)], ASKED)


def dense_ms(profile: Profile) -> dict[str, float]:
    return {row.layer: row.latency_ms for row in profile.rows if row.pattern == "dense"}


def test_a_kernel_that_covers_two_nodes_is_one_layer(profile: Profile) -> None:
    first = profile.layers[0]
    assert (first.name, first.members) == ("conv_pool_0", ("input.conv.weight", "10", "12"))
    assert [layer.name for layer in profile.layers].count("conv_pool_0") == 1


def test_two_kernels_of_one_name_and_other_times_are_two_layers() -> None:
    document = copy.deepcopy(SPARSEML)
    document["results"][1] = sensitivity("conv_pool_0", "12", {0.0: [2e-4]})
    names = [layer.name for layer in import_profile([source(document)], ASKED).layers]
    assert names[:2] == ["conv_pool_0", "conv_pool_0 #2"]


def test_times_are_means_in_milliseconds_with_the_spread_of_runs(profile: Profile) -> None:
    assert profile.network_latency_ms == pytest.approx(0.7)
    assert profile.network_latency_std_ms == pytest.approx(0.1 * 2**0.5)
    assert dense_ms(profile)["convolution_1"] == pytest.approx(0.2)
    assert (profile.batch, profile.statistic, profile.original_unit) == (2, "mean", "s")


def test_the_baseline_is_dense_though_some_weights_are_zero(profile: Profile) -> None:
    assert dense_ms(profile)["gevm_2"] == pytest.approx(0.1)


def test_what_multiplies_no_weights_has_its_dense_time_or_none(profile: Profile) -> None:
    roles = {layer.name: layer.role for layer in profile.layers}
    assert roles["softmax_4"] == roles["shuffle_3"] == "other"
    assert [row.pattern for row in profile.rows if row.layer == "softmax_4"] == ["dense"]
    assert "shuffle_3" not in dense_ms(profile) and "'shuffle_3' has no dense time" in profile.note


def test_a_loss_file_alone_is_refused_with_what_it_is_for() -> None:
    said = problems_of(SPARSEML_LOSS)
    assert "is a loss table" in said and "beside the performance file" in said


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (sensitivity("convolution_9", "9", {0.4: [1e-4]}) | {"has_baseline": False}, "no measurement without zeros"),
        (sensitivity("convolution_9", "9", {0.5: [1e-4]}), "no measurement without zeros"),
        (sensitivity("convolution_9", "9", {0.0: [0.0]}), "not all positive numbers of seconds"),
        (sensitivity("convolution_9", "9", {0.0: []}), "not all positive numbers of seconds"),
        (sensitivity("convolution_9", "9", {0.0: [1e-4], 80: [1e-4]}), "80 is no share of zeros"),
        ({"name": "convolution_9"}, "sparse_measurements is no list"),
        ("convolution_9", "result 7: it is no object with a name"),
    ],
)
def test_what_is_wrong_is_said_with_its_result(entry: object, said: str) -> None:
    document = SPARSEML | {"results": [*SPARSEML["results"], entry]}
    assert said in problems_of(document)


def test_batch_is_asked_for_where_the_file_has_none() -> None:
    assert "batch is not in the file" in problems_of(SPARSEML | {"batch_size": None}, given=ASKED)
    assert import_profile([source(SPARSEML | {"batch_size": None})], STATED).batch == 1


@pytest.mark.shared
def test_real_layers_add_up_to_the_real_network() -> None:
    loss = shared_file("latency_tables", "sparseml", "resnet50_loss_one_shot.json")
    profile = import_profile([shared_file("latency_tables", "sparseml", "resnet50_perf.json"), loss], ASKED)
    layers = [layer for layer in profile.layers if layer.role == "layer"]
    assert (len(profile.layers), len(layers), len(profile.rows)) == (60, 54, 221)
    assert sum(dense_ms(profile).values()) == pytest.approx(profile.network_latency_ms)  # 6.698 ms, fused kernels once
    assert profile.network_latency_ms == pytest.approx(6.698)
    assert all(layer.members[0].endswith(".weight") for layer in layers)
    slower = [
        row.layer
        for row in profile.rows
        if row.pattern == "unstructured@0.4" and row.latency_ms > dense_ms(profile)[row.layer]
    ]
    assert len(slower) > len(layers) / 2  # why this runtime does not count as one that chooses the faster kernel


@pytest.mark.shared
@pytest.mark.parametrize("name", ["resnet50_loss_one_shot.json", "resnet50_loss_approx.json"])
def test_real_loss_files_are_refused(name: str) -> None:
    assert "is a loss table" in problems_of(shared_file("latency_tables", "sparseml", name).data)

"""Tables of options a layer: sparsity and bits are read, everything else is refused with the reason."""

import copy
from dataclasses import replace

import pytest

from costmodels.importers import Given, import_profile
from costmodels.profile import ProfileRow
from tests.costmodels.importers.excerpts import OPTION_TABLE, STATED, problems_of, shared_file, source

ASKED = Given(precision="float32")
BITS = {
    "device": "GPU",
    "unit": "ms",
    "layers": [{"name": "a", "macs": 1.5, "options": [{"bits": 4, "latency": 0.1}, {"bits": 8, "latency": 0.2}]}],
}


def changed(**option: object) -> dict[str, object]:
    document = copy.deepcopy(OPTION_TABLE)
    document["layers"][0]["options"][1] = option
    return document


def test_sparsity_in_seconds() -> None:
    profile = import_profile([source(OPTION_TABLE)], ASKED)
    assert profile.rows == (
        ProfileRow(layer="fc", latency_ms=1.0),
        ProfileRow(layer="conv1", latency_ms=2.0),
        ProfileRow(layer="conv1", pattern="unstructured@0.8", latency_ms=1.0),
        ProfileRow(layer="fc", pattern="unstructured@0.8", latency_ms=1.5),
    )
    assert (profile.device, profile.batch, profile.source) == ("some CPU, batch 4", 4, "published")
    assert profile.network_latency_ms == 4.0
    assert "licence: MIT" in profile.note


def test_the_stated_precision_picks_the_bits() -> None:
    assert "state one of them as the precision: int4, int8" in problems_of(BITS)
    profile = import_profile([source(BITS)], replace(STATED, precision="int8"))
    assert profile.rows == (ProfileRow(layer="a", latency_ms=0.2),)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (OPTION_TABLE | {"unit": "not stated"}, "unit 'not stated' is not one of s, ms, us"),
        (changed(sparsity=0.8, latency=0.0), "layer 'conv1', option 2: latency 0.0 is not a positive finite number"),
        (changed(sparsity=80, latency=1), "sparsity 80 is no share"),
        (changed(mid=80, latency=1), "an option is chosen by mid, which is no pattern of a layer's zeros"),
        (changed(bits=8, latency=1), "options of several kinds"),
        (changed(latency=1), "an option is chosen by nothing"),
        (OPTION_TABLE | {"layers": [{"name": "a", "options": [{"sparsity": 0.8, "latency": 1}]}]}, "no dense time"),
        (
            OPTION_TABLE | {"layers": [*OPTION_TABLE["layers"], {}]},
            "layer 3: it is no object with a name and a list of options",
        ),
        (OPTION_TABLE | {"layers": [], "options": []}, "there are no rows"),
    ],
)
def test_what_is_wrong_is_said_with_its_option(document: object, said: str) -> None:
    assert said in problems_of(document, given=ASKED)


@pytest.mark.shared
def test_the_real_table_of_bits() -> None:
    table = shared_file("latency_tables", "hawq_resnet50_t4.json")
    times = {
        bits: sum(row.latency_ms for row in import_profile([table], replace(STATED, device=None, precision=bits)).rows)
        for bits in ("int4", "int8")
    }
    assert times == pytest.approx({"int4": 7.65993, "int8": 11.86536})


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tfnas_cpu.json", "chosen by mid"),
        ("tfnas_cpu.json", "is not a positive finite number"),
        ("densenas_lat_list_resv2_32.json", "chosen by path"),
        ("haq_mobilenetv2_bismo.json", "is not one of s, ms, us"),
        ("venom_baseline_a.json", "chosen by M, N, V, algo"),
        ("venom_spmm_bert_spatha.json", "chosen by M, N, V, algo"),
        ("sparseml_resnet50.json", "layer 'classifier.fc.weight', option 1: latency None"),
    ],
)
def test_real_tables_that_price_no_layer_are_refused_with_the_reason(name: str, said: str) -> None:
    assert said in problems_of(shared_file("latency_tables", name).data)


@pytest.mark.shared
def test_all_84_times_below_zero_are_named() -> None:
    said = problems_of(shared_file("latency_tables", "tfnas_cpu.json").data)
    assert said.count("is not a positive finite number: measure it again") >= 84

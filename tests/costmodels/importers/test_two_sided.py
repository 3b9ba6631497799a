"""Two-sided channel tables: keys, columns, names; full widths found or asked for."""

import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.importers import Given, import_profile
from costmodels.profile import ProfileLayer, ProfileRow
from tests.costmodels.importers.excerpts import STATED, TWO_SIDED, TWO_SIDED_CSV, problems_of, source

ASKED = Given(device="GPU", precision="float16")


def key(cin: int, cout: int, kernel: int = 1, groups: int = 1, batch: int = 32) -> str:
    return f"{batch}_{cin}_{cout}_14_{kernel}_1_{groups}"


def test_a_key_is_a_row_at_both_widths() -> None:
    profile = import_profile([source(TWO_SIDED)], ASKED)
    name = "conv 3x3 stride 1 on 14, 8 to 16"
    assert profile.layers == (
        ProfileLayer(
            name=name,
            op="conv2d",
            in_channels=8,
            out_channels=16,
            kernel=(3, 3),
            stride=(1, 1),
            groups=1,
            input_size=(14, 14),
        ),
    )
    assert profile.rows[1] == ProfileRow(layer=name, in_channels=4, out_channels=16, latency_ms=0.5)
    assert (profile.batch, len(profile.rows), profile.original_unit) == (32, 4, "ms")


def test_columns_say_the_same_as_keys() -> None:
    profile = import_profile([source(TWO_SIDED_CSV)], ASKED)
    by_key = import_profile([source(TWO_SIDED)], ASKED)
    assert profile.layers == by_key.layers and profile.rows == by_key.rows[::2]
    records = [{"cin": 8, "cout": 16, "latency_s": 0.8e-3}, {"cin": 8, "cout": 8, "latency_s": 0.6e-3}]
    assert [row.latency_ms for row in import_profile([source(records)], STATED).rows] == pytest.approx([0.8, 0.6])


def test_a_csv_may_name_its_layers() -> None:
    named = source("layer,cin,cout,latency_ms\nconv1,8,16,0.8\nconv1,8,8,0.6\nfc,16,10,0.1\n")
    profile = import_profile([named], STATED, "two_sided")
    assert [(layer.name, layer.in_channels, layer.out_channels) for layer in profile.layers] == [
        ("conv1", 8, 16),
        ("fc", 16, 10),
    ]


def test_widths_that_none_contains_are_the_layers() -> None:
    table = {key(1024, 256): 0.3, key(256, 1024): 0.2, key(256, 256): 0.1, key(128, 1024): 0.15}
    profile = import_profile([source(table)], ASKED)
    assert [(layer.in_channels, layer.out_channels) for layer in profile.layers] == [(1024, 256), (256, 1024)]
    assert [row.in_channels for row in profile.rows] == [1024, 256, 256, 256, 128]  # 256 x 256 serves both


def test_depthwise_groups_follow_the_channels() -> None:
    profile = import_profile([source({key(c, c, 3, c): c / 100 for c in (8, 16, 32)})], ASKED)
    assert [(layer.name, layer.groups) for layer in profile.layers] == [
        ("conv 3x3 stride 1 on 14, depthwise, 32 to 32", 32)
    ]
    assert len(profile.rows) == 3


def test_named_layers_keep_their_names_and_must_be_full() -> None:
    table = {"layer1": TWO_SIDED, "layer2": {key(8, 8): 0.1}}
    assert [layer.name for layer in import_profile([source(table)], ASKED).layers] == ["layer1", "layer2"]
    said = problems_of({"layer1": {key(8, 16): 0.1, key(16, 8): 0.1}}, given=ASKED)
    assert "'layer1' has no time at its full width, 16 x 16 channels" in said
    assert "entries of several shapes" in problems_of({"layer1": {key(8, 8): 0.1, key(8, 8, 3): 0.1}}, given=ASKED)


def test_one_batch_is_read_and_asked_for_where_there_are_several() -> None:
    table = {key(8, 8, batch=1): 0.1, key(8, 8, batch=32): 0.9}
    assert "holds the batch sizes 1, 32: state one" in problems_of(table, given=ASKED)
    profile = import_profile([source(table)], replace(ASKED, batch=32))
    assert [row.latency_ms for row in profile.rows] == [0.9]
    assert "holds the batch sizes 1, 32" in problems_of(table, given=replace(ASKED, batch=8))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TWO_SIDED | {"32_8_16": 1.0}, "'32_8_16': the key is not of the form batch_cin_cout_fmap"),
        (TWO_SIDED | {key(0, 8): 1.0}, "cin '0' is not a positive whole number"),
        (TWO_SIDED | {key(2, 2): 0}, "latency_ms 0 is not a positive finite number"),
        (TWO_SIDED | {key(2, 2): None}, "latency_ms None is not a positive finite number"),
        (TWO_SIDED | {"032_8_16_14_3_1_1": 0.8}, "repeats '32_8_16_14_3_1_1'"),
        (TWO_SIDED_CSV + "8,8,14,3,1,1,32,600\n", "line 4: repeats line 3"),
        (TWO_SIDED_CSV + "8,wide,14,3,1,1,32,600\n", "line 4: cout 'wide' is not a positive whole number"),
        (TWO_SIDED_CSV + "8,4,14\n", "one latency is needed and its unit"),
        (TWO_SIDED_CSV.replace("latency_us", "latency"), "one latency is needed and its unit"),
        (TWO_SIDED_CSV.replace("fmap", "cin"), "the column 'cin' stands twice"),
        ("cin,cout,latency_ms\n", "holds the batch sizes of no entry"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(content: object, said: str) -> None:
    assert said in problems_of(content, given=ASKED)


def test_a_pickle_is_never_opened() -> None:
    for protocol in (2, 4):
        assert "export it as JSON or CSV" in problems_of(pickle.dumps(TWO_SIDED, protocol=protocol), given=ASKED)


@settings(max_examples=25, deadline=None)
@given(st.sets(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=20))
def test_full_widths_contain_everything_and_none_of_each_other(widths: set[tuple[int, int]]) -> None:
    profile = import_profile([source({key(*pair): 0.1 for pair in widths})], ASKED)
    full = [(layer.in_channels or 0, layer.out_channels or 0) for layer in profile.layers]
    inside = {(a, b): [f for f in full if a <= f[0] and b <= f[1]] for a, b in widths}
    assert all(inside.values()) and all(inside[f] == [f] for f in full)
    assert len(profile.rows) == sum(map(len, inside.values()))

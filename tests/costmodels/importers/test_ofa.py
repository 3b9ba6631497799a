"""Look-up tables of blocks: shapes from keys, and only what a key says."""

import pytest

from costmodels.importers import import_profile
from costmodels.profile import Profile, ProfileLayer
from tests.costmodels.importers.excerpts import OFA, STATED, problems_of, source


@pytest.fixture(scope="module")
def profile() -> Profile:
    return import_profile([source(OFA)], STATED)


def test_a_key_is_a_shape(profile: Profile) -> None:
    assert profile.layers[3] == ProfileLayer(
        name="expanded_conv-input:20x20x48-output:10x10x96-expand:144-kernel:5-stride:2-idskip:0-se:1-hs:0",
        op="expanded_conv",
        in_channels=48,
        out_channels=96,
        kernel=(5, 5),
        stride=(2, 2),
        input_size=(20, 20),
        output_size=(10, 10),
    )


def test_only_what_a_key_says_is_said(profile: Profile) -> None:
    pool, conv, logits, _ = profile.layers
    assert (pool.role, conv.role, logits.role) == ("other", "layer", "layer")
    assert (conv.op, conv.kernel, conv.stride) == ("conv2d", (), ())
    assert (logits.op, logits.in_channels, logits.out_channels, logits.output_size) == ("linear", 64, 10, ())
    pooled = import_profile([source(OFA.replace("1x1x64-output:10:", "7x7x64-output:10:"))], STATED)
    assert pooled.layers[2].op == "Logits"  # a pooling may be in it


def test_times_are_milliseconds_and_variances_become_spreads(profile: Profile) -> None:
    assert [row.latency_ms for row in profile.rows] == [0.0085, 0.5, 0.65, 0.87]
    assert [row.latency_std_ms for row in profile.rows] == [0.0007, pytest.approx(0.02), None, 0.0133]
    assert (profile.statistic, profile.original_unit, profile.network_latency_ms) == ("mean", "ms", None)
    assert "do not add up to a network" in profile.note


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("mean: 0.5", "mean: 0", "mean 0 is not a positive number of milliseconds"),
        ("mean: 0.5", "mean: .nan", "mean nan is not a positive number of milliseconds"),
        ("mean: 0.5", "median: 0.5", "mean None is not a positive number of milliseconds"),
        ("var: 0.0004", "var: -1", "var -1 is not zero or a positive number"),
        ("count: 48", "count: many", "count 'many' is not zero or a positive number"),
        ("-stride:2", "-strides:2", "is not of the form op-input:HxWxC"),
        ("-stride:2", "-kernel:2", "is not of the form op-input:HxWxC"),
        ("Logits-input:1x1x64-output:10:", "Logits-input:1x1x64:", "is not of the form op-input:HxWxC"),
        ("Logits-input:1x1x64-output:10:", "7:", "key 7 is not of the form"),
        ("\n  count: 50\n  mean: 0.65", " 0.65", "it has no mean"),
        ("80x80x24", "80x80x0", "out_channels 0 is not a positive whole number"),
        ("Conv-input:160x160x3-output:80x80x24", "AvgPool2D-input:5x5x64-output:1x1x64", "twice"),
        ("mean: 0.5", "mean: *a", "plain YAML"),
        ("mean: 0.5", "mean: !!python/name:os.system", "plain YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(old: str, new: str, said: str) -> None:
    assert said in problems_of(OFA.replace(old, new))


def test_a_truncated_table_is_refused() -> None:
    assert problems_of(OFA[: OFA.index("  mean: 0.87")])

"""What is odd is said with names and numbers; what is usual is not."""

from hypothesis import given, settings

from costmodels.profile import Profile, ProfileGroup, ProfileRow
from costmodels.profile_warnings import layer_sum_ms, warnings
from tests.costmodels.made_profiles import profile_of, profiles


def row(layer: str, latency_ms: float, pattern: str = "dense", **fields: object) -> ProfileRow:
    return ProfileRow(layer=layer, latency_ms=latency_ms, pattern=pattern, **fields)  # type: ignore[arg-type]


def test_a_good_table_has_none() -> None:
    rows = (row("a", 4.1), row("a", 3.0, "unstructured@0.5"), row("a", 2.0, "unstructured@0.8"), row("b", 2.2))
    assert warnings(profile_of(*rows, network_latency_ms=7.0)) == ()


def test_more_zeros_that_take_longer() -> None:
    profile = profile_of(
        row("a", 1.01),
        row("a", 1.212, "unstructured@0.4"),
        row("a", 0.5, "unstructured@0.8"),
        row("a", 0.6, "unstructured@0.9"),
        row("a", 0.7, "keep2of4"),
        row("a", 0.2, "block4x1@0.5"),
    )
    (sentence,) = warnings(profile)
    assert sentence.startswith("more zeros take longer in 2 places, by up to 20.0%, and kept as it is")
    assert "'a': dense 1.01 ms, unstructured@0.4 1.212 ms" in sentence


def test_families_and_shapes_are_not_compared_with_each_other() -> None:
    rows = [row("a", 1.1), row("a", 0.5, "keep2of4"), row("a", 0.9, "keep1of8"), row("a", 0.7, "block4x4@0.9")]
    assert warnings(profile_of(*rows)) == ()
    wide = [row("a", 2.2, in_channels=8, out_channels=8), row("a", 1.1, in_channels=8, out_channels=4)]
    sparse = [row("a", 1.6, "unstructured@0.5", in_channels=8, out_channels=8)]
    assert warnings(profile_of(*wide, *sparse)) == ()


def test_each_campaign_is_held_against_its_own_dense_time() -> None:
    slow_day = row("a", 1.2, "unstructured@0.5", dense_ms=2.0)
    assert warnings(profile_of(row("a", 1.1), slow_day)) == ()
    assert len(warnings(profile_of(row("a", 1.1), row("a", 1.2, "unstructured@0.5")))) == 1


def test_fewer_channels_that_take_longer() -> None:
    profile = profile_of(
        row("a", 3.3, in_channels=8, out_channels=8),
        row("a", 3.6, in_channels=8, out_channels=6),
        row("a", 1.1, in_channels=4, out_channels=6),
    )
    (sentence,) = warnings(profile)
    assert "fewer channels take longer in one place" in sentence
    assert "8 x 8 channels 3.3 ms, 8 x 6 channels 3.6 ms" in sentence


def test_a_sum_far_from_the_whole() -> None:
    rows = (row("a", 4.1), row("a", 2.5, in_channels=2, out_channels=2), row("b", 2.1), row("b", 1.1, "keep2of4"))
    for whole_ms, odd in ((3.0, True), (4.0, False), (10.0, False), (11.0, True)):
        found = warnings(profile_of(*rows, network_latency_ms=whole_ms))
        assert any("sum to 6.2 ms" in sentence for sentence in found) is odd, whole_ms


def test_of_parallel_layers_the_slowest_counts() -> None:
    rows = (row("a", 4.1), row("b", 2.1), row("c", 1.0))
    together = ProfileGroup(rule="parallel_max", members=("a", "b"))
    cluster = ProfileGroup(rule="cluster_threshold", members=("a", "b"), min_sparsity=0.5)
    assert abs(layer_sum_ms(profile_of(*rows)) - 7.2) < 1e-12
    assert abs(layer_sum_ms(profile_of(*rows, groups=(together, cluster))) - 5.1) < 1e-12


def test_whole_milliseconds() -> None:
    whole = [row("a", 4.0), row("b", 2.0), row("c", 1.0)]
    assert any("whole milliseconds" in sentence for sentence in warnings(profile_of(*whole)))
    assert warnings(profile_of(*whole, row("d", 1.5))) == ()
    assert warnings(profile_of(*whole[:2])) == ()


def test_tiny_rows() -> None:
    rows = [row("a", 1.01), row("b", 1.1), row("c", 1.2), row("d", 0.0100)]
    (sentence,) = warnings(profile_of(*rows))
    assert sentence.startswith("one row takes less than 1% of the median of 1.055 ms: 'd' 0.01 ms")
    assert warnings(profile_of(*rows[:3], row("d", 0.0106))) == ()


def test_an_analytical_profile_has_none() -> None:
    assert warnings(profile_of(accelerator="eyeriss-v2", source="analytical", network_latency_ms=1.0)) == ()


@settings(max_examples=12, deadline=None)
@given(profiles())
def test_every_profile_can_be_looked_at(profile: Profile) -> None:
    assert all(0 < len(sentence) < 2000 for sentence in warnings(profile))

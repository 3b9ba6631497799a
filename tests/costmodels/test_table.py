"""Pricing from rows: the query rules, each with its derivation, and the properties of a best-of price."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.points import FLOORS
from costmodels.profile import Capability, ProfileRow
from costmodels.table import LayerTable, TableRules
from pruning.layers import LayerSpec
from pruning.patterns import NM, Block, Dense, Kernel, Pattern, Unstructured
from tests.costmodels.models import conv

LAYER = conv("a", 16, 32)
FULL = (16, 32)


def row(
    latency_ms: float, pattern: str = "dense", inputs: int | None = None, outputs: int | None = None, **other: float
) -> ProfileRow:
    channels = {"in_channels": inputs, "out_channels": outputs}
    return ProfileRow(layer="a", pattern=pattern, latency_ms=latency_ms, **channels, **other)  # type: ignore[arg-type]


def table_of(*rows: ProfileRow, layer: LayerSpec = LAYER, rules: TableRules | None = None) -> LayerTable:
    table = LayerTable.of(layer, rows, rules)
    assert table is not None
    return table


def priced(table: LayerTable, shape: tuple[int, int], pattern: Pattern) -> tuple[float, str]:
    cell = table.price(shape, pattern)
    return pytest.approx(cell.latency_ms), cell.derivation  # type: ignore[return-value]


GRID = (row(8.0), row(5.0, "dense", 8), row(4.0, "dense", None, 16), row(3.0, "dense", 8, 16))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (FULL, (8.0, "exact")),
        ((8, 16), (3.0, "exact")),
        ((12, 32), (6.5, "interpolated")),
        ((12, 24), (5.0, "interpolated")),
        ((8, 24), (4.0, "interpolated")),
        ((4, 16), (3.0, "clamped")),
        ((1, 1), (3.0, "clamped")),
    ],
)
def test_a_full_grid_is_bilinear_inside_and_flat_outside(shape: tuple[int, int], expected: tuple[float, str]) -> None:
    assert priced(table_of(*GRID), shape, Dense()) == expected


def test_one_axis_of_rows_goes_by_macs_on_the_other() -> None:
    table = table_of(row(8.0), row(5.0, "dense", None, 16))
    assert priced(table, (16, 24), Dense()) == (6.5, "interpolated")
    assert priced(table, (8, 32), Dense()) == (4.0, "scaled")
    assert priced(table, (8, 16), Dense()) == (2.5, "scaled")
    assert priced(table_of(row(8.0)), (8, 16), Dense()) == (2.0, "scaled")


def test_depthwise_channels_are_one_axis() -> None:
    layer = conv("a", 32, 32, groups=32)
    table = table_of(row(4.0), row(2.0, "dense", 16, 16), layer=layer)
    assert priced(table, (24, 24), Dense()) == (3.0, "interpolated")


SPARSE = (row(8.0), row(6.0, "unstructured@0.5"), row(2.0, "unstructured@0.9"))


@pytest.mark.parametrize(
    ("sparsity", "expected"),
    [
        (0.3, (8.0, "dense_fallback")),
        (0.49, (8.0, "dense_fallback")),
        (0.5, (6.0, "exact")),
        (0.7, (4.0, "interpolated")),
        (0.9, (2.0, "exact")),
        (0.98, (2.0, "clamped")),
    ],
)
def test_density_is_linear_between_rows_and_never_from_dense(sparsity: float, expected: tuple[float, str]) -> None:
    assert priced(table_of(*SPARSE), FULL, Unstructured(sparsity)) == expected


def test_sparse_rows_slower_than_dense_are_not_taken() -> None:
    table = table_of(row(8.0), row(10.0, "unstructured@0.5"), row(2.0, "unstructured@0.9"))
    assert priced(table, FULL, Unstructured(0.5)) == (8.0, "dense_fallback")


def test_group_patterns_are_exact_or_stricter_or_dense() -> None:
    table = table_of(row(8.0), row(5.0, "keep2of4"))
    assert priced(table, FULL, NM(2, 4)) == (5.0, "exact")
    assert priced(table, FULL, NM(1, 4)) == (5.0, "clamped")
    assert priced(table, FULL, NM(3, 4)) == (8.0, "dense_fallback")
    assert priced(table, FULL, Unstructured(0.9)) == (8.0, "dense_fallback")


def test_sparse_on_a_thinner_shape_takes_the_ratio() -> None:
    table = table_of(*GRID, row(4.0, "unstructured@0.8"))
    assert priced(table, (8, 16), Unstructured(0.8)) == (1.5, "scaled")
    assert priced(table, (8, 16), NM(2, 4)) == (3.0, "dense_fallback")
    own_rows = table_of(*GRID, row(4.0, "unstructured@0.8"), row(1.0, "unstructured@0.8", 8, 16))
    assert priced(own_rows, (8, 16), Unstructured(0.8)) == (1.0, "exact")


def test_a_table_needs_the_full_shape_and_nothing_wider() -> None:
    assert LayerTable.of(LAYER, [row(1.0, "dense", 8, 16)]) is None
    assert LayerTable.of(LAYER, [row(1.0), row(2.0, "dense", 32, 32)]) is None


def test_channels_are_rounded_up_to_what_the_device_computes() -> None:
    table = table_of(*GRID, rules=TableRules(channel_multiple=8))
    assert priced(table, (9, 17), Dense()) == priced(table, (16, 24), Dense())
    assert priced(table, (8, 16), Dense()) == (3.0, "exact")
    odd = table_of(ProfileRow(layer="a", latency_ms=2.0), layer=conv("a", 3, 32), rules=TableRules(channel_multiple=8))
    assert priced(odd, (3, 32), Dense()) == (2.0, "exact")  # never above the full layer


def test_blocks_and_kernels_have_rows_of_their_own() -> None:
    table = table_of(row(8.0), row(6.0, "block1x4@0.5"), row(2.0, "block1x4@0.9"), row(5.0, "kernel@0.5"))
    assert priced(table, FULL, Block(1, 4, 0.7)) == (4.0, "interpolated")
    assert priced(table, FULL, Block(4, 1, 0.7)) == (8.0, "dense_fallback")
    assert priced(table, FULL, Unstructured(0.7)) == (8.0, "dense_fallback")
    assert priced(table, FULL, Kernel(0.5)) == (5.0, "exact")


def test_a_runtime_forced_to_its_sparse_kernel_pays_for_it() -> None:
    table = table_of(*SPARSE, rules=TableRules(dispatch="forced"))
    assert priced(table, FULL, Unstructured(0.3)) == (8.0, "scaled")  # 6 and 2 ms drawn on to 70 % density
    assert priced(table, FULL, Unstructured(0.1)) == (10.0, "scaled")
    slow = table_of(row(8.0), row(10.0, "unstructured@0.5"), rules=TableRules(dispatch="forced"))
    assert priced(slow, FULL, Unstructured(0.5)) == (10.0, "exact")


@pytest.mark.parametrize("dispatch", ["auto", "forced"])
@pytest.mark.parametrize(("nearer", "farther"), [(1.0, 5.0), (1.0, 1.0)])
def test_a_line_that_falls_towards_dense_is_not_drawn_on(dispatch: str, nearer: float, farther: float) -> None:
    """Drawn through (0.2, 1 ms) and (0.1, 5 ms) the time at no zeros would be -31 ms."""
    rows = (row(8.0), row(nearer, "unstructured@0.8"), row(farther, "unstructured@0.9"))
    table = table_of(*rows, rules=TableRules(dispatch=dispatch))
    expected = (1.0, "clamped") if dispatch == "forced" else (8.0, "dense_fallback")
    assert priced(table, FULL, Unstructured(0.1)) == expected


def test_neighbours_that_nearly_touch_do_not_set_the_slope() -> None:
    far, near = row(2.0, "unstructured@0.9"), row(5.9, "unstructured@0.51")
    table = table_of(row(8.0), far, near, row(6.2, "unstructured@0.5"), rules=TableRules(dispatch="forced"))
    assert table.price(FULL, Unstructured(0.25)).latency_ms == pytest.approx(6.2 + 0.25 * 10.0, rel=0.05)


def test_a_row_that_loses_to_dense_leaves_its_doubt_behind() -> None:
    table = table_of(row(8.0), row(8.5, "unstructured@0.5", latency_std_ms=1.7))
    price = table.price(FULL, Unstructured(0.5))
    assert (price.latency_ms, price.derivation) == (8.0, "dense_fallback")
    assert price.half_width == pytest.approx(1 - 6.8 / 8.0)  # it may be the faster one after all
    assert table.price(FULL, NM(2, 4)).half_width == FLOORS["dense_fallback"]


@pytest.mark.parametrize("sparsity", [0.1, 0.3, 0.7, 0.9])
def test_a_stated_threshold_is_met_by_its_own_number(sparsity: float) -> None:
    rule = Capability(pattern="unstructured", min_sparsity=sparsity)
    table = table_of(row(8.0), row(3.0, f"unstructured@{sparsity:g}"), rules=TableRules(capabilities=(rule,)))
    assert priced(table, FULL, Unstructured(sparsity)) == (3.0, "exact")


def test_a_row_of_another_campaign_counts_by_its_own_dense_time() -> None:
    table = table_of(row(8.0), row(1.5, "unstructured@0.8", dense_ms=3.0))
    assert priced(table, FULL, Unstructured(0.8)) == (4.0, "scaled")


def test_a_capability_rules_out_shapes_the_kernel_does_not_take() -> None:
    rule = Capability(pattern="nm", keep=2, group=4, in_channels_multiple=16, out_channels_min=32)
    table = table_of(*GRID, row(4.0, "keep2of4"), rules=TableRules(capabilities=(rule,)))
    assert priced(table, FULL, NM(2, 4)) == (4.0, "exact")
    assert priced(table, (8, 32), NM(2, 4)) == (5.0, "dense_fallback")
    assert priced(table, (16, 16), NM(2, 4)) == (4.0, "dense_fallback")
    late = Capability(pattern="unstructured", min_sparsity=0.66)
    table = table_of(*SPARSE, rules=TableRules(capabilities=(late,)))
    assert priced(table, FULL, Unstructured(0.6)) == (8.0, "dense_fallback")
    gated = table_of(*SPARSE, rules=TableRules(capabilities=(Capability(pattern="unstructured", effect="gate"),)))
    assert priced(gated, FULL, Unstructured(0.9)) == (8.0, "dense_fallback")


def test_energy_and_bytes_go_the_way_of_the_time_or_are_not_known() -> None:
    table = table_of(
        row(8.0, energy_mj=4.0, weight_bytes=100.0),
        row(6.0, "unstructured@0.5", energy_mj=3.0, weight_bytes=60.0),
        row(2.0, "unstructured@0.9", energy_mj=1.0, weight_bytes=20.0),
    )
    point = table.price(FULL, Unstructured(0.7)).point
    assert (point.energy_mj, point.weight_bytes) == (pytest.approx(2.0), pytest.approx(40.0))
    assert table.price((8, 32), Dense()).point.weight_bytes is None  # fewer channels: other weights
    silent = table_of(row(8.0, energy_mj=4.0), row(6.0, "unstructured@0.5"), row(2.0, "unstructured@0.9"))
    assert silent.price(FULL, Unstructured(0.7)).point.energy_mj is None


def test_intervals_are_the_widest_of_spread_residual_and_floor() -> None:
    steady = table_of(row(8.0), *(row(8.0 * (1 - s), f"unstructured@{s:g}") for s in (0.5, 0.7, 0.9)))
    assert steady.price(FULL, Unstructured(0.6)).half_width == FLOORS["interpolated"]
    assert steady.price(FULL, Dense()).half_width == FLOORS["exact"]
    bent = table_of(row(8.0), row(6.0, "unstructured@0.5"), row(2.0, "unstructured@0.7"), row(1.8, "unstructured@0.9"))
    between = (6.0 + 1.8) / 2  # what its neighbours say of the row at 0.7
    assert bent.price(FULL, Unstructured(0.6)).half_width == pytest.approx(between / 2.0 - 1.0)
    far = table_of(row(8.0), row(6.0, "unstructured@0.3"), row(1.0, "unstructured@0.9"))
    assert far.price(FULL, Unstructured(0.6)).half_width == 0.19  # two points far apart say little about between
    noisy = table_of(row(8.0, latency_std_ms=4.0))
    assert noisy.price(FULL, Dense()).half_width == 0.5


def test_partners_are_added_up_and_a_share_is_taken() -> None:
    rows = [row(8.0), row(4.0, "keep2of4"), ProfileRow(layer="b", latency_ms=2.0)]
    both = table_of(*rows)
    assert priced(both, FULL, Dense()) == (10.0, "exact")
    assert priced(both, FULL, NM(2, 4)) == (10.0, "dense_fallback")  # "b" has no such row
    assert priced(table_of(*rows, rules=TableRules(share=0.5)), FULL, Dense()) == (5.0, "scaled")


times = st.floats(0.01, 100)


@st.composite
def tables(draw: st.DrawFn) -> LayerTable:
    shapes = draw(st.sets(st.tuples(st.integers(1, 16), st.integers(1, 32)), max_size=6)) - {FULL}
    rows = [row(draw(times))] + [row(draw(times), "dense", i, o) for i, o in sorted(shapes)]
    for text in draw(st.sets(st.sampled_from(["unstructured@0.5", "unstructured@0.8", "keep2of4", "keep1of2"]))):
        rows.append(row(draw(times), text))
    return table_of(*rows)


wanted = st.builds(Unstructured, st.floats(0, 0.99)) | st.sampled_from([NM(2, 4), NM(1, 4), NM(3, 4), Dense()])
shapes_wanted = st.tuples(st.integers(1, 16), st.integers(1, 32))


@settings(max_examples=50, deadline=None)
@given(tables(), shapes_wanted, wanted)
def test_nothing_costs_more_than_dense_at_any_shape(
    table: LayerTable, shape: tuple[int, int], pattern: Pattern
) -> None:
    price = table.price(shape, pattern).latency_ms
    assert 0.0 < price <= table.price(shape, Dense()).latency_ms <= table.full_ms


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 10), st.floats(0.0, 10), st.floats(0, 0.99), st.floats(0, 0.99), shapes_wanted)
def test_more_zeros_are_never_dearer_under_linear_tables(
    slope_ms: float, floor_ms: float, one: float, other: float, shape: tuple[int, int]
) -> None:
    sparsities = (0.0, 0.5, 0.7, 0.9, 0.99)
    rows = [row(slope_ms + floor_ms)]
    rows += [row(slope_ms * (1 - s) + floor_ms, f"unstructured@{s:g}") for s in sparsities[1:]]
    few, many = sorted((one, other))
    table = table_of(*rows)
    dearer = table.price(shape, Unstructured(few)).latency_ms
    assert table.price(shape, Unstructured(many)).latency_ms <= dearer * (1 + 1e-9)


@settings(max_examples=50, deadline=None)
@given(tables(), shapes_wanted)
def test_unlisted_group_patterns_cost_dense(table: LayerTable, shape: tuple[int, int]) -> None:
    assert table.price(shape, NM(3, 4)).latency_ms == table.price(shape, Dense()).latency_ms

"""Pricing from rows: the query rules, each with its derivation, and the properties of a best-of price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmodels.profile import ProfileRow
from costmodels.table import LayerTable
from pruning.layers import LayerSpec
from pruning.patterns import NM, Dense, Pattern, Unstructured
from tests.costmodels.models import conv

LAYER = conv("a", 16, 32)
FULL = (16, 32)


def row(latency_ms: float, pattern: str = "dense", inputs: int | None = None, outputs: int | None = None) -> ProfileRow:
    return ProfileRow(layer="a", pattern=pattern, in_channels=inputs, out_channels=outputs, latency_ms=latency_ms)


def table_of(*rows: ProfileRow, layer: LayerSpec = LAYER) -> LayerTable:
    table = LayerTable.of(layer, rows)
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


@given(tables(), shapes_wanted, wanted)
def test_nothing_costs_more_than_dense_at_any_shape(
    table: LayerTable, shape: tuple[int, int], pattern: Pattern
) -> None:
    price = table.price(shape, pattern).latency_ms
    assert 0.0 < price <= table.price(shape, Dense()).latency_ms <= table.full_ms


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


@given(tables(), shapes_wanted)
def test_unlisted_group_patterns_cost_dense(table: LayerTable, shape: tuple[int, int]) -> None:
    assert table.price(shape, NM(3, 4)).latency_ms == table.price(shape, Dense()).latency_ms

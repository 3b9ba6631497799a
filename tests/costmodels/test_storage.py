"""Bytes of every format: the checks of the published ratios, slow encoders as oracles, and order."""

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels import storage
from costmodels.errors import AcceleratorError
from costmodels.storage import FORMATS, RUN_BITS, Format, Weights, coded_bytes


def weights(count: int = 4096, density: float = 0.5, bits: int = 8, rows: int = 16, **more: int) -> Weights:
    return Weights(count=count, kept=density * count, bits=bits, rows=rows, **more)


@pytest.mark.parametrize(("bits", "share"), [(8, 0.625), (16, 0.5625), (32, 0.53125)])
def test_two_of_four(bits: int, share: float) -> None:
    stored = weights(bits=bits, group=4)
    assert storage.nm_bytes(stored) == share * storage.dense_bytes(stored)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_a_bitmask_beats_dense_above_one_zero_in_bits(bits: int) -> None:
    count = 32 * bits
    edge = Weights(count=count, kept=count - count / bits, bits=bits, rows=1)
    assert storage.bitmask_bytes(edge) == storage.dense_bytes(edge)
    more = Weights(count=count, kept=count - count / bits - 1, bits=bits, rows=1)
    assert storage.bitmask_bytes(more) < storage.dense_bytes(more)


def test_a_bitmask_is_close_to_what_vela_codes() -> None:
    dense = storage.dense_bytes(weights())
    assert storage.bitmask_bytes(weights(density=0.5)) / dense == pytest.approx(0.62, abs=0.01)
    assert storage.bitmask_bytes(weights(density=0.25)) / dense == pytest.approx(0.366, abs=0.01)


def test_csr_counts_values_columns_and_row_starts() -> None:
    assert storage.csr_bytes(weights(100, 0.2, 32, rows=10)) == 20 * 4 + 20 * 2 + 11 * 4


def encoded_pairs(mask: list[int]) -> int:
    """Pairs that a run-length encoder writes, one weight at a time."""
    pairs = run = 0
    for kept in mask:
        if kept or run == 2**RUN_BITS - 1:
            pairs, run = pairs + 1, 0
        else:
            run += 1
    return pairs


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5, 0.9])
def test_run_length_pairs_are_those_of_an_encoder_in_the_mean(density: float) -> None:
    import random

    draw = random.Random(3)
    count = 60_000
    mask = [int(draw.random() < density) for _ in range(count)]
    stored = Weights(count=count, kept=sum(mask), bits=8, rows=1)
    assert storage.run_length_bytes(stored) == pytest.approx(encoded_pairs(mask) * (8 + RUN_BITS) / 8, rel=0.02)


def test_long_runs_need_fillers() -> None:
    mask = [0] * 31 + [0] + [1] + [0] * 40 + [1]
    assert [(key, len(list(run))) for key, run in groupby(mask)] == [(0, 32), (1, 1), (0, 40), (1, 1)]
    assert encoded_pairs(mask) == 4
    sparse = Weights(count=3200, kept=0, bits=8, rows=1)
    assert storage.run_length_bytes(sparse) == 100 * (8 + RUN_BITS) / 8


def test_blocks_store_one_bit_a_tile() -> None:
    assert storage.block_bytes(weights(4096, 0.25, 8, tile=4)) == 1024 + 1024 / 8


def test_nvdla_aligns_values_mask_and_sizes() -> None:
    stored = Weights(count=1000, kept=300, bits=8, rows=40)  # 300 -> 384, 125 -> 128, two groups: 8 -> 128 bytes
    assert storage.nvdla_bytes(stored) == 384 + 128 + 128
    assert coded_bytes("nvdla", Weights(count=100, kept=10, bits=8, rows=4)) == 100  # only where it is smaller


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(FORMATS)),
    st.integers(1, 5000),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.sampled_from([4, 8, 16, 32]),
)
def test_more_zeros_never_take_more_and_none_takes_more_than_dense(
    form: Format, count: int, densities: tuple[float, float], bits: int
) -> None:
    few, many = (weights(count, density, bits, rows=1, group=4, tile=4) for density in sorted(densities))
    assert 0 <= coded_bytes(form, few) <= coded_bytes(form, many) * (1 + 1e-9) <= storage.dense_bytes(many) * (1 + 1e-9)


def test_impossible_weights_are_refused() -> None:
    with pytest.raises(AcceleratorError, match="impossible"):
        Weights(count=4, kept=5, bits=8, rows=1)
    with pytest.raises(AcceleratorError, match="at least 1"):
        Weights(count=4, kept=2, bits=0, rows=1)

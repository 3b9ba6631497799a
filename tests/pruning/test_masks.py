"""Masks have exact counts, whatever the ties and tails; tables and weights go back and forth."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning import masks
from pruning.masks import Sparse
from pruning.patterns import NM, Channel, Unstructured
from tests.pruning.small import ELEMENTS, SHAPES, survivors, weight

patterns = st.one_of(
    st.floats(0, 0.999).map(Unstructured),
    st.integers(1, 8).flatmap(lambda m: st.integers(1, m).map(lambda n: NM(keep=n, group=m))),
)
shapes = st.lists(st.integers(1, 7), min_size=2, max_size=4).map(torch.Size)


@settings(max_examples=60, deadline=None)
@given(shapes, patterns, st.integers(0, 2**16), st.booleans())
def test_the_mask_is_what_plain_sorting_finds(shape: torch.Size, pattern: Sparse, seed: int, ties: bool) -> None:
    scores = weight(tuple(shape), seed).abs()
    if ties:
        scores = scores.round()  # many equal scores, many zeros
    assert torch.equal(masks.mask(scores, pattern), survivors(scores, pattern))


@settings(max_examples=60, deadline=None)
@given(shapes, patterns)
def test_join_undoes_split_and_spares_whole_tails(shape: torch.Size, pattern: Sparse) -> None:
    values = torch.arange(2.0, 2.0 + shape.numel()).reshape(shape)
    back = masks.join(masks.split(values, pattern), shape, pattern)
    spared = back == 1
    assert torch.equal(back[~spared], values[~spared])
    if not isinstance(pattern, NM):
        assert not spared.any()
    else:
        tail = shape[1] % pattern.group
        count = shape[1] if pattern.keep == pattern.group else tail if tail <= pattern.keep else 0
        assert spared.sum() == count * shape.numel() // shape[1]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("pattern", ELEMENTS, ids=str)
def test_all_equal_scores_still_give_exact_counts_lowest_index_first(pattern: Sparse, shape: tuple[int, ...]) -> None:
    mask = masks.mask(torch.ones(shape), pattern)
    assert torch.equal(mask, survivors(torch.ones(shape), pattern))
    if isinstance(pattern, Unstructured):
        flat = mask.flatten()
        assert flat[: int(flat.sum())].all()


def test_groups_run_along_inputs_at_a_fixed_kernel_position() -> None:
    scores = torch.zeros(1, 4, 1, 2)
    scores[0, :, 0, 0] = torch.tensor([1.0, 4.0, 3.0, 2.0])
    scores[0, :, 0, 1] = torch.tensor([4.0, 1.0, 2.0, 3.0])
    one = masks.mask(scores, NM(keep=1, group=4))[0, :, 0]
    assert one[:, 0].tolist() == [False, True, False, False]
    assert one[:, 1].tolist() == [True, False, False, False]


def test_keep_1_of_4_is_three_quarters_zero_and_keep_3_of_4_one() -> None:
    assert masks.mask(weight((8, 16)).abs(), NM(keep=1, group=4)).float().mean() == 0.25
    assert masks.mask(weight((8, 16)).abs(), NM(keep=3, group=4)).float().mean() == 0.75


def test_a_tail_keeps_what_a_full_group_may_keep() -> None:
    scores = torch.tensor([[1.0, 2, 3, 4, 1, 2, 3]])  # 7 inputs: a group of 4, a tail of 3
    assert masks.mask(scores, NM(keep=2, group=4)).int().tolist() == [[0, 0, 1, 1, 0, 1, 1]]
    assert masks.mask(scores, NM(keep=3, group=4)).int().tolist() == [[0, 1, 1, 1, 1, 1, 1]]


def test_at_least_one_channel_survives() -> None:
    assert masks.mask(torch.tensor([1.0, 3.0, 2.0]), Channel(0.99)).tolist() == [False, True, False]


def test_spread_puts_channels_where_the_cut_says() -> None:
    kept = torch.tensor([True, False])
    assert masks.spread(kept, size=7, offset=1, repeat=2).int().tolist() == [1, 1, 1, 0, 0, 1, 1]
    soft = torch.tensor([0.5, 0.25])
    assert masks.spread(soft, size=3, offset=0, repeat=1).tolist() == [0.5, 0.25, 1.0]


def test_block_is_the_weight_once_cut() -> None:
    w = weight((4, 5, 3, 3))
    rows = torch.tensor([True, False, True, True])
    columns = torch.tensor([False, True, True, False, True])
    assert torch.equal(w[masks.block(w.shape, {0: rows, 1: columns})], w[rows][:, columns])
    assert torch.equal(w[masks.block(w.shape, {1: columns})], w[:, columns])

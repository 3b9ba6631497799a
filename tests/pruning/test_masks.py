"""Masks have exact counts, whatever the ties and tails; tables and weights go back and forth."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning import masks
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured
from tests.pruning.small import ELEMENTS, SHAPES, survivors, weight

patterns = st.one_of(
    st.floats(0, 0.999).map(Unstructured),
    st.integers(1, 8).flatmap(lambda m: st.integers(1, m).map(lambda n: NM(keep=n, group=m))),
    st.builds(Block, st.integers(1, 4), st.integers(1, 4), st.floats(0, 0.999)),
    st.floats(0, 0.999).map(Kernel),
)
UNITS = (Block(2, 2, 0.5), Block(4, 1, 0.75), Kernel(0.5))
shapes = st.lists(st.integers(1, 7), min_size=2, max_size=4).map(torch.Size)


@settings(max_examples=60, deadline=None)
@given(shapes, patterns, st.integers(0, 2**16), st.booleans())
def test_the_mask_is_what_plain_sorting_finds(shape: torch.Size, pattern: Sparse, seed: int, ties: bool) -> None:
    scores = weight(tuple(shape), seed).abs().double()
    if ties:
        scores = scores.round().clamp_max(1)  # many equal scores, many zeros
    assert torch.equal(masks.mask(scores, pattern), survivors(scores, pattern))


@settings(max_examples=60, deadline=None)
@given(shapes, patterns)
def test_join_undoes_split_and_spares_whole_tails(shape: torch.Size, pattern: Sparse) -> None:
    values = torch.arange(2.0, 2.0 + shape.numel()).reshape(shape)
    if isinstance(pattern, Block | Kernel):  # one value a unit: itself again
        table = masks.split(values, pattern)
        places = torch.arange(table.shape[1], dtype=torch.float64)[None]
        spread = masks.join(places, shape, pattern)
        sums = torch.zeros(table.shape[1], dtype=torch.float64)
        sums.index_add_(0, spread.flatten().long(), values.double().square().flatten())
        assert torch.allclose(sums.sqrt(), table[0].double())
        return
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


@pytest.mark.parametrize("pattern", UNITS, ids=str)
@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (4, 2, 3), (8, 1, 3, 3)], ids=str)
def test_whole_units_survive_and_edge_tiles_count(pattern: Sparse, shape: tuple[int, ...]) -> None:
    w = weight(shape)
    mask = masks.mask(w.abs(), pattern)
    assert torch.equal(mask, survivors(w, pattern))
    assert int(masks.split(mask.float(), pattern).count_nonzero()) == masks.keep(w.shape, pattern)


def test_tiles_are_outputs_by_inputs_at_one_kernel_position() -> None:
    scores = torch.zeros(4, 4, 1, 2)
    scores[2:, :2, 0, 1] = 1
    mask = masks.mask(scores, Block(2, 2, 0.75))  # 8 tiles, 2 kept
    assert mask[2:, :2, 0, 1].all() and mask[:2, :2, 0, 0].all()
    assert int(mask.sum()) == 8


@pytest.mark.parametrize("pattern", UNITS, ids=str)
def test_units_of_zeros_have_gradient_zero_and_others_their_direction(pattern: Sparse) -> None:
    w = weight((5, 4, 3, 3))
    w[2:] = 0
    w.requires_grad_()
    masks.split(w, pattern).square().sum().backward()
    assert torch.allclose(w.grad, 2 * w.detach(), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(65, 400), st.integers(0, 400), st.integers(0, 9), st.integers(0, 2**16))
def test_selecting_in_long_rows_is_stable_sorting(candidates: int, count: int, levels: int, seed: int) -> None:
    table = weight((2, candidates), seed)
    table = (table * levels).round() if levels else table
    table[:, -3:] = -torch.inf
    order = table.sort(dim=1, descending=True, stable=True).indices[:, : min(count, candidates)]
    expected = torch.zeros_like(table, dtype=torch.bool).scatter_(1, order, True)
    assert torch.equal(masks.choose(table, count), expected)


@pytest.mark.parametrize("pattern", [Unstructured(0.9), Block(1, 1, 0.9), Kernel(0.9), Channel(0.9)], ids=str)
def test_a_pattern_is_approached_by_its_share(pattern: Sparse) -> None:
    assert [masks.quota(100, pattern, share) for share in (0.0, 0.5, 1.0)] == [100, 55, 10]


def test_groups_are_approached_in_stairs() -> None:
    assert [masks.quota(4, NM(keep=1, group=4), share / 6) for share in range(7)] == [4, 4, 3, 3, 2, 2, 1]


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


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_turning_a_weight_puts_each_groups_outputs_first(groups: int) -> None:
    w = weight((6, 4, 3))
    turned = masks.turned(w, groups)
    assert turned.shape == (4 * groups, 6 // groups, 3)
    for o in range(4 * groups):
        for i in range(6 // groups):
            assert torch.equal(turned[o, i], w[o // 4 * (6 // groups) + i, o % 4])
    assert torch.equal(masks.turned(turned, groups), w)

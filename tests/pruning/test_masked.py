"""Masks go on, move and come off; nothing is left behind but zeros."""

import pytest
import torch
from torch import nn

from pruning.errors import PlanError
from pruning.layers import Cut
from pruning.masked import MaskedWeight, SharedMask, Slice, attach, bake, find_tensor, set_progress
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured
from pruning.pruners import make
from tests.pruning.small import small, survivors, weight

BY_SIZE = ("magnitude", "gmp", "pdp", "idp")  # untrained, these keep the largest; the conformance suite has all
PRODUCER = Cut(parameter="stem.weight", dim=0, role="producer")
CONSUMER = Cut(parameter="body.weight", dim=1, role="consumer")


def shared(net: nn.Module, pruner: str = "pdp", sparsity: float = 0.5, **settings: float) -> SharedMask:
    return SharedMask(make(pruner, Channel(sparsity), settings), [(find_tensor(net, "stem.weight"), PRODUCER)], 8)


@pytest.mark.parametrize("name", BY_SIZE)
def test_bake_leaves_plain_modules_the_same_parameters_and_exact_zeros(name: str) -> None:
    net = small()
    parameter, before = net.body.weight, net.body.weight.detach().clone()
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    attach(net, {"body.weight": MaskedWeight(make(name, Unstructured(0.8), {}))})
    assert any(p is parameter for p in net.parameters())
    bake(net)
    assert type(net.body) is nn.Conv2d
    assert net.body.weight is parameter and parameter.requires_grad
    assert {key: value.shape for key, value in net.state_dict().items()} == shapes
    kept = survivors(before, Unstructured(0.8))
    assert torch.equal(net.body.weight, before * kept)


def test_names_and_parameters_keep_their_order() -> None:
    net, names = small(), [name for name, _ in small().named_parameters()]
    masks = {f"{n}.weight": MaskedWeight(make("magnitude", Unstructured(0.5), {})) for n in ("head", "stem")}
    attach(net, masks)
    bake(net)
    assert [name for name, _ in net.named_parameters()] == names
    assert list(net.state_dict()) == list(small().state_dict())


def test_a_parameter_at_the_top_of_a_model_can_be_masked() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.p12 = nn.Parameter(weight((4, 8)))

    net = Flat()
    attach(net, {"p12": MaskedWeight(make("magnitude", NM(keep=2, group=4), {}))})
    assert int(net.p12.count_nonzero()) == 16
    bake(net)
    assert type(net) is Flat
    assert torch.equal(net.p12, weight((4, 8)) * survivors(weight((4, 8)), NM(keep=2, group=4)))


def test_the_mask_is_inside_autograd() -> None:
    net = small()
    attach(net, {"body.weight": MaskedWeight(make("pdp", Unstructured(0.9), {"tau": 1.0}))})
    set_progress(net, 0.3)
    net.body.weight.sum().backward()
    assert (find_tensor(net, "body.weight").grad != 0).all()  # dropped weights too


def test_a_soft_channel_mask_scales_the_consumers_columns_and_trains_the_producers() -> None:
    net = small()
    group = shared(net, tau=1.0)  # soft enough for every channel of this small net
    before = {name: net.get_parameter(name).detach().clone() for name in ("stem.weight", "body.weight")}
    attach(net, {"body.weight": MaskedWeight(None, [Slice(group, CONSUMER)])})
    set_progress(net, 0.3)
    soft = group().detach()
    assert 0 < float(soft.min()) < 0.5 < float(soft.max()) < 1
    assert torch.equal(net.stem.weight, before["stem.weight"])
    assert torch.allclose(net.body.weight, before["body.weight"] * soft[None, :, None, None])
    net.body.weight.square().sum().backward()
    assert (net.stem.weight.grad.flatten(1).norm(dim=1) > 0).all()


def test_removed_channels_are_those_of_smallest_norm_over_all_slices() -> None:
    net = small()
    group = shared(net, sparsity=0.5)
    attach(net, {"body.weight": MaskedWeight(None, [Slice(group, CONSUMER)])})
    bake(net)
    smallest = net.stem.weight.detach().flatten(1).norm(dim=1).argsort()[:4]
    assert sorted((~group.kept()).nonzero().flatten().tolist()) == sorted(smallest.tolist())
    assert (net.body.weight[:, smallest] == 0).all()
    assert (net.body.weight.abs().amax(dim=(0, 2, 3)) > 0).sum() == 4


@pytest.mark.parametrize("name", BY_SIZE)
@pytest.mark.parametrize("pattern", [NM(keep=2, group=4), Unstructured(0.75)], ids=str)
def test_a_layers_pattern_rules_over_the_columns_that_remain(name: str, pattern: NM | Unstructured) -> None:
    net = small()
    before = net.body.weight.detach().clone()
    group = shared(net, name, sparsity=0.25)  # 6 of 8 inputs remain: one group of four and a tail of two
    attach(net, {"body.weight": MaskedWeight(make(name, pattern, {}), [Slice(group, CONSUMER)])})
    for progress in (0.0, 0.05, 0.3):
        set_progress(net, progress)
        assert net.body.weight.shape == before.shape
    bake(net)
    alive = group.kept()
    assert int(alive.sum()) == 6
    assert torch.equal(net.body.weight[:, alive] != 0, survivors(before[:, alive], pattern))
    assert (net.body.weight[:, ~alive] == 0).all()


def test_an_offset_cut_leaves_what_is_not_its_own() -> None:
    cut = Cut(parameter="w", dim=1, role="consumer", repeat=2, offset=3)
    producer = torch.tensor([[1.0], [3.0], [2.0]])
    group = SharedMask(make("magnitude", Channel(0.6), {}), [(producer, Cut(parameter="", dim=0, role="producer"))], 3)
    group.advance(0.0)
    w = torch.ones(2, 10)
    assert MaskedWeight(None, [Slice(group, cut)])(w)[0].tolist() == [1, 1, 1, 0, 0, 1, 1, 0, 0, 1]


def test_names_the_model_lacks_and_doubled_masks_are_refused() -> None:
    net = small()
    with pytest.raises(PlanError, match=r"no parameter 'trunk\.weight'"):
        attach(net, {"trunk.weight": MaskedWeight()})
    with pytest.raises(PlanError, match="no parameter 'body'"):
        attach(net, {"body": MaskedWeight()})
    attach(net, {"body.weight": MaskedWeight()})
    with pytest.raises(PlanError, match="parametrised already"):
        attach(net, {"body.weight": MaskedWeight()})


def test_bake_leaves_the_users_own_parametrisations_alone() -> None:
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 4))
    attach(net, {"1.weight": MaskedWeight(make("magnitude", Unstructured(0.5), {}))})
    bake(net)
    assert nn.utils.parametrize.is_parametrized(net[0])
    assert int(net[1].weight.count_nonzero()) == 8


def test_a_soft_mask_never_scales_its_own_producers() -> None:
    net = small()
    before = net.body.weight.detach().clone()
    cut = Cut(parameter="body.weight", dim=0, role="producer")
    group = SharedMask(make("pdp", Channel(0.5), {}), [(find_tensor(net, "body.weight"), cut)], 6)
    attach(net, {"body.weight": MaskedWeight(None, [Slice(group, cut)])})
    set_progress(net, 0.3)
    assert float(group().detach().min()) < 0.5
    assert torch.equal(net.body.weight, before)


@pytest.mark.parametrize("pattern", [NM(keep=1, group=4), Block(4, 2, 0.5), Kernel(0.5)], ids=str)
@pytest.mark.parametrize("name", BY_SIZE)
def test_a_transposed_layers_inputs_come_first(name: str, pattern: Sparse) -> None:
    net = nn.Sequential(nn.ConvTranspose2d(8, 6, 3, bias=False))
    before = net[0].weight.detach().clone()
    attach(net, {"0.weight": MaskedWeight(make(name, pattern, {}), transposed=1)})
    set_progress(net, 0.1)
    assert net(torch.ones(1, 8, 4, 4)).shape == (1, 6, 6, 6)
    bake(net)
    assert net[0].weight.is_contiguous()
    assert torch.equal(net[0].weight, before * survivors(before.transpose(0, 1), pattern).transpose(0, 1))


def test_a_transposed_layers_pattern_rules_over_the_inputs_that_remain() -> None:
    net = small()
    up = nn.ConvTranspose2d(8, 5, 3, bias=False)
    net.up = up
    before = up.weight.detach().clone()
    group = shared(net, "magnitude", sparsity=0.25)
    part = Slice(group, Cut(parameter="up.weight", dim=0, role="consumer"))
    pattern = NM(keep=2, group=4)
    attach(net, {"up.weight": MaskedWeight(make("magnitude", pattern, {}), [part], transposed=1)})
    bake(net)
    left = before[group.kept()]
    assert torch.equal(up.weight[group.kept()] != 0, survivors(left.transpose(0, 1), pattern).transpose(0, 1))
    assert not up.weight[~group.kept()].any()


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("pattern", [NM(keep=2, group=4), NM(keep=1, group=3)], ids=str)
def test_no_group_of_inputs_reaches_over_the_groups_of_a_transposed_layer(pattern: NM, cut: bool) -> None:
    up = nn.ConvTranspose2d(12, 4, 3, groups=2, bias=False)  # 6 inputs a group: neither 4 nor 8 fit
    before, net = up.weight.detach().clone(), small()
    net.up = up
    parts, left = [], torch.ones(12, dtype=torch.bool)
    if cut:  # each channel is an input of both groups, so both lose the same
        sizes = torch.tensor([1.0, 9, 9, 2, 9, 9])
        made = nn.Parameter(sizes[:, None] * torch.ones(6, 3))
        producer = Cut(parameter="made", dim=0, role="producer")
        group = SharedMask(make("magnitude", Channel(0.3), {}), [(made, producer)], 6)
        cuts = (Cut(parameter="up.weight", dim=0, role="consumer", offset=offset) for offset in (0, 6))
        parts, left = [Slice(group, cut) for cut in cuts], torch.tensor([0, 1, 1, 0, 1, 1] * 2, dtype=torch.bool)
    attach(net, {"up.weight": MaskedWeight(make("magnitude", pattern, {}), parts, transposed=2)})
    bake(net)
    for rows in (slice(0, 6), slice(6, 12)):
        kept = before[rows][left[rows]].transpose(0, 1)
        found = up.weight[rows][left[rows]].transpose(0, 1)
        assert torch.equal(found, kept * survivors(kept, pattern))
    assert not up.weight[~left].any()


def test_the_memory_format_of_a_weight_is_kept() -> None:
    net = nn.Conv2d(8, 6, 3, bias=False).to(memory_format=torch.channels_last)
    attach(net, {"weight": MaskedWeight(make("pdp", Unstructured(0.5), {}))})
    set_progress(net, 0.1)
    assert net.weight.is_contiguous(memory_format=torch.channels_last)

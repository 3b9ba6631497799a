"""The seam itself, with pruners made for the purpose: learned scores, wanted gradients, erased weights, penalties."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from pruning import masks
from pruning.importance import channel_norms
from pruning.layers import Cut
from pruning.masked import (
    MaskedWeight,
    SharedMask,
    Slice,
    attach,
    bake,
    find_tensor,
    penalties,
    score_parameters,
    set_progress,
)
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured
from pruning.pruners import base
from pruning.recover import RecoveryConfig, recover
from tests.pruning.small import data, small, weight

PATTERNS: tuple[Sparse, ...] = (Unstructured(0.5), NM(keep=2, group=4), Block(2, 4, 0.5), Kernel(0.5))


@dataclass(frozen=True, kw_only=True)
class Rate(base.Settings):
    """How fast scores learn."""

    rate: float = 10.0


class Learned(base.Pruner):
    """A hard mask by learned scores, straight through; half of the recovery."""

    name = "learned"
    stateful = True
    Settings = Rate
    settings: Rate

    @property
    def hardens_at(self) -> float:
        return 0.5

    @property
    def learning_rate(self) -> float:
        return self.settings.rate

    def start(self, table: Tensor, generator: torch.Generator) -> None:
        noise = torch.randn(table.shape, generator=generator).to(table)
        self.learned = nn.Parameter(noise - 5)  # all negative: zeros that fill up short groups must not win

    def scores(self, table: Tensor) -> Tensor:  # noqa: ARG002
        return self.learned

    def soft(self, table: Tensor) -> Tensor:
        hard = self.choose(self.learned.detach()).to(table.dtype)
        return hard + self.learned - self.learned.detach()

    def penalty(self) -> Tensor:
        return self.learned.sigmoid().mean()


class Grown(base.Pruner):
    """Drops everything at first, then keeps what the gradient asks for, from zero."""

    name = "grown"
    stateful = True
    wants_gradient = True
    mask: Tensor

    @property
    def hardens_at(self) -> float:
        return 1.0

    def start(self, table: Tensor, generator: torch.Generator) -> None:  # noqa: ARG002
        self.register_buffer("mask", torch.zeros_like(table, dtype=torch.bool))
        self.seen: list[Tensor | None] = []
        self.drawn: list[float] = []

    def update(self, table: Tensor, gradient: Tensor | None) -> None:  # noqa: ARG002
        self.seen.append(gradient)
        self.drawn.append(float(torch.rand((), generator=self.random())))
        if gradient is not None:
            grown = self.choose(gradient)
            self.erase(grown & ~self.mask)
            self.mask = grown

    def scores(self, table: Tensor) -> Tensor:
        return self.mask.to(table.dtype)

    def soft(self, table: Tensor) -> Tensor:
        return self.mask.to(table.dtype)


class Shrunk(base.Pruner):
    """Keeps the largest, shrunk by half: a fixed factor that is no bool."""

    name = "shrunk"

    def soft(self, table: Tensor) -> Tensor:
        return 0.5 * self.choose(table.abs()).to(table.dtype)

    def settle(self, values: Tensor, hard: Tensor) -> Tensor:
        return self(values) * hard


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_learned_scores_decide_and_are_trained_by_their_own_rate(pattern: Sparse) -> None:
    net = small()
    pruner = Learned(pattern)
    attach(net, {"body.weight": MaskedWeight(pruner)}, seed=3)
    assert pruner.learned.shape == masks.split(find_tensor(net, "body.weight"), pattern).shape
    assert score_parameters(net) == [(pruner.learned, 10.0)]
    before = pruner.learned.detach().clone()
    config = RecoveryConfig(steps=1, learning_rate=0.1, warm_up=0.0, weight_decay=0.5, clip_norm=1e-6)
    list(recover(net, data(), config, nn.functional.cross_entropy))
    assert pruner.learned.grad is not None
    moved = before - 0.1 * 10 * 1.9 * pruner.learned.grad  # neither decayed nor clipped; Nesterov's first step
    assert torch.allclose(pruner.learned, moved, atol=1e-5)
    bake(net)
    chosen = masks.join(pruner.choose(pruner.learned), net.body.weight.shape, pattern)
    assert torch.equal(net.body.weight != 0, chosen)
    assert not score_parameters(net)


def test_a_straight_through_score_has_the_units_gradient_times_weight() -> None:
    w, g = weight((4, 8)).requires_grad_(), weight((4, 8), seed=1)
    pruner = Learned(Block(2, 4, 0.5))
    pruner.advance(w, 0.0)
    (pruner.masked(w) * g).sum().backward()
    tiles = (w.detach() * g).reshape(2, 2, 2, 4).sum(dim=(1, 3)).reshape(1, -1)
    assert torch.allclose(pruner.learned.grad, tiles, atol=1e-6)


def test_padding_is_never_chosen_however_bad_the_scores() -> None:
    w = weight((3, 7))
    pruner = Learned(NM(keep=2, group=4))
    pruner.advance(w, 1.0)
    assert pruner(w)[:, :4].sum(dim=1).tolist() == pruner(w)[:, 4:].sum(dim=1).tolist() == [2, 2, 2]


def test_seeds_make_different_states_and_the_same_ones_the_same() -> None:
    def learned(seed: int) -> Tensor:
        net = small()
        masked = {f"{name}.weight": MaskedWeight(Learned(Unstructured(0.5))) for name in ("body", "head")}
        attach(net, masked, seed)
        return torch.cat([p.flatten() for p, _ in score_parameters(net)]).detach()

    assert torch.equal(learned(1), learned(1))
    assert not torch.equal(learned(1), learned(2))
    assert learned(1).unique().numel() == learned(1).numel()  # two layers do not draw the same


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_the_gradient_of_the_effective_weight_arrives_by_unit_and_grown_weights_start_at_zero(pattern: Sparse) -> None:
    net = small()
    pruner = Grown(pattern)
    attach(net, {"body.weight": MaskedWeight(pruner)})
    pushes = weight((6, 8, 3, 3), seed=4)
    (net.body.weight * pushes).sum().backward()
    (net.body.weight * pushes).sum().backward()  # two uses between two steps add up
    set_progress(net, 0.2)
    assert pruner.seen[0] is None
    assert pruner.seen[1] is not None
    assert torch.allclose(pruner.seen[1], masks.split(2 * pushes, pattern).abs(), atol=1e-5)
    chosen = masks.mask(pushes.abs(), pattern)
    assert torch.equal(find_tensor(net, "body.weight") == 0, chosen)  # erased as they were grown; the rest stays
    set_progress(net, 0.3)
    assert pruner.seen[2] is None
    assert len(set(pruner.drawn)) == 3


def test_a_groups_gradient_is_its_consumers_and_erasing_zeroes_their_columns() -> None:
    net = small()
    producer = Cut(parameter="stem.weight", dim=0, role="producer")
    cut = Cut(parameter="body.weight", dim=1, role="consumer")
    pruner = Grown(Channel(0.5))
    shared = SharedMask(pruner, [(find_tensor(net, "stem.weight"), producer)], 8)
    attach(net, {"body.weight": MaskedWeight(None, [Slice(shared, cut)])})
    assert not net.body.weight.any()
    pushes = weight((6, 8, 3, 3), seed=4)
    (net.body.weight * pushes).sum().backward()
    set_progress(net, 0.2)
    norms = channel_norms([(pushes, cut)], 8)
    assert pruner.seen[1] is not None
    assert torch.allclose(pruner.seen[1][0], norms)
    grown = masks.choose(norms[None], 4)[0]
    original = find_tensor(net, "body.weight")
    assert not original[:, grown].any()
    assert original[:, ~grown].all()


def test_penalties_add_up_and_end_with_hardening() -> None:
    net = small()
    assert penalties(net) is None
    learners = [Learned(Unstructured(0.5)), Learned(Unstructured(0.5))]
    attach(net, {f"{n}.weight": MaskedWeight(p) for n, p in zip(("body", "head"), learners, strict=True)})
    total = penalties(net)
    assert total is not None
    assert torch.isclose(total, sum(p.learned.sigmoid().mean() for p in learners))
    set_progress(net, 0.5)
    assert penalties(net) is None


@pytest.mark.parametrize("pattern", [Unstructured(0.5), NM(keep=2, group=4)], ids=str)
def test_a_state_over_the_whole_layer_still_ends_exact_on_what_remains(pattern: Sparse) -> None:
    net = small()
    producer = Cut(parameter="stem.weight", dim=0, role="producer")
    cut = Cut(parameter="body.weight", dim=1, role="consumer")
    group = SharedMask(Learned(Channel(0.25)), [(find_tensor(net, "stem.weight"), producer)], 8)
    pruner = Learned(pattern)
    attach(net, {"body.weight": MaskedWeight(pruner, [Slice(group, cut)])})
    scores = masks.join(pruner.learned.detach(), net.body.weight.shape, pattern)
    bake(net)
    alive = group.kept()
    expected = masks.mask((scores - scores.min())[:, alive], pattern)
    assert torch.equal(net.body.weight[:, alive] != 0, expected)
    assert not net.body.weight[:, ~alive].any()


def test_a_factor_may_be_fixed_that_shrinks() -> None:
    net = small()
    before = net.body.weight.detach().clone()
    attach(net, {"body.weight": MaskedWeight(Shrunk(Unstructured(0.75)))})
    bake(net)
    assert torch.equal(net.body.weight, 0.5 * before * masks.mask(before.abs(), Unstructured(0.75)))

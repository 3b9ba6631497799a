"""Draws of exactly k with the right odds, a relaxation that sums to k, tiles, quantisation, and a mask that settles."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from pruning.apply import Pruning
from pruning.errors import PlanError
from pruning.masked import MaskedWeight, attach, bake
from pruning.masks import Sparse, keep, split
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured
from pruning.plan import PruningPlan
from pruning.pruners import mask_metrics
from pruning.pruners.dpp import DPP, successive
from pruning.recover import RecoveryConfig, recover
from tests.pruning.small import SPEC, data, small, weight

PATTERNS: tuple[Sparse, ...] = (
    Unstructured(0.7),
    NM(keep=2, group=4),
    NM(keep=2, group=5),
    Block(2, 2, 0.5),
    Kernel(0.6),
)


def dpp(pattern: Sparse, values: Tensor, seed: int = 0, progress: float = 0.1, **settings: float) -> DPP:
    """After one advance."""
    pruner = DPP(pattern, settings)
    pruner.begin(values, torch.Generator().manual_seed(seed))
    pruner.advance(values, progress)
    return pruner


def test_draws_have_the_odds_of_sampling_without_replacement() -> None:
    w, phi = torch.ones(6000, 5), torch.tensor([1.0, 0.0, -1.0, 0.5, -2.0])
    pruner = dpp(NM(keep=2, group=5), w)
    with torch.no_grad():
        pruner.logits.copy_(phi.expand(6000, -1))
    p = phi.softmax(dim=0).tolist()
    odds = [0.0] * 5
    for first, second in itertools.permutations(range(5), 2):  # every ordered pair
        chance = p[first] * p[second] / (1 - p[first])
        odds[first] += chance
        odds[second] += chance
    drawn = pruner(w).detach()
    assert (drawn.sum(dim=1) == 2).all()
    assert drawn.mean(dim=0).tolist() == pytest.approx(odds, abs=0.025)  # four standard deviations


def test_the_relaxation_leaves_out_what_ranked_higher() -> None:
    scores = weight((3, 6)).double()
    expected = torch.zeros(3, 6, dtype=torch.float64)
    for row in range(3):
        ranked = sorted(range(6), key=lambda i: -float(scores[row, i]))
        for taken in range(4):
            left = ranked[taken:]
            total = sum(float(scores[row, i].exp()) for i in left)
            for i in left:
                expected[row, i] += float(scores[row, i].exp()) / total
    assert torch.allclose(successive(scores, 4), expected)


@pytest.mark.parametrize("exact", [0, 64])
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_hard_and_soft_rows_sum_to_k_at_every_temperature(pattern: Sparse, exact: int) -> None:
    w = weight((4, 8, 2))  # under groups of 5, a tail of 3
    count = keep(w.shape, pattern)
    for progress in (0.0, 0.5, 0.89):
        pruner = dpp(pattern, w, progress=progress, exact=exact)
        table = pruner.table(w)
        real = 1.0 if pruner.padding is None else (~pruner.padding).float()
        soft = (pruner.relaxed(pruner.logits / pruner.temperature, count) * real).sum(dim=1)
        hard = (pruner.soft(table) * real).sum(dim=1)
        assert torch.allclose(soft, torch.full_like(soft, count), atol=1e-4)
        assert torch.equal(hard, torch.full_like(hard, count))


@pytest.mark.parametrize("exact", [0, 64])
def test_gradients_are_those_of_the_relaxation_at_the_same_draw(exact: int) -> None:
    w, g = weight((4, 8)).requires_grad_(), weight((4, 8), seed=1)
    pruner = dpp(NM(keep=2, group=4), w, exact=exact, temperature=0.7)
    mask = pruner(w)
    (pruner.masked(w) * g).sum().backward()
    assert torch.equal(mask.detach().unique(), torch.tensor([0.0, 1.0]))
    assert torch.equal(w.grad, g * mask.detach())
    logits = pruner.logits.detach().requires_grad_()
    relaxed = pruner.relaxed((logits + pruner._gumbel()) / pruner.temperature, 2)
    (relaxed.reshape(4, 8) * w.detach() * g).sum().backward()
    assert torch.allclose(pruner.logits.grad, logits.grad, atol=1e-6)
    assert torch.allclose(logits.grad.sum(dim=1), torch.zeros(8), atol=1e-6)  # rows keep their sum


def test_both_relaxations_tend_to_the_draw_as_the_temperature_falls() -> None:
    scores = weight((50, 16))
    hard = torch.zeros(50, 16).scatter_(1, scores.topk(4, dim=1).indices, 1.0)
    for exact, most in ((64, 0.08), (0, 0.08)):
        pruner = DPP(NM(keep=4, group=16), {"exact": exact})
        assert (pruner.relaxed(scores / 0.1, 4) - hard).abs().mean() < most
        assert torch.allclose(pruner.relaxed(scores / 1e-4, 4), hard, atol=1e-2)


def test_the_temperature_falls_to_a_tenth_and_stays_positive() -> None:
    pruner = DPP(Unstructured(0.5))
    for progress, expected in {0.0: 5.0, 0.5: 2.75, 1.0: 0.5}.items():
        pruner.progress = progress
        assert pruner.temperature == pytest.approx(expected)


def test_a_mask_is_drawn_for_each_step_and_every_reader_of_the_step_sees_the_same() -> None:
    w = weight((8, 8))
    pruner, other = dpp(Unstructured(0.5), w, seed=1), dpp(Unstructured(0.5), w, seed=2)
    first = pruner(w).detach()
    assert torch.equal(pruner(w), first)
    assert not torch.equal(other(w), first)
    pruner.advance(w, 0.1)
    second = pruner(w).detach()
    assert not torch.equal(second, first)
    resumed = dpp(Unstructured(0.5), w, seed=3)
    resumed.load_state_dict(pruner.state_dict())
    assert torch.equal(resumed(w), second)
    for each in (pruner, resumed):
        each.advance(w, 0.2)
    assert torch.equal(resumed(w), pruner(w))


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_evaluation_and_the_final_mask_are_the_top_k_of_the_logits(pattern: Sparse) -> None:
    w = weight((4, 8, 2))
    pruner = dpp(pattern, w)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    pruner.train()
    pruner(w)
    assert torch.equal(torch.get_rng_state(), state)  # draws are its own
    pruner.eval()
    settled = pruner(w)
    pruner.advance(w, 0.2)
    assert torch.equal(pruner(w), settled)
    assert torch.equal(pruner.kept(w), settled.bool())
    pruner.train().advance(w, 0.9)
    assert torch.equal(pruner(w), settled.bool())
    kept = split(settled, pattern).count_nonzero(dim=1)
    assert (kept == keep(w.shape, pattern)).all()


@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_every_tile_of_every_output_keeps_the_same_count(tiles: int) -> None:
    w = weight((6, 8, 3, 3))
    for pattern, shape, count in (
        (Unstructured(0.75), (6, tiles, 72 // tiles), 18 // tiles),
        (Kernel(0.5), (6, tiles, 8 // tiles), 4 // tiles),
        (Block(3, 1, 0.5), (2, tiles, 72 // tiles), 36 // tiles),
    ):
        pruner = dpp(pattern, w, tiles=tiles)
        for _ in range(2):  # a draw, then for good
            kept = split(pruner(w).detach().float(), pattern).reshape(shape).count_nonzero(dim=2)
            assert torch.equal(kept, torch.full_like(kept, count))
            pruner.advance(w, 1.0)


@pytest.mark.parametrize(
    ("pattern", "tiles", "complaint"),
    [
        (Unstructured(0.5), 3, "split the 8 inputs .* into 3 equal tiles: use a divisor of 8"),
        (Block(2, 3, 0.5), 2, "split the 3 inputs"),
        (Unstructured(0.9), 1, "less than one of the 8 units of each tile: a sparsity of 0.875"),
        (Kernel(0.9), 2, "less than one of the 4 units"),
    ],
    ids=str,
)
def test_tiles_that_do_not_divide_or_would_be_empty_are_refused(pattern: Sparse, tiles: int, complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        dpp(pattern, weight((6, 8)), tiles=tiles)


def test_tiles_refuse_to_lose_channels_and_leave_groups_and_channels_alone() -> None:
    w = weight((6, 8))
    with pytest.raises(PlanError, match="tiles must stay equal"):
        DPP(Unstructured(0.5), {"tiles": 2}).advance(w, 0.0, within=(torch.arange(6)[:, None], torch.arange(4)[None]))
    assert dpp(NM(keep=1, group=4), w, tiles=3).logits.shape == (12, 4)
    assert dpp(Channel(0.5), weight((7,)).abs(), tiles=3).logits.shape == (1, 7)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_quantised_weights_are_few_multiples_and_zeros_stay_zero(bits: int) -> None:
    w = (2 * weight((40, 40))).requires_grad_()
    pruner = dpp(Unstructured(0.5), w, bits=bits)
    plain, rounded = (w * pruner(w)).detach(), pruner.masked(w)
    unit = float(plain.abs().max()) / (2 ** (bits - 1) - 1)
    codes = rounded.detach() / unit
    assert torch.allclose(codes, codes.round(), atol=1e-3) and codes.abs().max() < 2 ** (bits - 1) - 0.5
    assert (rounded - plain).abs().max() <= unit / 2 * 1.001
    assert not rounded[plain == 0].any()
    rounded.sum().backward()
    assert torch.allclose(w.grad, 0.4 * (plain.abs() < 2.5) * (plain != 0))


def test_pruning_and_quantisation_train_together_and_end_in_few_values() -> None:
    net = small()
    attach(net, {"body.weight": MaskedWeight(DPP(Unstructured(0.75), {"bits": 3}))})
    steps = list(recover(net, data(), RecoveryConfig(steps=20, learning_rate=0.05), nn.functional.cross_entropy))
    assert steps[-1].loss < steps[0].loss
    bake(net)
    assert len(net.body.weight.unique()) <= 7
    assert int((net.body.weight != 0).sum()) <= 108


def test_training_makes_the_logits_tell_good_units_from_bad() -> None:
    layer = nn.Linear(16, 1, bias=False)
    x = weight((64, 16))
    y = x[:, :4].sum(dim=1, keepdim=True)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    pruner = DPP(Unstructured(0.75), {"prior": 0.0, "rate": 20.0, "temperature": 1.0})
    attach(layer, {"weight": MaskedWeight(pruner)}, seed=1)
    list(recover(layer, [(x, y)], RecoveryConfig(steps=60, learning_rate=0.05), nn.functional.mse_loss))
    assert pruner.fixed is not None
    assert pruner.fixed.nonzero()[:, 1].tolist() == [0, 1, 2, 3]


def test_the_penalty_is_the_entropy_of_the_rows_real_candidates() -> None:
    w = weight((3, 7))
    pruner = dpp(NM(keep=2, group=4), w, entropy=0.5)
    parts = pruner.logits.detach().reshape(3, 2, 4)
    entropies = mask_metrics.entropy(parts[:, 0]).sum() + mask_metrics.entropy(parts[:, 1, :3]).sum()
    penalty = pruner.penalty()
    assert penalty is not None
    assert penalty.item() == pytest.approx(0.5 * float(entropies), rel=1e-5)
    penalty.backward()
    assert torch.isfinite(pruner.logits.grad).all()
    assert dpp(NM(keep=2, group=4), w, entropy=0.0).penalty() is None


def test_the_first_logits_are_the_papers_or_follow_the_sizes() -> None:
    w = weight((100, 100))
    for pattern, deviation in ((Unstructured(0.5), 0.5), (Kernel(0.5), 1.0)):
        values = w if isinstance(pattern, Unstructured) else w[:, :, None]
        random = dpp(pattern, values, prior=0.0).logits.detach()
        assert float(random.std()) == pytest.approx(deviation, rel=0.05)
        assert abs(float(torch.corrcoef(torch.stack([random[0], w.abs().flatten()]))[0, 1])) < 0.05
    informed = dpp(Unstructured(0.5), w, prior=5.0).logits.detach()
    assert float(torch.corrcoef(torch.stack([informed[0], w.abs().flatten()]))[0, 1]) > 0.98


def test_a_mask_fixed_by_undecided_logits_is_warned_about() -> None:
    w = weight((20, 20))
    random, informed = dpp(Unstructured(0.9), w, progress=1.0, prior=0.0), dpp(Unstructured(0.9), w, progress=1.0)
    assert random.sharp is not None and random.sharp < 0.1
    assert "way from even odds" in random.warnings[0]
    assert informed.warnings == ()
    assert dpp(Unstructured(0.0), w, progress=1.0).warnings == ()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"noise": -1.0}, "noise"),
        ({"harden": 1.5}, "harden"),
        ({"tiles": 1.5}, "tiles .* whole number"),
        ({"bits": 1}, "no value but zero"),
        ({"exact": -1}, "exact"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        DPP(Unstructured(0.5), settings)


def test_a_channel_group_has_no_weights_to_quantise() -> None:
    with pytest.raises(PlanError, match="set bits to 0"):
        DPP(Channel(0.5), {"bits": 8})


def test_confidence_and_diversity_are_in_the_report() -> None:
    plan = PruningPlan(pruner="dpp", patterns={"body": NM(keep=2, group=4), "stem": Channel(0.25)})
    report = Pruning(small(), SPEC, plan).finish().report
    body, stem = report.layers[1], report.groups[0]
    for found in (body.figures, stem.figures):
        assert set(found) == {"confidence", "diversity"} and all(0 <= figure <= 1 for figure in found.values())
    assert body.figures["diversity"] > 1e-3 and stem.figures["diversity"] < 1e-9  # a group is one row
    assert report.to_json()["layers"][1]["figures"] == body.figures and not report.layers[2].figures

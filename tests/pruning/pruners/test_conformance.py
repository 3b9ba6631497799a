"""What every pruner must do, over every pattern it serves and every kind of layer. A new one is tested by its line
in `PRUNERS`. What is not of the default sample is `slow`; see `cases`."""

import io
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning import masks
from pruning.apply import Pruning, RecoveryRun
from pruning.errors import PlanError
from pruning.masked import (
    MaskedWeight,
    attach,
    bake,
    find_tensor,
    penalties,
    pruners,
    score_parameters,
    set_progress,
)
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Channel, Dense, Kernel, Pattern, Unstructured
from pruning.plan import PruningPlan
from pruning.pruners import PRUNERS, Pruner, make
from pruning.recover import RecoveryConfig, recover
from tests.pruning.pruners.cases import PATTERNS, Two, cases, layouts, masked_name, masks_for, taking_turns
from tests.pruning.small import SHAPES, SPEC, data, small, weight

every_case = pytest.mark.parametrize(("name", "pattern", "layer"), taking_turns(cases()), ids=str)
every_pruner = pytest.mark.parametrize("name", PRUNERS)
every_table = pytest.mark.parametrize(("name", "pattern"), taking_turns(layouts()), ids=str)
HALVES: tuple[Sparse, ...] = (Unstructured(0.75), NM(keep=2, group=4), PATTERNS[2])
every_half = pytest.mark.parametrize(
    ("name", "pattern", "dtype"),
    taking_turns((n, p, d) for n in PRUNERS for p in HALVES for d in (torch.float16, torch.bfloat16)),
    ids=str,
)


def shapes(pattern: Sparse) -> list[tuple[int, ...]]:
    """Shapes of values that the pattern can be laid over: even, ragged, and tiny ones."""
    if isinstance(pattern, Channel):
        return [(7,), (1,)]
    return [shape for shape in SHAPES if len(shape) > 2 or not isinstance(pattern, Kernel)]


def attached(name: str, pattern: Sparse, layer: str, seed: int = 0) -> Two:
    net = Two(layer)
    attach(net, masks_for(net, name, pattern), seed)
    return net


def trained(net: Two, steps: int = 4, seed: int = 0) -> Two:
    """After a few steps towards arbitrary labels."""
    batches = [(net.inputs(), torch.arange(8) % 3)]
    config = RecoveryConfig(steps=steps, learning_rate=0.05)
    list(recover(net, batches, config, nn.functional.cross_entropy, seed))
    return net


def only(net: nn.Module) -> Pruner:
    (pruner,) = pruners(net)
    return pruner


def rows(mask: Tensor, pattern: Sparse) -> Tensor:
    """Units that are not zero, by row of the table; a unit with any non-zero counts."""
    return masks.split((mask != 0).float(), pattern).count_nonzero(dim=1)


def wanted(shape: torch.Size, pattern: Sparse) -> Tensor:
    """Units that must be left of any values of that shape, by row of the table."""
    return rows(masks.mask(torch.ones(shape), pattern), pattern)


@every_case
def test_training_and_bake_are_exact_repeatable_and_leave_a_plain_module(
    name: str, pattern: Sparse, layer: str
) -> None:
    nets = []
    for global_seed in (3, 4):
        torch.manual_seed(global_seed)
        nets.append(trained(attached(name, pattern, layer, seed=7), seed=5))
        bake(nets[-1])
    net, plain = nets[0], Two(layer)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), nets[1].parameters(), strict=True))
    found = net.get_parameter(masked_name(pattern)).detach()
    alive = found.abs().amax(dim=0) if isinstance(pattern, Channel) else found
    assert torch.equal(rows(alive, pattern), wanted(alive.shape, pattern))
    assert [type(m) for m in net.modules()] == [type(m) for m in plain.modules()]
    assert {k: v.shape for k, v in net.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in net.parameters())


@every_table
def test_the_factor_is_between_0_and_1_shaped_like_its_values_and_ends_exact(name: str, pattern: Sparse) -> None:
    for shape in shapes(pattern):
        v = weight(shape).abs() + 0.01 if isinstance(pattern, Channel) else weight(shape)
        pruner = make(name, pattern, {})
        for progress in (0.0, 0.05, 0.3, 0.7):
            pruner.advance(v, progress)
            factor = pruner(v).detach().float()
            assert factor.shape == v.shape
            assert factor.min() >= 0 and factor.max() <= 1
        pruner.advance(v, 1.0)
        final = pruner(v)
        assert torch.equal(rows(final, pattern), wanted(final.shape, pattern))
        pruner.advance(-2 * v.flip(0), 0.3)  # neither other values nor a step back move it
        assert torch.equal(pruner(v.flip(0)), final)
        assert torch.equal(pruner.kept(v.flip(0)), final != 0)


@every_table
def test_ties_zeros_and_extremes_change_no_count_and_give_no_nan(name: str, pattern: Sparse) -> None:
    for shape in shapes(pattern):
        for v in (torch.ones(shape), torch.zeros(shape), 1e-30 * weight(shape).abs(), 1e18 * weight(shape).abs()):
            v = v.clone().requires_grad_()
            pruner = make(name, pattern, {})
            pruner.advance(v, 0.3)
            pruner.masked(v).float().sum().backward()
            assert v.grad is None or torch.isfinite(v.grad).all()
            pruner.advance(v, 1.0)
            assert torch.equal(rows(pruner.kept(v), pattern), wanted(v.shape, pattern))


@every_case
def test_gradients_reach_the_weights_and_the_scores(name: str, pattern: Sparse, layer: str) -> None:
    net = attached(name, pattern, layer)
    set_progress(net, 0.05)
    extra = penalties(net)
    loss = net(net.inputs()).square().sum() + (0 if extra is None else extra)
    loss.backward()
    gradients = [find_tensor(net, "one.weight").grad, *(p.grad for p, _ in score_parameters(net))]
    assert all(g is not None and torch.isfinite(g).all() and g.any() for g in gradients)


@every_case
def test_progress_only_goes_on_to_a_mask_that_stays(name: str, pattern: Sparse, layer: str) -> None:
    net = attached(name, pattern, layer)
    pruner, shares, fixed = only(net), [], []
    for tenth in range(11):
        set_progress(net, tenth / 10)
        shares.append(pruner.share())
        fixed.append(pruner.fixed is not None)
    assert shares == sorted(shares) and 0 <= shares[0] and shares[-1] == 1
    assert fixed == sorted(fixed) and fixed[-1]
    assert fixed.index(True) == next(t for t in range(11) if t / 10 >= pruner.hardens_at)


@every_case
def test_a_checkpoint_comes_back_soft_or_fixed(name: str, pattern: Sparse, layer: str) -> None:
    net = attached(name, pattern, layer)
    supply = [(net.inputs(), torch.arange(8) % 3)]
    loop = recover(net, supply, RecoveryConfig(steps=4, learning_rate=0.05), nn.functional.cross_entropy)
    for step in loop:
        if step.step not in (1, 4):
            continue
        again = attached(name, pattern, layer, seed=1)
        again.load_state_dict(stored(net))
        copy = deepcopy(net)
        for model in (copy, again):
            set_progress(model, 0.95)
            model.eval()
        assert only(again).gap == only(copy).gap
        with torch.no_grad():
            assert torch.equal(again(again.inputs()), copy(net.inputs()))


def stored(net: nn.Module) -> dict[str, Any]:
    """Its state, through a file that is read without unpickling anything but tensors and numbers."""
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    return state


@every_pruner
def test_channels_and_weights_of_one_plan_end_exact_on_what_remains(name: str) -> None:
    served = PRUNERS[name].patterns()
    wish: dict[str, Pattern] = {"stem": Channel(0.4), "body": NM(keep=2, group=4), "head": Block(2, 4, 0.5)}
    patterns = {layer: p if p.kind in served else Dense() for layer, p in wish.items()}
    run = Pruning(small(), SPEC, PruningPlan(pruner=name, patterns=patterns))
    config = RecoveryConfig(steps=3)
    list(run.recover(RecoveryRun(batches=data(2), loss=nn.functional.cross_entropy, config=config)))
    set_progress(run.net, 1.0)
    fixed = {pruner.pattern: pruner.fixed for pruner in pruners(run.net)}
    pruned = run.finish()
    stem = pruned.kept.get("stem", torch.arange(8))
    for layer, columns in (("body", stem), ("head", torch.arange(24))):
        if (pattern := patterns[layer]) not in fixed:
            continue
        mask, weights = fixed[pattern], pruned.net.get_parameter(f"{layer}.weight")
        assert torch.equal(rows(mask[:, columns], pattern), wanted(mask[:, columns].shape, pattern))
        assert not weights[mask == 0].any()  # where the mask lets through, a weight that came back may still be 0


@every_half
def test_half_weights_have_wide_masks_and_stay_half(name: str, pattern: Sparse, dtype: torch.dtype) -> None:
    if pattern.kind not in PRUNERS[name].patterns():
        pytest.skip(f"{name} does not serve {pattern.kind}: {PRUNERS[name].refuses[pattern.kind]}")
    layer = nn.Linear(16, 8, bias=False)
    with torch.no_grad():
        layer.weight.copy_(100 * weight((8, 16)))  # squares overflow fp16
    layer = layer.to(dtype)
    pruner = make(name, pattern, {})
    pruner.advance(layer.weight, 0.3)
    assert pruner(layer.weight).dtype in (torch.float32, torch.bool)
    attach(layer, {"weight": MaskedWeight(make(name, pattern, {}))})
    assert layer.weight.dtype == dtype
    bake(layer)
    assert layer.weight.dtype == dtype
    assert torch.equal(rows(layer.weight, pattern), wanted(torch.Size((8, 16)), pattern))


@every_pruner
@pytest.mark.parametrize(
    ("pattern", "layer"),
    [(Unstructured(0.0), "linear"), (NM(keep=4, group=4), "conv"), (NM(keep=2, group=4), "depthwise")],
    ids=str,
)
def test_where_there_is_nothing_to_choose_it_trains_as_if_dense(name: str, pattern: Sparse, layer: str) -> None:
    net, plain = trained(attached(name, pattern, layer)), trained(Two(layer))
    bake(net)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(net.parameters(), plain.parameters(), strict=True))


@every_pruner
def test_it_says_what_it_is_and_what_it_costs(name: str) -> None:
    pruner = PRUNERS[name]
    assert pruner.name == name
    assert pruner.paper and pruner.state and pruner.cost
    assert set(pruner.refuses) < set(masks.KINDS)
    assert pruner.patterns() == set(masks.KINDS) - set(pruner.refuses)
    for pattern in PATTERNS:
        if pattern.kind in pruner.refuses:
            with pytest.raises(PlanError, match=f"'{name}' does not serve {pattern.kind}"):
                make(name, pattern, {})


@every_pruner
def test_settings_are_read_strictly(name: str) -> None:
    with pytest.raises(PlanError, match="no setting 'colour'"):
        make(name, next(p for p in PATTERNS if p.kind in PRUNERS[name].patterns()), {"colour": 1.0})


def test_an_unknown_pruner_is_named() -> None:
    with pytest.raises(PlanError, match=r"no pruner 'lottery'; there are \["):
        make("lottery", Unstructured(0.5), {})

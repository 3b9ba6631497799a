"""From a plan to a checked model: what was asked for is what the final weights are."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning.apply import Pruned, Pruning, RecoveryRun, prune, pruned_in_place
from pruning.errors import ConstraintError, PlanError, RecoveryError
from pruning.export import cut_channels
from pruning.graphnet import GraphNet
from pruning.layers import ChannelGroup
from pruning.patterns import NM, Block, Channel, Dense, Kernel, Pattern, Unstructured
from pruning.plan import PruningPlan
from pruning.recover import RecoveryConfig, RecoveryState
from pruning.trace import trace
from pruning.verify import verify
from tests.pruning.graphs import load_net
from tests.pruning.small import SPEC, Small, data, small, survivors

loss = nn.functional.cross_entropy
NAMES = ("magnitude", "gmp", "pdp")  # one-shot, with a state, soft; the conformance suite has all
every_pruner = pytest.mark.parametrize("name", NAMES)
PLANS: dict[str, dict[str, Pattern]] = {
    "nothing": {},
    "one of each": {"stem": Channel(0.5), "body": NM(keep=2, group=4), "head": Unstructured(0.7)},
    "two groups": {"stem": Channel(0.25), "body": Channel(0.5), "head": NM(keep=1, group=4)},
    "weights only": {"stem": Unstructured(0.5), "body": Unstructured(0.9), "head": Unstructured(0.0)},
    "groups of weights": {
        "stem": NM(keep=2, group=4),
        "body": NM(keep=1, group=4),
        "head": NM(keep=3, group=4),
    },
    "dense by name": {"stem": Dense(), "body": Channel(0.0)},
    "whole units": {"stem": Kernel(0.5), "body": Block(rows=2, cols=2, sparsity=0.5), "head": Block(1, 4, 0.75)},
    "units of what remains": {"stem": Channel(0.4), "body": Kernel(0.5), "head": Block(3, 2, 0.5)},
}
every_plan = pytest.mark.parametrize("patterns", PLANS.values(), ids=PLANS)


every_plan_in_brief = pytest.mark.parametrize(
    ("name", "patterns"),
    [pytest.param(n, p, id=f"{n}-{label}") for n in NAMES for label, p in PLANS.items() if n == "pdp" or len(p) == 3],
)


def plan(patterns: dict[str, Pattern], pruner: str = "magnitude", **settings: float) -> PruningPlan:
    return PruningPlan(pruner=pruner, settings=settings, patterns=patterns)


def recovery(steps: int = 6, seed: int = 0) -> RecoveryRun:
    return RecoveryRun(batches=data(), loss=loss, config=RecoveryConfig(steps=steps), seed=seed)


def kept(pruned: Pruned, group: ChannelGroup) -> Tensor:
    """The indices of a group's channels that are left."""
    return pruned.kept.get(group.name, torch.arange(group.channels))


def cut_by_hand(pruned: Pruned) -> nn.Module:
    """Oracle: the smaller network, written out for this architecture."""
    net = deepcopy(pruned.net)
    assert isinstance(net, Small)
    stem, body = (kept(pruned, group) for group in SPEC.groups[:2])
    columns = torch.cat([torch.arange(4) + 4 * c for c in body.tolist()])
    for norm, channels in ((net.stem_norm, stem), (net.body_norm, body)):
        norm.num_features = len(channels)
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data = tensor.data[channels]
    net.stem.weight.data, net.stem.bias.data = net.stem.weight.data[stem], net.stem.bias.data[stem]
    net.body.weight.data = net.body.weight.data[body][:, stem]
    net.head.weight.data = net.head.weight.data[:, columns]
    return net


@every_plan_in_brief
def test_counts_are_exact_on_what_remains(name: str, patterns: dict[str, Pattern]) -> None:
    pruned = prune(small(), SPEC, plan(patterns, name), recovery())
    small_net = cut_by_hand(pruned)
    for layer, report in zip(SPEC.layers, pruned.report.layers, strict=True):
        weight = small_net.get_parameter(layer.parameter).detach()
        pattern = patterns.get(layer.name, Dense())
        if not isinstance(pattern, Dense | Channel):
            assert int(weight.count_nonzero()) == int(survivors(weight, pattern).sum())
            assert torch.equal(weight != 0, survivors(weight, pattern))
        else:
            assert weight.all()
        full = pruned.net.get_parameter(layer.parameter)
        assert report.remaining_weights == weight.numel()
        assert report.remaining_zeros == int((weight == 0).sum())
        assert report.zeros == int((full == 0).sum())
        assert report.sparsity == pytest.approx(report.zeros / report.weights)
        assert report.nm_valid is (True if isinstance(pattern, NM) else None)


@every_plan_in_brief
def test_the_masked_model_is_the_smaller_model(name: str, patterns: dict[str, Pattern]) -> None:
    pruned = prune(small(), SPEC, plan(patterns, name), recovery())
    x = data(1, batch=64, seed=5)[0][0]
    with torch.no_grad():
        assert torch.allclose(pruned.net(x), cut_by_hand(pruned)(x), atol=1e-5)


@every_plan_in_brief
def test_the_callers_model_is_untouched_and_the_result_is_plain(name: str, patterns: dict[str, Pattern]) -> None:
    net = small()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    pruned = prune(net, SPEC, plan(patterns, name), recovery(steps=2))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not net.training and not pruned.net.training
    assert {key: v.shape for key, v in pruned.net.state_dict().items()} == {k: v.shape for k, v in before.items()}
    assert [type(a) for a in pruned.net.modules()] == [type(b) for b in net.modules()]
    assert all(p.requires_grad for p in pruned.net.parameters())


@every_pruner
def test_removed_channels_are_zero_everywhere_and_counted(name: str) -> None:
    pruned = prune(small(), SPEC, plan({"stem": Channel(0.6), "body": Channel(0.5)}, name), recovery())
    stem, body = pruned.report.groups
    assert (stem.name, stem.channels, stem.kept, len(stem.removed)) == ("stem", 8, 3, 5)
    assert sorted([*stem.removed, *pruned.kept["stem"].tolist()]) == list(range(8))
    assert (body.kept, [(r.in_channels, r.out_channels) for r in pruned.report.layers]) == (
        3,
        [(1, 3), (3, 3), (12, 3)],
    )
    gone = torch.tensor(stem.removed)
    for name_, dim in [("stem.weight", 0), ("stem.bias", 0), ("stem_norm.weight", 0), ("stem_norm.bias", 0)]:
        assert not pruned.net.get_parameter(name_).index_select(dim, gone).any()
    assert not pruned.net.get_parameter("body.weight").index_select(1, gone).any()


@every_pruner
def test_the_same_seed_gives_the_same_model_and_report(name: str) -> None:
    torch.manual_seed(3)
    one = prune(small(), SPEC, plan(PLANS["one of each"], name), recovery())
    torch.manual_seed(4)
    two = prune(small(), SPEC, plan(PLANS["one of each"], name), recovery())
    assert all(torch.equal(a, b) for a, b in zip(one.net.parameters(), two.net.parameters(), strict=True))
    assert one.report == two.report


def test_progress_comes_a_step_at_a_time() -> None:
    seen: list[int] = []
    prune(small(), SPEC, plan({}), recovery(steps=3), on_step=lambda step: seen.append(step.step))
    assert seen == [1, 2, 3]
    run = Pruning(small(), SPEC, plan(PLANS["one of each"], "pdp"))
    steps = run.recover(recovery(steps=8))
    assert next(steps).steps == 8  # a caller may stop early and still finish properly
    steps.close()
    assert run.finish().report.layers[2].zeros >= 0.7 * 72 - 1


def test_an_interrupted_pruning_goes_on_from_its_checkpoint_to_the_same_weights(tmp_path: Path) -> None:
    asked = plan({"stem": Channel(0.25), "body": Unstructured(0.5)}, "pdp")
    whole = prune(small(), SPEC, asked, recovery())
    first = Pruning(small(), SPEC, asked).recovery(recovery())
    for step in first.steps():
        if step.step == 3:
            first.state().save(tmp_path / "three")
            break
    again = Pruning(small(), SPEC, asked)
    rest = again.recovery(recovery())
    rest.restore(RecoveryState.load(tmp_path / "three"))
    assert [step.step for step in rest.steps()] == [4, 5, 6]
    resumed = again.finish(statistics=recovery().batches)
    for (name, ours), theirs in zip(whole.net.named_parameters(), resumed.net.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def test_recovery_recovers() -> None:
    batches = data(8)
    dense = prune(small(), SPEC, plan({}), recovery(steps=60))

    def mean_loss(net: nn.Module) -> float:
        with torch.no_grad():
            return float(torch.stack([loss(net(x), y) for x, y in batches]).mean())

    hard: dict[str, Pattern] = {"stem": Channel(0.5), "body": Unstructured(0.8)}
    cut = prune(dense.net, SPEC, plan(hard))
    recovered = prune(dense.net, SPEC, plan(hard, "pdp"), recovery(steps=60))
    assert mean_loss(dense.net) < mean_loss(recovered.net) + 0.05 < mean_loss(cut.net)
    assert recovered.report.layers[1].gap > 0
    assert recovered.report.groups[0].gap > 0
    assert cut.report.layers[1].gap == 0


def test_batch_norm_statistics_are_those_of_the_pruned_model() -> None:
    run = replace(recovery(steps=0), batches=data(1, batch=256))
    pruned = prune(small(), SPEC, plan({"stem": Unstructured(0.6)}), run)
    assert isinstance(pruned.net, Small)
    with torch.no_grad():
        after = pruned.net.stem(data(1, batch=256)[0][0]).mean(dim=(0, 2, 3))
    assert torch.allclose(pruned.net.stem_norm.running_mean, after, atol=1e-5)


@every_plan
def test_in_place_pruning_is_the_same_and_leaves_no_trace(patterns: dict[str, Pattern]) -> None:
    net, x = small(), data(1)[0][0]
    before = deepcopy(net.state_dict())
    expected = {name: prune(net, SPEC, plan(patterns, name)).net for name in NAMES}
    with torch.no_grad():
        for name in NAMES:
            with pruned_in_place(net, SPEC, plan(patterns, name)) as pruned:
                assert pruned is net
                assert torch.allclose(net(x), expected[name](x), atol=1e-6)
            assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_in_place_pruning_restores_after_an_error() -> None:
    net = small()
    before = net.body.weight.detach().clone()

    def fail() -> None:
        with pruned_in_place(net, SPEC, plan({"body": Unstructured(0.9)})):
            assert int(net.body.weight.count_nonzero()) == 43
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(net.body.weight, before)


@pytest.mark.parametrize(
    ("patterns", "complaint"),
    [
        ({"trunk": Unstructured(0.5)}, "'trunk' is not in the model"),
        ({"head": Kernel(0.5)}, "'head' is linear and has no 2-D kernels: .*use unstructured"),
        ({"head": Channel(0.5)}, "'head' cannot lose channels: .*are the model's outputs"),
    ],
)
def test_plans_that_do_not_fit_are_refused_before_anything_is_trained(
    patterns: dict[str, Pattern], complaint: str
) -> None:
    with pytest.raises(PlanError, match=complaint):
        Pruning(small(), SPEC, plan(patterns))


def test_models_that_do_not_fit_their_specification_are_refused() -> None:
    other = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(PlanError, match=r"no parameter 'stem\.weight'"):
        prune(other, SPEC, plan({}))
    thin = small()
    thin.head = nn.Linear(20, 3)
    with pytest.raises(PlanError, match="'head' has 60 weights, the specification says 72"):
        prune(thin, SPEC, plan({}))
    broken = small()
    broken.body.weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(PlanError, match="'body' has weights that are NaN or infinite"):
        prune(broken, SPEC, plan({"body": Unstructured(0.5)}))


def test_a_plan_without_patterns_still_needs_a_real_pruner() -> None:
    with pytest.raises(PlanError, match="no pruner"):
        prune(small(), SPEC, plan({}, "lottery"))
    with pytest.raises(PlanError, match="no setting"):
        prune(small(), SPEC, plan({}, "magnitude", tau=0.1))


def test_recovery_errors_reach_the_caller() -> None:
    with pytest.raises(RecoveryError, match="ran out"):
        prune(small(), SPEC, plan({}), replace(recovery(), batches=iter(())))


@pytest.mark.parametrize(
    ("patterns", "parameter"),
    [
        ({"body": Unstructured(0.5)}, "body.weight"),
        ({"body": NM(keep=1, group=4)}, "body.weight"),
        ({"body": Block(2, 2, 0.5)}, "body.weight"),
        ({"body": Kernel(0.5)}, "body.weight"),
        ({"stem": Channel(0.5)}, "body.weight"),
        ({"stem": Channel(0.5)}, "stem_norm.bias"),
        ({"body": Channel(0.5)}, "head.weight"),
    ],
)
def test_one_weight_come_back_is_noticed(patterns: dict[str, Pattern], parameter: str) -> None:
    pruned = prune(small(), SPEC, plan(patterns))
    alive = {g.name: torch.ones(g.channels, dtype=torch.bool) for g in SPEC.groups if g.name in pruned.kept}
    for name, line in alive.items():
        line.fill_(False)[pruned.kept[name]] = True
    verify(pruned.net, SPEC, plan(patterns), alive)
    with torch.no_grad():
        weight = pruned.net.get_parameter(parameter)
        weight.view(-1)[(weight.flatten() == 0).nonzero()[0]] = 1e-6
    with pytest.raises(ConstraintError):
        verify(pruned.net, SPEC, plan(patterns), alive)


def test_a_group_with_the_wrong_number_of_channels_is_noticed() -> None:
    pruned = prune(small(), SPEC, plan({"stem": Channel(0.5)}))
    few = torch.zeros(8, dtype=torch.bool)
    few[pruned.kept["stem"]] = True
    with pytest.raises(ConstraintError, match="keeps"):
        verify(pruned.net, SPEC, plan({"stem": Channel(0.25)}), {"stem": few})
    with pytest.raises(ConstraintError, match="keeps"):
        verify(pruned.net, SPEC, plan({"stem": Channel(0.5)}), {})


def test_a_report_is_json() -> None:
    document = prune(small(), SPEC, plan(PLANS["one of each"])).report.to_json()
    assert document["layers"][1]["pattern"] == "keep2of4"
    assert document["groups"][0]["kept"] == 4


@every_pruner
def test_an_uploaded_graph_is_pruned_cut_and_unharmed(name: str, tmp_path: Path) -> None:
    batches, module = data(), small()
    module.drop.p = 0.0  # an export in evaluation mode has lost it
    net = load_net(module, (batches[0][0][:2],), tmp_path)
    spec, before = trace(net), deepcopy(net.state_dict())
    layers = {layer.name: layer for layer in spec.layers}
    patterns: dict[str, Pattern] = {"stem": Channel(0.5), "body": NM(keep=2, group=4), "head": Unstructured(0.7)}
    pruned = prune(net, spec, plan(patterns, name), recovery())
    assert type(pruned.net) is GraphNet
    smaller = cut_channels(pruned.net, spec, pruned.kept).eval()
    assert smaller.get_parameter(layers["body"].parameter).shape == (6, 4, 3, 3)
    with torch.no_grad():
        assert torch.allclose(smaller(batches[0][0]), pruned.net(batches[0][0]), atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    plain = prune(module, SPEC, plan(patterns, name), recovery())  # trains, re-estimates and prunes alike
    assert [r.zeros for r in pruned.report.layers] == [r.zeros for r in plain.report.layers]
    with torch.no_grad():
        assert torch.allclose(pruned.net(batches[0][0]), plain.net(batches[0][0]), atol=1e-3)
